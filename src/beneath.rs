//! Opening a path that may not lead out of a directory, whatever symbolic links a tenant put there.
//!
//! `openat2(2)` with `RESOLVE_BENEATH` does it in one call. Where the kernel lacks it, or a seccomp profile refuses it
//! (older container runtimes answer EPERM), the same rule is kept by walking component by component with `O_NOFOLLOW`.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

/// As many symbolic links as the kernel follows in one path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Opens the directory `path` itself, which is the administrator's word and may be a link.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    openat(
        AT_FDCWD,
        path,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// Opens `path` beneath `root`. `EXDEV` means that it leads out.
pub(crate) fn open_beneath(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(root, path, OpenHow::new().flags(flags).resolve(resolve)) {
        Err(Errno::ENOSYS | Errno::EPERM) => walk(root, path, flags),
        opened => opened,
    }
}

/// The same without `openat2`.
fn walk(root: BorrowedFd<'_>, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let mut pending = components(path)?;
    let mut directories: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        if name == ".." {
            directories.pop().ok_or(Errno::EXDEV)?;
            continue;
        }
        let parent = directories.last().map_or(root, AsFd::as_fd);
        let found = openat(
            parent,
            name.as_os_str(),
            OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        match SFlag::from_bits_truncate(fstat(&found)?.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFLNK => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                let mut target = components(Path::new(&readlinkat(&found, OsStr::new(""))?))?;
                target.append(&mut pending);
                pending = target;
            }
            SFlag::S_IFDIR => directories.push(found),
            _ if pending.is_empty() => {
                return openat(
                    parent,
                    name.as_os_str(),
                    flags | OFlag::O_NOFOLLOW,
                    Mode::empty(),
                );
            }
            _ => return Err(Errno::ENOTDIR),
        }
    }
    openat(
        directories.last().map_or(root, AsFd::as_fd),
        ".",
        flags,
        Mode::empty(),
    )
}

/// The components of a relative path; an absolute one leads out by definition.
fn components(path: &Path) -> Result<VecDeque<OsString>, Errno> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| match component {
            Component::Normal(name) => Ok(name.to_owned()),
            Component::ParentDir => Ok("..".into()),
            _ => Err(Errno::EXDEV),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    type Open = fn(BorrowedFd<'_>, &Path, OFlag) -> Result<OwnedFd, Errno>;

    /// Both ways must agree on every case.
    const WAYS: [(&str, Open); 2] = [("openat2", open_beneath), ("walk", walk)];

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("root");
        fs::create_dir_all(root.join("dir/sub")).unwrap();
        fs::write(tree.path().join("outside"), "outside").unwrap();
        fs::write(root.join("file"), "file").unwrap();
        fs::write(root.join("dir/sub/deep"), "deep").unwrap();
        for (link, target) in [
            ("link", "file"),
            ("up", "dir/sub/../../file"),
            ("out", "../outside"),
            ("absolute", "/etc/passwd"),
            ("loop", "loop"),
            ("dir/sub/back", "../../file"),
            ("dirlink", "dir/sub"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        tree
    }

    fn content(open: Open, root: &OwnedFd, path: &str) -> Result<String, Errno> {
        let mut text = String::new();
        fs::File::from(open(root.as_fd(), Path::new(path), OFlag::O_RDONLY)?)
            .read_to_string(&mut text)
            .unwrap();
        Ok(text)
    }

    #[test]
    fn paths_stay_beneath_in_both_ways() {
        let tree = tree();
        let root = open_directory(&tree.path().join("root")).unwrap();
        for (way, open) in WAYS {
            for (path, expected) in [
                ("file", Ok("file")),
                ("link", Ok("file")),
                ("up", Ok("file")),
                ("dir/sub/deep", Ok("deep")),
                ("dir/sub/back", Ok("file")),
                ("dirlink/deep", Ok("deep")),
                ("dir/../file", Ok("file")),
                ("out", Err(Errno::EXDEV)),
                ("absolute", Err(Errno::EXDEV)),
                ("../outside", Err(Errno::EXDEV)),
                ("/etc/passwd", Err(Errno::EXDEV)),
                ("loop", Err(Errno::ELOOP)),
                ("absent", Err(Errno::ENOENT)),
                ("file/x", Err(Errno::ENOTDIR)),
            ] {
                assert_eq!(
                    content(open, &root, path),
                    expected.map(str::to_owned),
                    "{way} {path}"
                );
            }
        }
    }

    #[test]
    fn directories_open_in_both_ways() {
        let tree = tree();
        let root = open_directory(&tree.path().join("root")).unwrap();
        for (way, open) in WAYS {
            let directory = open(
                root.as_fd(),
                Path::new("dirlink"),
                OFlag::O_RDONLY | OFlag::O_DIRECTORY,
            )
            .unwrap();
            assert_eq!(
                content(open, &directory, "deep").as_deref(),
                Ok("deep"),
                "{way}"
            );
        }
    }
}
