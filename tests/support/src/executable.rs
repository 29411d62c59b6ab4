//! Programs that a test writes before it starts them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes `content` to `path` as a program that everybody may start (mode 0755).
///
/// Another process writes it. A file that is open for writing cannot be started (`ETXTBSY`, execve(2)), and what a test
/// itself opens is open for a moment in every process that another thread of it is just starting.
///
/// # Panics
/// When it cannot be written.
pub fn executable(path: &Path, content: &[u8]) {
    let mut install = Command::new("/usr/bin/install")
        .args(["--mode=0755", "/dev/stdin"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("coreutils are here");
    let mut stdin = install.stdin.take().expect("it was asked for");
    stdin.write_all(content).expect("install reads to the end");
    drop(stdin);
    let status = install.wait().expect("it is our child");
    assert!(status.success(), "{}: {status}", path.display());
}
