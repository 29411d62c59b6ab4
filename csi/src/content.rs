//! The files of a volume, before they are files.
//!
//! A [`Content`] is a complete set. It is checked when it is made, so that nothing that writes has to ask whether a path
//! leads out, whether two files want one place, or whether a mode is meant: all of that is refused before the first file
//! operation.

use std::fmt;

use envlatch_secret::Secret;
use thiserror::Error;

use crate::layout::MAX_DEPTH;

/// Longest name of one file or directory in bytes (`NAME_MAX`).
const MAX_COMPONENT: usize = 255;
/// Longest path in bytes (`PATH_MAX`).
const MAX_PATH: usize = 4096;

/// The complete set of files of a volume, sorted by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    files: Vec<File>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is in the volume.
    pub path: MountPath,
    /// Its permission bits; `None` is what fits the pod: 0440 when it has an `fsGroup`, else 0444.
    pub mode: Option<Mode>,
    /// What is in it.
    pub bytes: Secret,
}

/// A relative, clean path of a file in a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountPath(String);

/// Permission bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u16);

/// Why a path is refused. The text goes after the name of the field that holds it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// No path at all.
    #[error("is empty; name the file, such as \"db-password\"")]
    Empty,
    /// It begins with `/`.
    #[error("is absolute; paths are relative to the volume")]
    Absolute,
    /// It has an empty component, `.` or `..`.
    #[error(
        "is not clean; write it without \"//\", \".\" and \"..\", and without a slash at the end"
    )]
    NotClean,
    /// It begins with `..`, which is how a volume names its own parts.
    #[error("begins with \"..\", which is reserved for the volume itself; choose another name")]
    Reserved,
    /// It holds NUL, a newline or another control character.
    #[error("holds a control character at byte {0}; choose another name")]
    Control(usize),
    /// One name is too long.
    #[error("has a name of {0} bytes; at most {MAX_COMPONENT} fit")]
    LongComponent(usize),
    /// The whole is too long.
    #[error("has {0} bytes; at most {MAX_PATH} fit")]
    Long(usize),
    /// It has too many directories.
    #[error("has {0} directories; at most {MAX_DEPTH} fit")]
    Deep(usize),
}

/// Why a mode is refused. The text goes after the name of the field that holds it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "is {0:#o}; a mode is between 0 and 0o775, without set-id and sticky bits and not writable by everyone"
)]
pub struct ModeError(i64);

/// Why files do not make a set.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ContentError {
    /// Two files want one path.
    #[error("two entries make the file \"{0}\"; give one of them another name")]
    Duplicate(MountPath),
    /// A file stands where another one needs a directory.
    #[error("\"{file}\" would be a file and, for \"{below}\", a directory; rename one of them")]
    FileAndDirectory {
        /// The file.
        file: MountPath,
        /// The path below it.
        below: MountPath,
    },
}

// === impl Content ===

impl Content {
    /// Makes a set of `files`.
    ///
    /// # Errors
    /// Two of them cannot exist together.
    pub fn new(mut files: Vec<File>) -> Result<Self, ContentError> {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let paths: Vec<&MountPath> = files.iter().map(|file| &file.path).collect();
        collide(&paths)?;
        Ok(Self { files })
    }

    /// The files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }
}

/// Whether files of these names make a set. For a source that knows the names before it has the files.
///
/// # Errors
/// The text says which name is wrong, and why.
pub fn check_names(names: &[&str]) -> Result<(), String> {
    let path = |name: &&str| {
        MountPath::try_from(*name).map_err(|error| format!("the file name {name:?} {error}"))
    };
    let mut paths = names.iter().map(path).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let sorted: Vec<&MountPath> = paths.iter().collect();
    collide(&sorted).map_err(|error| error.to_string())
}

/// Looks for two of the `sorted` paths that cannot exist together.
fn collide(sorted: &[&MountPath]) -> Result<(), ContentError> {
    for (index, file) in sorted.iter().copied().enumerate() {
        // What lies below a file sorts after it, though not at once: "a", "a-b", "a/c".
        for later in sorted[index + 1..].iter().copied() {
            if later == file {
                return Err(ContentError::Duplicate(file.clone()));
            }
            let Some(rest) = later.0.strip_prefix(&file.0) else {
                break;
            };
            if rest.starts_with('/') {
                return Err(ContentError::FileAndDirectory {
                    file: file.clone(),
                    below: later.clone(),
                });
            }
        }
    }
    Ok(())
}

// === impl MountPath ===

impl MountPath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first component, which is what shows at the top of the volume.
    #[must_use]
    pub fn top(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(top, _)| top)
    }

    /// The directories that it needs, outermost first.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl TryFrom<&str> for MountPath {
    type Error = PathError;

    fn try_from(path: &str) -> Result<Self, PathError> {
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if path.len() > MAX_PATH {
            return Err(PathError::Long(path.len()));
        }
        if let Some((at, _)) = path.char_indices().find(|(_, char)| char.is_control()) {
            return Err(PathError::Control(at));
        }
        if path.starts_with('/') {
            return Err(PathError::Absolute);
        }
        for component in path.split('/') {
            if ["", ".", ".."].contains(&component) {
                return Err(PathError::NotClean);
            }
            if component.len() > MAX_COMPONENT {
                return Err(PathError::LongComponent(component.len()));
            }
        }
        if path.starts_with("..") {
            return Err(PathError::Reserved);
        }
        match path.matches('/').count() {
            depth if depth > MAX_DEPTH => Err(PathError::Deep(depth)),
            _ => Ok(Self(path.to_owned())),
        }
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Mode ===

impl Mode {
    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0.into()
    }
}

