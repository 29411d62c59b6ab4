//! The command: where it is, and whether the kernel will take it, found out before anything is fetched.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use crate::name::shown;
use crate::problem::{Exit, Problem};

/// Where programs are looked for when PATH is not set (`execvp(3)`).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// ELF machine of this build, and those that its kernels run as well (`elf(5)`, `e_machine`).
#[cfg(target_arch = "x86_64")]
const MACHINES: &[u16] = &[62, 3];
#[cfg(target_arch = "aarch64")]
const MACHINES: &[u16] = &[183, 40];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MACHINES: &[u16] = &[];

/// Finds `command` as `execvp(3)` does and checks that it can be executed.
///
/// # Errors
/// 127 when it is not found, 126 when it is there and cannot be executed.
pub(crate) fn find(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Problem> {
    let found = if command.as_bytes().contains(&b'/') {
        let direct = PathBuf::from(command);
        executable(&direct).map(|()| direct)
    } else {
        search(command, path.unwrap_or(OsStr::new(DEFAULT_PATH)))
    };
    let found = found.map_err(|errno| refusal(command, errno))?;
    check_format(&found)?;
    Ok(found)
}

/// Looks through PATH; an empty entry is the working directory. A file that may not be executed counts only when no
/// other is found.
fn search(command: &OsStr, path: &OsStr) -> Result<PathBuf, Errno> {
    let mut outcome = Errno::ENOENT;
    for directory in path.as_bytes().split(|byte| *byte == b':') {
        let candidate = Path::new(OsStr::from_bytes(if directory.is_empty() {
            b"."
        } else {
            directory
        }))
        .join(command);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) => outcome = Errno::EACCES,
            Err(_not_here) => {}
        }
    }
    Err(outcome)
}

fn executable(path: &Path) -> Result<(), Errno> {
    access(path, AccessFlags::X_OK)?;
    if path.is_dir() {
        Err(Errno::EACCES)
    } else {
        Ok(())
    }
}

fn refusal(command: &OsStr, errno: Errno) -> Problem {
    let command = shown(command.as_bytes());
    match errno {
        Errno::ENOENT | Errno::ENOTDIR if command.contains('/') => Problem::new(
            Exit::NotFound,
            format!("{command}: no such file; check the command"),
        ),
        Errno::ENOENT | Errno::ENOTDIR => Problem::new(
            Exit::NotFound,
            format!(
                "{command}: not found in PATH; write its full path, or add its directory to PATH"
            ),
        ),
        Errno::EACCES => {
            let text = "cannot be executed; check that it is a file with the x bit, on a volume mounted without noexec";
            Problem::new(Exit::NotExecutable, format!("{command}: {text}"))
        }
        other => Problem::new(
            Exit::NotExecutable,
            format!("{command}: cannot be executed: {}", other.desc()),
        ),
    }
}

/// Recognises what the kernel would refuse: another machine's program, or a script whose interpreter is missing. What
/// cannot be read (mode 0111) is left to the kernel.
fn check_format(path: &Path) -> Result<(), Problem> {
    let mut head = Vec::with_capacity(256);
    let Ok(file) = File::open(path) else {
        return Ok(());
    };
    let Ok(_length) = file.take(256).read_to_end(&mut head) else {
        return Ok(());
    };
    let name = shown(path.as_os_str().as_bytes());
    if let Some(machine) = other_machine(&head) {
        let text = format!(
            "{name}: is a program for another kind of machine (ELF machine {machine}); check the image's platform"
        );
        return Err(Problem::new(Exit::NotExecutable, text));
    }
    match interpreter(&head).filter(|interpreter| access(interpreter, AccessFlags::X_OK).is_err()) {
        Some(interpreter) => {
            let text = format!(
                "{name}: its first line asks for {}, which is missing or not executable",
                interpreter.display()
            );
            Err(Problem::new(Exit::NotFound, text))
        }
        None => Ok(()),
    }
}

fn other_machine(head: &[u8]) -> Option<u16> {
    let little_endian = head.starts_with(b"\x7fELF") && head.get(5) == Some(&1);
    let machine = u16::from_le_bytes([*head.get(18)?, *head.get(19)?]);
    (little_endian && !MACHINES.is_empty() && !MACHINES.contains(&machine)).then_some(machine)
}

/// The program named by a `#!` line.
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?
        .trim_ascii();
    let program = line
        .split(u8::is_ascii_whitespace)
        .next()
        .filter(|program| !program.is_empty())?;
    Some(OsString::from_vec(program.to_vec()).into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn commands_are_found_as_execvp_finds_them() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (
            directory.path().join("first"),
            directory.path().join("second"),
        );
        fs::create_dir_all(first.join("sub")).unwrap();
        fs::create_dir_all(&second).unwrap();
        file(&first, "plain", b"", 0o644);
        let good = file(&second, "plain", b"#!/bin/sh\n", 0o755);
        let path = std::env::join_paths([&first, &second]).unwrap();
        assert_eq!(find(OsStr::new("plain"), Some(&path)).unwrap(), good);
        let exit = |command: &str| find(OsStr::new(command), Some(&path)).unwrap_err().exit;
        assert_eq!(exit("absent"), Exit::NotFound);
        assert_eq!(exit("/absent/command"), Exit::NotFound);
        assert_eq!(exit("sub"), Exit::NotExecutable);
        assert_eq!(
            exit(first.join("plain").to_str().unwrap()),
            Exit::NotExecutable
        );
        assert_eq!(exit(first.to_str().unwrap()), Exit::NotExecutable);
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused_first() {
        let directory = tempfile::tempdir().unwrap();
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(18, 0);
        elf.extend([0x08, 0x00, 0, 0]);
        let exit = |name: &str, content: &[u8]| {
            let path = file(directory.path(), name, content, 0o755);
            find(path.as_os_str(), None).map_err(|problem| problem.exit)
        };
        assert_eq!(exit("mips", &elf), Err(Exit::NotExecutable));
        assert_eq!(
            exit("script", b"#! /absent/interpreter -x\n"),
            Err(Exit::NotFound)
        );
        assert!(exit("fine", b"#!/bin/sh\n").is_ok());
    }
}
