//! Files that change: inotify tells, through the `notify` crate, and nothing runs until it does.
//!
//! Of a volume with the link `..data` only a new `..data` counts, because that one rename brings all files at once. In any
//! other directory a file counts when it was written to the end, renamed, removed or linked.

use std::collections::BTreeSet;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::logging;

/// What watches.
pub(super) struct Watch {
    /// Keeps the watches alive
    _watcher: Option<RecommendedWatcher>,
    events: Option<PipeReader>,
    /// Whether something must be looked at from time to time, because nobody tells
    pub(super) is_blind: bool,
}

// === impl Watch ===

impl Watch {
    /// Watches directories.
    pub(super) fn new(directories: &BTreeSet<PathBuf>) -> Self {
        let mut watch = Self {
            _watcher: None,
            events: None,
            is_blind: false,
        };
        if directories.is_empty() {
            return watch;
        }
        match start(directories) {
            Ok((watcher, events)) => {
                watch._watcher = Some(watcher);
                watch.events = Some(events);
            }
            Err(error) => {
                logging::warn(format_args!(
                    "changes of files cannot be watched ({error}); they are compared every {} seconds instead",
                    super::agenda::BLIND.as_secs()
                ));
                watch.is_blind = true;
            }
        }
        watch
    }

    /// What becomes readable with a change.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(PipeReader::as_fd)
    }

    /// Forgets the changes so far; whether there were any.
    pub(super) fn drain(&mut self) -> bool {
        let mut bytes = [0; 64];
        let mut any = false;
        while let Some(events) = &mut self.events
            && let Ok(1..) = events.read(&mut bytes)
        {
            any = true;
        }
        any
    }
}

fn start(directories: &BTreeSet<PathBuf>) -> notify::Result<(RecommendedWatcher, PipeReader)> {
    let (reader, writer) = std::io::pipe()?;
    for end in [reader.as_fd(), writer.as_fd()] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(std::io::Error::from)?;
    }
    let mut watcher = RecommendedWatcher::new(tell(writer), Config::default())?;
    for directory in directories {
        // One that is not there is the start's to report.
        if directory.is_dir() {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
    }
    Ok((watcher, reader))
}

/// Writes a byte for each change that matters. A full pipe has told already.
fn tell(mut pipe: PipeWriter) -> impl FnMut(notify::Result<Event>) + Send + 'static {
    move |event| {
        if event.is_ok_and(|event| matters(&event)) {
            let _told_already = pipe.write(&[0]);
        }
    }
}

fn matters(event: &Event) -> bool {
    let kind_matters = |path: &Path| match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_))
        | EventKind::Remove(_) => true,
        // A file is complete when its writer closes it; a link is as soon as it is there.
        EventKind::Create(_) => path.is_symlink(),
        _ => false,
    };
    event.need_rescan()
        || event
            .paths
            .iter()
            .any(|path| is_of_the_content(path) && kind_matters(path))
}

/// Whether the file itself is what a start reads, and not a part of a generation that is still to come or gone.
fn is_of_the_content(path: &Path) -> bool {
    let is_volume = path
        .parent()
        .is_some_and(|directory| directory.join("..data").is_symlink());
    let name = path.file_name().map(std::os::unix::ffi::OsStrExt::as_bytes);
    let name = name.unwrap_or_default();
    name == b"..data" || !is_volume && !name.starts_with(b"..")
}
