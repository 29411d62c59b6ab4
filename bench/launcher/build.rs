//! Builds the C programs of the measurements as static files: the floor, the command, and the meter of memory.

use std::env::var_os;
use std::error::Error;
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

fn main() -> Result<(), Box<dyn Error>> {
    let folder = var_os("OUT_DIR").ok_or("cargo names no folder in OUT_DIR")?;
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
            .map_err(|error| format!("cannot start {}: {error}", compiler.display()))?;
        if !status.success() {
            return Err(format!("cannot build {source} as a static program").into());
        }
        println!("cargo::rerun-if-changed={source}");
        println!("cargo::rustc-env={variable}={}", program.display());
    }
    println!("cargo::rerun-if-env-changed=CC");
    Ok(())
}
