//! Builds the helper program `envlatch-test-child` from `child.c` as one static file.
//!
//! It is built here because `cargo test -p envlatch` builds no program of another package, and a test must not depend
//! on what happened to be built before it.

use std::env::var_os;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "child.c";

fn main() {
    let folder = var_os("OUT_DIR").expect("cargo names the folder");
    let child = PathBuf::from(folder).join("envlatch-test-child");
    let compiler = var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(&compiler)
        .args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&child)
        .arg(SOURCE)
        .status()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", compiler.display()));
    assert!(
        status.success(),
        "cannot build {SOURCE} as a static program"
    );
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rustc-env=ENVLATCH_TEST_CHILD={}", child.display());
}
