//! Starting programs again and again and timing them, all sides in turn, so that what disturbs one disturbs every one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Runs before the first that counts: caches fill, the server warms up.
const WARM_UP: usize = 5;

/// How often memory is looked at: which neighbours of a page come along with it differs a little from run to run.
const PEAKS: usize = 5;

/// One side of a comparison: how a program is started.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// Arguments without the command that ends them
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(String, String)>,
    /// Whether it becomes a command, which is then its last argument
    pub(crate) starts_command: bool,
}

/// What the runs of one side took.
pub(crate) struct Runs {
    walls: Vec<Duration>,
    cpus: Vec<Duration>,
}

// === impl Side ===

impl Side {
    fn command(&self, started: &str) -> Command {
        let mut command = Command::new(&self.program);
        self.complete(&mut command, started);
        command
    }

    fn complete(&self, command: &mut Command, started: &str) {
        command
            .args(&self.arguments)
            .args(self.starts_command.then_some(started))
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
    }

    /// One start to its end: wall clock and processor time. `Command` uses `posix_spawn(3)` for a command like this one.
    fn time(&self) -> Result<(Duration, Duration)> {
        let mut command = self.command(env!("BENCH_NOOP"));
        let used = processor_time()?;
        let start = Instant::now();
        let status = command.status();
        let wall = start.elapsed();
        let status = status.with_context(|| format!("cannot start {}", self.program.display()))?;
        ensure!(status.success(), "{} failed: {status}", self.name);
        Ok((wall, processor_time()? - used))
    }

    /// The variables that its command gets whose names begin with `prefix`, sorted.
    pub(crate) fn variables(&self, prefix: &str) -> Result<Vec<String>> {
        let output = self.command("/usr/bin/env").output();
        let printed = self.printed(output)?;
        let mut variables: Vec<_> = printed
            .lines()
            .filter(|line| line.starts_with(prefix))
            .map(str::to_owned)
            .collect();
        variables.sort();
        Ok(variables)
    }

    /// Peak resident memory in KiB: the median of several runs. `peak.c` says how.
    pub(crate) fn peak_kib(&self) -> Result<f64> {
        let mut peaks = Vec::with_capacity(PEAKS);
        for _ in 0..PEAKS {
            let mut command = Command::new(env!("BENCH_PEAK"));
            command.arg(&self.program);
            self.complete(&mut command, env!("BENCH_NOOP"));
            let printed = self.printed(command.output())?;
            peaks.push(
                printed
                    .trim()
                    .parse::<u32>()
                    .context("peak prints a number")?,
            );
        }
        peaks.sort_unstable();
        Ok(f64::from(peaks[PEAKS / 2]))
    }

    fn printed(&self, output: std::io::Result<Output>) -> Result<String> {
        let output = output.with_context(|| format!("cannot start {}", self.program.display()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("{} failed: {}: {}", self.name, output.status, text.trim());
        }
        String::from_utf8(output.stdout).context("the environment here is text")
    }
}

/// Processor time of all children that have ended.
fn processor_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn duration(time: TimeVal) -> Duration {
    let unsigned = |part: i64| u64::try_from(part).unwrap_or(0);
    Duration::from_secs(unsigned(time.tv_sec())) + Duration::from_micros(unsigned(time.tv_usec()))
}

/// Runs every side once per round, in another order each round.
pub(crate) fn interleave(sides: &[Side], rounds: usize) -> Result<Vec<Runs>> {
    let mut order: Vec<usize> = (0..sides.len()).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut all: Vec<Runs> = sides
        .iter()
        .map(|_| Runs {
            walls: Vec::new(),
            cpus: Vec::new(),
        })
        .collect();
    for round in 0..WARM_UP + rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let (wall, cpu) = sides[index].time()?;
            if round >= WARM_UP {
                all[index].walls.push(wall);
                all[index].cpus.push(cpu);
            }
        }
    }
    for runs in &mut all {
        runs.walls.sort_unstable();
        runs.cpus.sort_unstable();
    }
    Ok(all)
}

// === impl Runs ===

impl Runs {
    /// Median of the wall clock time in ms.
    pub(crate) fn wall_ms(&self) -> f64 {
        quantile(&self.walls, 1, 2)
    }

    /// Median of user and system time together in ms, the command's included.
    pub(crate) fn cpu_ms(&self) -> f64 {
        quantile(&self.cpus, 1, 2)
    }

    /// The first and third quartile of the wall clock time in ms.
    pub(crate) fn quartiles_ms(&self) -> (f64, f64) {
        (quantile(&self.walls, 1, 4), quantile(&self.walls, 3, 4))
    }
}

fn quantile(sorted: &[Duration], part: usize, of: usize) -> f64 {
    sorted
        .get(sorted.len() * part / of)
        .map_or(f64::NAN, Duration::as_secs_f64)
        * 1000.0
}
