//! Builds the C programs of the measurements as static files: the floor, the command, and the meter of memory.

use std::env::var_os;
use std::path::Path;
use std::process::Command;

/// Source, variable that holds the program's path, and what differs from an ordinary static program.
const PROGRAMS: [(&str, &str, &[&str]); 3] = [
    ("floor.c", "BENCH_FLOOR", &[]),
    (
        "noop.c",
        "BENCH_NOOP",
        &["-nostdlib", "-Wl,--build-id=none"],
    ),
    ("peak.c", "BENCH_PEAK", &[]),
];

fn main() {
    let folder = var_os("OUT_DIR").expect("cargo names the folder");
    let compiler = var_os("CC").unwrap_or_else(|| "cc".into());
    for (source, variable, flags) in PROGRAMS {
        let program = Path::new(&folder).join(format!("bench-{}", source.trim_end_matches(".c")));
        let status = Command::new(&compiler)
            .args(["-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror"])
            .args(flags)
            .arg("-o")
            .arg(&program)
            .arg(source)
            .status()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", compiler.display()));
        assert!(
            status.success(),
            "cannot build {source} as a static program"
        );
        println!("cargo::rerun-if-changed={source}");
        println!("cargo::rustc-env={variable}={}", program.display());
    }
    println!("cargo::rerun-if-env-changed=CC");
}
