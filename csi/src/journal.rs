//! What must survive this process, in memory: a tmpfs of its own that is never swapped and that only root and this
//! plugin can reach. Losing it costs logins and re-issued credentials, never a mounted file.
//!
//! A record is one file, replaced by a rename. Its name is a digest of the key, so no key can be a path.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use envlatch_secret::Secret;
use rustix::fs::{AtFlags, Mode, OFlags, renameat, unlinkat};
use rustix::io::{Errno, Result};
use sha2::{Digest, Sha256};

use crate::beneath;

/// Largest record that is read back.
const MAX_RECORD: u64 = 8 << 20;

/// The records. Clones are the same journal.
#[derive(Clone, Debug)]
pub struct Journal {
    directory: Arc<OwnedFd>,
    counter: Arc<AtomicU64>,
}

/// Whose records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One per volume; the key is its ID.
    Volume,
    /// The source's own, such as the last good copy of a class; it chooses the keys.
    Source,
}

// === impl Journal ===

impl Journal {
    /// The journal in `directory`. What an interrupted write left is removed.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(directory: OwnedFd) -> Result<Self> {
        for (name, _) in beneath::entries(&directory)? {
            if name.as_bytes().starts_with(b"new-") {
                unlinkat(&directory, &*name, AtFlags::empty())?;
            }
        }
        Ok(Self {
            directory: Arc::new(directory),
            counter: Arc::default(),
        })
    }

    /// Replaces the record of `key`, or leaves it as it is.
    ///
    /// # Errors
    /// There is no room (`ENOSPC`), or the kernel refused.
    pub fn write(&self, kind: Kind, key: &str, record: &Secret) -> Result<()> {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let new = format!("new-{number}");
        let written = self.create(&new, record).and_then(|()| {
            let directory = &*self.directory;
            renameat(directory, &*new, directory, kind.file(key))
        });
        if written.is_err() {
            // Then it was never made, or goes at the next start.
            let _ = unlinkat(&*self.directory, &*new, AtFlags::empty());
        }
        written
    }

    fn create(&self, name: &str, record: &Secret) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = beneath::open(&*self.directory, name, flags, Mode::RUSR | Mode::WUSR)?;
        std::fs::File::from(file)
            .write_all(record.expose())
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// The record of `key`, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, kind: Kind, key: &str) -> Result<Option<Secret>> {
        self.read_file(&kind.file(key))
    }

    fn read_file(&self, name: &str) -> Result<Option<Secret>> {
        let file = match beneath::open(&*self.directory, name, OFlags::RDONLY, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(other) => return Err(other),
        };
        let io = |error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let length = file.metadata().map_err(io)?.len().min(MAX_RECORD);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
        file.take(MAX_RECORD).read_to_end(&mut bytes).map_err(io)?;
        Ok(Some(Secret::new(bytes)))
    }

    /// Removes the record of `key`, if there is one.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn remove(&self, kind: Kind, key: &str) -> Result<()> {
        match unlinkat(&*self.directory, kind.file(key), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed,
        }
    }

    /// All records of a kind, in no order.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn all(&self, kind: Kind) -> Result<Vec<Secret>> {
        let mut records = Vec::new();
        // A description of its own, because listing moves the position.
        let directory = beneath::open_directory(&*self.directory, ".")?;
        for (name, _) in beneath::entries(&directory)? {
            let Ok(name) = name.to_str() else { continue };
            if name.starts_with(kind.prefix()) {
                records.extend(self.read_file(name)?);
            }
        }
        Ok(records)
    }
}

// === impl Kind ===

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Volume => "volume-",
            Self::Source => "source-",
        }
    }

    fn file(self, key: &str) -> String {
        let digest = Sha256::digest(key.as_bytes());
        format!("{}{}", self.prefix(), HEXLOWER.encode(&digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(directory: &tempfile::TempDir) -> Journal {
        let directory = std::fs::File::open(directory.path()).unwrap();
        Journal::open(directory.into()).unwrap()
    }

    #[test]
    fn records_survive_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let first = journal(&directory);
        first
            .write(Kind::Volume, "../a", &Secret::from("old"))
            .unwrap();
        first
            .write(Kind::Volume, "../a", &Secret::from("new"))
            .unwrap();
        first
            .write(Kind::Source, "../a", &Secret::from("class"))
            .unwrap();
        std::fs::write(directory.path().join("new-7"), "half").unwrap();
        let second = journal(&directory);
        let read = |kind, key| second.read(kind, key).unwrap();
        assert_eq!(read(Kind::Volume, "../a"), Some(Secret::from("new")));
        assert_eq!(read(Kind::Source, "../a"), Some(Secret::from("class")));
        assert_eq!(read(Kind::Source, "b"), None);
        assert_eq!(second.all(Kind::Volume).unwrap(), [Secret::from("new")]);
        second.remove(Kind::Volume, "../a").unwrap();
        second.remove(Kind::Volume, "../a").unwrap();
        assert_eq!(read(Kind::Volume, "../a"), None);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
