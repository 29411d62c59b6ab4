//! What is measured, so that each part can be taken alone and a run that broke off goes on with the rest.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueEnum, value_parser};

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Latency of one publish, called as kubelet does
    Publish,
    /// Republishes that are not due
    Idle,
    /// `kill -9` at random
    Kills,
    /// Size of the image
    Image,
    /// 40 pods at once, with a volume and without
    Crowd,
    /// 110 pods of an account that nobody has logged in yet
    Cold,
    /// A server that does not answer
    Outage,
}

/// The command line.
pub(crate) struct Settings {
    /// The plugin, for the parts without a cluster
    pub(crate) plugin: PathBuf,
    pub(crate) only: Vec<Part>,
    /// Publishes that are timed
    pub(crate) rounds: usize,
    /// Bursts of 40 pods of either kind
    pub(crate) pairs: usize,
    pub(crate) kills: usize,
    /// How long the server is frozen, each time
    pub(crate) outages: Vec<Duration>,
    pub(crate) json: bool,
}

// === impl Part ===

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Idle => "idle",
            Self::Kills => "kills",
            Self::Image => "image",
            Self::Crowd => "crowd",
            Self::Cold => "cold",
            Self::Outage => "outage",
        }
    }
}

impl ValueEnum for Part {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Publish,
            Self::Idle,
            Self::Kills,
            Self::Image,
            Self::Crowd,
            Self::Cold,
            Self::Outage,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Settings ===

impl Settings {
    pub(crate) fn parse() -> Self {
        Self::of(&arguments().get_matches())
    }

    fn of(matches: &ArgMatches) -> Self {
        let number = |name| *matches.get_one::<u32>(name).expect("has a default") as usize;
        let seconds = matches.get_many::<u64>("outages").expect("has a default");
        Self {
            plugin: matches
                .get_one::<PathBuf>("plugin")
                .expect("required")
                .clone(),
            only: matches.get_many::<Part>("only").map_or_else(
                || Part::value_variants().to_vec(),
                |parts| parts.copied().collect(),
            ),
            rounds: number("rounds"),
            pairs: number("pairs"),
            kills: number("kills"),
            outages: seconds.copied().map(Duration::from_secs).collect(),
            json: matches.get_flag("json"),
        }
    }
}

fn arguments() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        let number = Arg::new(name).long(name).default_value(default).help(help);
        number.value_parser(value_parser!(u32).range(1..))
    };
    Command::new("scripts/bench csi")
        .arg(
            Arg::new("plugin")
                .long("plugin")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("only")
                .long("only")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(clap::builder::EnumValueParser::<Part>::new())
                .help("The parts to measure; all by default"),
        )
        .arg(number("rounds", "200", "Publishes that are timed"))
        .arg(number("pairs", "7", "Bursts of 40 pods of either kind"))
        .arg(number("kills", "1000", "Kills at random"))
        .arg(
            Arg::new("outages")
                .long("outages")
                .default_value("30,100")
                .value_delimiter(',')
                .value_parser(value_parser!(u64).range(1..))
                .help("Seconds for which the server is frozen, one after the other"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print one JSON object"),
        )
}
