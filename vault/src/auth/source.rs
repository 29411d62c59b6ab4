//! Where one credential comes from. A file is read when it is needed, because others renew it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::Secret;
use crate::error::{Class, Failure};
use crate::settings::{UNPRINTABLE, printable};

/// The largest credential file that is read, in bytes; the largest JWT is far below.
const MAX_SIZE: usize = 64 * 1024;

/// Where a credential is.
#[derive(Clone, Debug)]
pub enum Source {
    /// Here
    Value(Secret),
    /// In a file, which is read at each login
    File(PathBuf),
    /// In memory, where whoever holds the other end replaces it
    Renewed(Arc<RwLock<Secret>>),
}

// === impl Source ===

impl Source {
    /// A credential of printable characters; `what` names it in an error.
    pub(super) fn credential(&self, what: &str) -> Result<Secret, Failure> {
        match self {
            Self::Value(secret) => printable(secret.expose())
                .ok_or_else(|| unusable(format!("{what} is {UNPRINTABLE}"))),
            Self::File(path) => credential_in(path, what),
            Self::Renewed(cell) => Self::Value(latest(cell)).credential(what),
        }
    }

    /// A password may hold anything; only the line break at the end of a file does not belong to it.
    pub(super) fn password(&self) -> Result<Secret, Failure> {
        let (bytes, place) = match self {
            Self::Value(secret) => (secret.clone(), String::new()),
            Self::Renewed(cell) => (latest(cell), String::new()),
            Self::File(path) => (
                read(path, "the password")?,
                format!(" in {}", path.display()),
            ),
        };
        let password = bytes
            .expose_str()
            .map(|text| match self {
                Self::Value(_) | Self::Renewed(_) => text,
                Self::File(_) => text.trim_end_matches(['\r', '\n']),
            })
            .filter(|text| !text.is_empty());
        match password {
            Some(password) => Ok(password.into()),
            None => Err(unusable(format!(
                "the password{place} is empty or not UTF-8"
            ))),
        }
    }
}

fn latest(cell: &RwLock<Secret>) -> Secret {
    // It is replaced as a whole, so a panic elsewhere cannot have broken it.
    cell.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The credential in the file `path`; `what` names it in an error.
pub(crate) fn credential_in(path: &Path, what: &str) -> Result<Secret, Failure> {
    printable(read(path, what)?.expose())
        .ok_or_else(|| unusable(format!("{what} in {} is {UNPRINTABLE}", path.display())))
}

fn read(path: &Path, what: &str) -> Result<Secret, Failure> {
    read_file(path).map_err(|cause| {
        unusable(format!(
            "cannot read {what} from {}: {cause}",
            path.display()
        ))
    })
}

fn unusable(cause: String) -> Failure {
    Failure::new(Class::Setting, cause)
}

/// Reads a regular file of at most [`MAX_SIZE`]; a FIFO would block, and a device may never end.
fn read_file(path: &Path) -> io::Result<Secret> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    // Large enough from the start, so that no copy is left behind by growing.
    let mut bytes = Vec::with_capacity(MAX_SIZE + 1);
    let read = File::open(path)?
        .take(MAX_SIZE as u64 + 1)
        .read_to_end(&mut bytes);
    let secret = Secret::new(bytes);
    read?;
    if secret.len() > MAX_SIZE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 64 KiB",
        ));
    }
    Ok(secret)
}