impl TryFrom<i64> for Mode {
    type Error = ModeError;

    fn try_from(bits: i64) -> Result<Self, ModeError> {
        u16::try_from(bits)
            .ok()
            .filter(|bits| bits & !0o775 == 0)
            .map(Self)
            .ok_or(ModeError(bits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> MountPath {
        MountPath::try_from(text).unwrap()
    }

    fn content(paths: &[&str]) -> Result<Content, ContentError> {
        let file = |text: &&str| File {
            path: path(text),
            mode: None,
            bytes: Secret::from("value"),
        };
        Content::new(paths.iter().map(file).collect())
    }

    #[test]
    fn paths_that_are_refused() {
        let long = "a".repeat(256);
        let deep = "a/".repeat(33) + "a";
        let longest = "a/".repeat(2048) + "a";
        for (text, expected) in [
            ("", PathError::Empty),
            ("/etc/passwd", PathError::Absolute),
            ("//a", PathError::Absolute),
            (".", PathError::NotClean),
            ("..", PathError::NotClean),
            ("a/../b", PathError::NotClean),
            ("a/./b", PathError::NotClean),
            ("a//b", PathError::NotClean),
            ("a/", PathError::NotClean),
            ("./a", PathError::NotClean),
            ("..data", PathError::Reserved),
            ("..a/b", PathError::Reserved),
            ("a\0b", PathError::Control(1)),
            ("a\nb", PathError::Control(1)),
            ("a\u{7f}", PathError::Control(1)),
            ("\u{85}", PathError::Control(0)),
            (&long, PathError::LongComponent(256)),
            (&deep, PathError::Deep(33)),
            (&longest, PathError::Long(4097)),
        ] {
            assert_eq!(MountPath::try_from(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn paths_that_are_taken() {
        for text in [
            "a",
            "tls/ca.crt",
            ".env",
            "a..b",
            "a/..b",
            "é",
            "with space",
            "-",
            &"a".repeat(255),
        ] {
            assert_eq!(path(text).as_str(), text);
        }
        assert_eq!(path("a/b/c").top(), "a");
        assert_eq!(
            path("a/b/c").directories().collect::<Vec<_>>(),
            ["a", "a/b"]
        );
        assert_eq!(path("a").directories().count(), 0);
    }

    #[test]
    fn modes() {
        for bits in [0, 0o400, 0o444, 0o624, 0o755, 0o775] {
            assert_eq!(
                Mode::try_from(bits).unwrap().bits(),
                u32::try_from(bits).unwrap()
            );
        }
        for bits in [-1, 0o777, 0o646, 0o4755, 0o1444, 0o2444, 644, i64::MAX] {
            assert_eq!(Mode::try_from(bits), Err(ModeError(bits)), "{bits:#o}");
        }
    }

    #[test]
    fn sets_that_cannot_exist() {
        assert_eq!(
            content(&["b", "a", "b"]),
            Err(ContentError::Duplicate(path("b")))
        );
        for paths in [["a", "a/b", "z"], ["a/b/c/d", "a", "a-b"]] {
            assert!(
                matches!(content(&paths), Err(ContentError::FileAndDirectory { file, .. }) if file == path("a")),
                "{paths:?}"
            );
        }
        let sorted = content(&["b/c", "a-b", "a", "b/a"]).unwrap();
        let paths: Vec<_> = sorted
            .files()
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(paths, ["a", "a-b", "b/a", "b/c"]);
    }

    #[test]
    fn names_are_checked_without_files() {
        assert_eq!(check_names(&["b", "a/c", "a/b"]), Ok(()));
        for (names, expected) in [
            (&["a", "../b"][..], "\"../b\" is not clean"),
            (&["a\nb"], "\"a\\nb\" holds a control character"),
            (&["b", "a", "b"], "two entries make the file \"b\""),
            (&["a/b", "a"], "\"a\" would be a file"),
        ] {
            let error = check_names(names).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_taken_path_stays_in_the_volume(text in "[a./\\x00-\\x20é]{0,12}") {
            if let Ok(path) = MountPath::try_from(text.as_str()) {
                prop_assert!(!path.as_str().starts_with('/') && !path.top().starts_with(".."));
                prop_assert!(path.as_str().split('/').all(|part| !["", ".", ".."].contains(&part)));
            }
        }

        #[test]
        fn a_set_is_refused_exactly_when_two_files_collide(paths in prop::collection::vec("[ab-](/[ab]){0,2}", 0..6)) {
            let texts: Vec<&str> = paths.iter().map(String::as_str).collect();
            let collide = |a: &str, b: &str| a == b || b.starts_with(&format!("{a}/"));
            let expected = texts.iter().enumerate().any(|(i, a)| {
                texts.iter().enumerate().any(|(j, b)| i != j && collide(a, b))
            });
            prop_assert_eq!(content(&texts).is_err(), expected);
        }
    }
}
