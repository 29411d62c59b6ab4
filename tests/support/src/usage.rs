//! What a process costs, as the kernel says.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// A line of `/proc/PID/status` in KiB, such as `VmRSS` or `VmHWM`.
///
/// # Panics
/// When the process does not run.
#[track_caller]
#[must_use]
pub fn memory_kib(pid: i32, field: &str) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = |line: &'_ str| {
        line.strip_prefix(field)?
            .strip_prefix(':')
            .map(str::to_owned)
    };
    let line = status.lines().find_map(line);
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{path} has no {field}"))
}

/// Seconds of processor time that a process has used so far.
///
/// # Panics
/// When the process does not run.
#[track_caller]
#[must_use]
pub fn cpu_seconds(pid: i32) -> f64 {
    // To the nanosecond, where /proc/PID/stat has hundredths of a second.
    let used = clock_getcpuclockid(Pid::from_raw(pid)).and_then(ClockId::now);
    let used = used.unwrap_or_else(|errno| panic!("processor time of process {pid}: {errno}"));
    Duration::from(used).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(memory_kib(pid, "VmRSS") > 100);
        let before = cpu_seconds(pid);
        let mut sum = 0_u64;
        while cpu_seconds(pid) - before < 0.05 {
            sum = sum.wrapping_add(1);
        }
        assert!(sum > 0);
    }
}
