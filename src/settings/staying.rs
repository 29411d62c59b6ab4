//! Staying beside the program: what is done when its secrets change, and how soon.
//!
//! `--on-change` decides, `none` included. Without it the names of the peers' manifests count: each of their daemon
//! settings ends the program when a lease cannot be kept, and one of them also when a value changes.

use std::str::FromStr;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal;

use super::{Given, Peers, Wait};
use crate::problem::Problems;

/// How a program is accompanied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Staying {
    pub(crate) action: Action,
    /// Whether values are watched, or only what expires
    pub(crate) watches_values: bool,
    /// Longest wait between a change and the action, so that replicas do not act together
    pub(crate) splay: Duration,
    /// How long the program may take to end
    pub(crate) grace: Duration,
    /// How often values on the server are compared
    pub(crate) poll: Duration,
}

/// What is done when the environment that a start would make is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The program gets the signal of this number
    Signal(i32),
    /// The program is ended and started with the new values
    Restart,
    /// The program is ended, and the launcher with it
    Exit,
}

const DEFAULT_SPLAY: Duration = Duration::from_secs(30);
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// That of Deckhouse's env-injector.
const DEFAULT_POLL: Duration = Duration::from_secs(120);

/// `none`, or an action.
struct OnChange(Option<Action>);

/// A time between two looks at the server.
pub(super) struct Interval(pub(super) Duration);

// === impl Staying ===

impl Staying {
    /// `None` is a plain start.
    pub(super) fn new(given: &Given<'_>, peers: &Peers, problems: &mut Problems) -> Option<Self> {
        let wait = |option, problems: &mut Problems| {
            given.parsed::<Wait>(option, problems).map(|wait| wait.0)
        };
        let on_change = given.parsed::<OnChange>("on-change", problems);
        let splay = wait("splay", problems);
        let grace = wait("grace", problems);
        let poll = given.parsed::<Interval>("poll-interval", problems);
        let (action, watches_values) = match (on_change, peers.daemon) {
            (Some(OnChange(action)), _) => (action?, true),
            (None, Some(watches_values)) => (Action::Exit, watches_values),
            (None, None) => return None,
        };
        Some(Self {
            action,
            watches_values,
            splay: splay.unwrap_or(DEFAULT_SPLAY),
            grace: grace.unwrap_or(DEFAULT_GRACE),
            poll: poll
                .map(|interval| interval.0)
                .or(peers.poll)
                .unwrap_or(DEFAULT_POLL),
        })
    }
}

// === parsing ===

impl FromStr for OnChange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            "restart" => Ok(Self(Some(Action::Restart))),
            "exit" => Ok(Self(Some(Action::Exit))),
            _ => match text.strip_prefix("signal:") {
                Some(signal) => signal_number(signal)
                    .map(|number| Self(Some(Action::Signal(number))))
                    .ok_or("names no signal that a program can handle; write it as signal:HUP, signal:1 or signal:RTMIN+1"),
                None => Err("is neither none, signal:SIGNAL, restart nor exit"),
            },
        }
    }
}

impl FromStr for Interval {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Wait(interval) = text.parse()?;
        if interval < Duration::from_secs(1) {
            return Err("is too short for the server; write at least 1s");
        }
        Ok(Self(interval))
    }
}

/// The number of a signal by its name, with or without `SIG`, or by its number.
fn signal_number(text: &str) -> Option<i32> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let real_time = |base: i32, offset: &str| base.checked_add(offset.parse::<i32>().ok()?);
    let number = if let Some(offset) = name.strip_prefix("RTMIN") {
        real_time(
            libc::SIGRTMIN(),
            if offset.is_empty() { "0" } else { offset },
        )?
    } else if let Some(offset) = name.strip_prefix("RTMAX") {
        real_time(
            libc::SIGRTMAX(),
            if offset.is_empty() { "0" } else { offset },
        )?
    } else if let Ok(number) = name.parse() {
        number
    } else {
        Signal::from_str(&format!("SIG{name}")).ok()? as i32
    };
    let possible = (1..=libc::SIGRTMAX()).contains(&number)
        && number != libc::SIGKILL
        && number != libc::SIGSTOP;
    possible.then_some(number)
}

/// What `VAULT_ENV_RESTART_ON_SECRET_CHANGE` asks for: whether values are watched, or nothing at all.
pub(super) fn restart_on_secret_change(text: &str) -> Result<Option<bool>, &'static str> {
    match text {
        "none" => Ok(None),
        "watch-for-lease" => Ok(Some(false)),
        "watch-for-data" => Ok(Some(true)),
        _ => Err("is neither none, watch-for-lease nor watch-for-data"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, expected) in [
            ("HUP", Some(1)),
            ("SIGUSR1", Some(10)),
            ("15", Some(15)),
            ("RTMIN", Some(34)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX-1", Some(63)),
            ("RTMAX+1", None),
            ("KILL", None),
            ("SIGSTOP", None),
            ("0", None),
            ("65", None),
            ("", None),
            ("hup", None),
        ] {
            assert_eq!(signal_number(text), expected, "{text}");
        }
    }
}
