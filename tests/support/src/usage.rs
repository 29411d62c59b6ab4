//! What a process costs, as the kernel says.

use std::fs;

/// Ticks of `/proc/PID/stat` in a second (USER_HZ, the same on every Linux that Rust runs on).
const TICKS: f64 = 100.0;

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
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // The name may contain anything. After it: state is field 3, utime 14 and stime 15 of proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(") ").expect("proc_pid_stat(5)");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks = ticks.map(|field| field.parse::<f64>().expect("proc_pid_stat(5)"));
    ticks.sum::<f64>() / TICKS
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
