//! What the test child says it was given.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The test child (see `child.c`): static, so it may be copied into an empty root.
#[must_use]
pub fn test_child() -> &'static Path {
    Path::new(env!("ENVLATCH_TEST_CHILD"))
}

/// The descriptors above 2 that this process hands to every program it starts. All that Rust opens is closed on exec,
/// so these came from whoever started the tests.
pub(crate) fn inheritable_fds() -> Vec<i32> {
    const O_CLOEXEC: u32 = 0o2_000_000;
    let inheritable = |path: PathBuf| {
        let number: i32 = path.file_name()?.to_str()?.parse().ok()?;
        let info = fs::read_to_string(&path).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
        (number > 2 && flags & O_CLOEXEC == 0).then_some(number)
    };
    let entries = fs::read_dir("/proc/self/fdinfo").expect("/proc is mounted");
    entries
        .flatten()
        .filter_map(|entry| inheritable(entry.path()))
        .collect()
}

/// What a process was given, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The argument vector, the program's name first.
    pub argv: Vec<OsString>,
    /// The environment as it stands, duplicates and entries without `=` included, in order.
    pub environ: Vec<OsString>,
    /// Process id.
    pub pid: i32,
    /// Its parent.
    pub ppid: i32,
    /// Its process group.
    pub pgrp: i32,
    /// Its session.
    pub sid: i32,
    /// Real user id.
    pub uid: i32,
    /// Real group id.
    pub gid: i32,
    /// File mode creation mask.
    pub umask: i32,
    /// Working directory.
    pub cwd: PathBuf,
    /// Numbers of the blocked signals.
    pub blocked: Vec<i32>,
    /// Numbers of the ignored signals.
    pub ignored: Vec<i32>,
    /// Open descriptors.
    pub fds: Vec<i32>,
}

// === impl Report ===

impl Report {
    /// Reads a report, or gives `None` when `bytes` is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = bytes
            .strip_suffix(b"\0")?
            .split(|byte| *byte == 0)
            .collect();
        let (pairs, []) = fields.as_chunks::<2>() else {
            return None;
        };
        let mut report = Self::default();
        for [key, value] in pairs {
            report.set(key, value)?;
        }
        Some(report)
    }

    /// The value of a variable.
    ///
    /// # Panics
    /// The name occurs more than once.
    #[track_caller]
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&OsStr> {
        let prefix = format!("{name}=");
        let mut values = self
            .environ
            .iter()
            .filter_map(|entry| entry.as_bytes().strip_prefix(prefix.as_bytes()));
        let value = values.next();
        assert!(values.next().is_none(), "{name} occurs more than once");
        value.map(OsStr::from_bytes)
    }

    /// The names in the environment, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let name = |entry: &OsString| {
            let name = entry.as_bytes().split(|byte| *byte == b'=').next();
            String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
        };
        self.environ.iter().map(name).collect()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let number = || std::str::from_utf8(value).ok()?.parse::<i32>().ok();
        let bytes = || OsString::from_vec(value.to_vec());
        match key {
            b"arg" => self.argv.push(bytes()),
            b"entry" => self.environ.push(bytes()),
            b"pid" => self.pid = number()?,
            b"ppid" => self.ppid = number()?,
            b"pgrp" => self.pgrp = number()?,
            b"sid" => self.sid = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"umask" => self.umask = number()?,
            b"cwd" => self.cwd = bytes().into(),
            b"blocked" => self.blocked.push(number()?),
            b"ignored" => self.ignored.push(number()?),
            b"fd" => self.fds.push(number()?),
            _ => return None,
        }
        Some(())
    }
}
