//! What is done while this is one process with all rights: directories, sockets, the state file system, and the fork.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use rustix::process::umask;
use thiserror::Error;

use crate::layout::WORKER;
use crate::mounter::{ConfineError, Features, Size, Tmpfs, resize};
use crate::mountinfo::MountInfo;
use crate::settings::Settings;

/// The directory of the state, in that of a driver name.
const STATE: &str = "state";
/// How long the processes of a plugin that was killed may take to end.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// Why the plugin does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A path could not be made ready.
    #[error("cannot {doing} {}", path.display())]
    Path {
        /// What was done to it.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Two plugins would work against each other.
    #[error("another envlatch-csi is running on {}; end it first", .0.display())]
    Running(PathBuf),
    /// The kernel or the container's rights do not suffice.
    #[error(
        "cannot make a file system that is attached nowhere; Linux 5.8 or newer and a privileged container are needed"
    )]
    Kernel(#[source] io::Error),
    /// The second process could not be made.
    #[error("cannot start the mounter process")]
    Fork(#[source] io::Error),
    /// A right could not be given up.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// The worker's machinery failed.
    #[error("cannot {0}")]
    Worker(&'static str, #[source] io::Error),
    /// The source did not start.
    #[error("{0}")]
    Source(String),
    /// Kubelet does not want the plugin.
    #[error(
        "cannot register {driver} with kubelet: {reason}; kubelet looks at it again when the plugin is restarted"
    )]
    Refused {
        /// Under which name.
        driver: String,
        /// What kubelet said.
        reason: String,
    },
    /// The other process is gone.
    #[error("the mounter process has ended; its last words are above")]
    MounterEnded,
}

/// Everything that takes rights to get.
pub(crate) struct Prepared {
    /// Held as long as one of the processes lives.
    pub(crate) lock: OwnedFd,
    pub(crate) pods: OwnedFd,
    /// Where they really are; the kernel's table of mounts knows no links.
    pub(crate) pods_path: PathBuf,
    pub(crate) table: MountInfo,
    pub(crate) features: Features,
    /// Root of the file system of the journal.
    pub(crate) state: OwnedFd,
    /// Kubelet's directory of the sockets by which plugins are found.
    pub(crate) registry: OwnedFd,
    pub(crate) drivers: Vec<Listeners>,
}

/// The sockets of one driver name.
pub(crate) struct Listeners {
    pub(crate) driver: String,
    pub(crate) endpoint: PathBuf,
    pub(crate) csi: UnixListener,
    pub(crate) registration: UnixListener,
}

// === impl Prepared ===

impl Prepared {
    pub(crate) fn new(settings: &Settings) -> Result<Self, StartError> {
        let kubelet = &settings.kubelet_dir;
        let table = MountInfo::open().map_err(at("open", Path::new("/proc/self/mountinfo")))?;
        let home = home(kubelet, &settings.driver_names, &table)?;
        let lock = lock(&home)?;
        let features = Features::probe().map_err(|errno| StartError::Kernel(errno.into()))?;
        report(features);
        let pods_path = fs::canonicalize(kubelet.join("pods")).map_err(at(
            "find kubelet's directory of pods",
            &kubelet.join("pods"),
        ))?;
        let pods = open_directory(&pods_path)?;
        let state = state(&home, settings.state_size, features, &table)?;
        let registry = kubelet.join("plugins_registry");
        make_directory(&registry)?;
        let drivers = settings
            .driver_names
            .iter()
            .map(|driver| Listeners::bind(kubelet, &registry, driver))
            .collect::<Result<_, _>>()?;
        let registry = open_directory(&registry)?;
        Ok(Self {
            lock,
            pods,
            pods_path,
            table,
            features,
            state,
            registry,
            drivers,
        })
    }
}

// === impl Listeners ===

impl Listeners {
    fn bind(kubelet: &Path, registry: &Path, driver: &str) -> Result<Self, StartError> {
        let endpoint = plugin_directory(kubelet, driver)?.join("csi.sock");
        Ok(Self {
            csi: bind(&endpoint)?,
            registration: bind(&registry.join(registration_name(driver)))?,
            driver: driver.to_owned(),
            endpoint,
        })
    }

    /// Name of the socket in kubelet's directory of plugins.
    pub(crate) fn registration_name(&self) -> String {
        registration_name(&self.driver)
    }
}

/// Takes what nobody serves any more out of `registry`, so that kubelet does not ask there in vain. A plugin that was killed leaves its
/// sockets to the next one.
pub(crate) fn deregister(registry: &OwnedFd, sockets: &[String]) {
    for socket in sockets {
        match unlinkat(registry, socket, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                tracing::warn!("cannot remove {socket} from kubelet's plugins_registry: {errno}");
            }
        }
    }
}

fn registration_name(driver: &str) -> String {
    format!("{driver}-reg.sock")
}

/// Only root may connect: the mode is set by the process's mask, so there is no moment in which others may.
fn bind(path: &Path) -> Result<UnixListener, StartError> {
    match fs::symlink_metadata(path) {
        // Left by the plugin before; it does not run any more, as the lock shows.
        Ok(found) if found.file_type().is_socket() => {
            fs::remove_file(path).map_err(at("remove the old socket", path))?;
        }
        Ok(_) => {
            let error = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(at("make a socket of", path)(error));
        }
        Err(_absent) => {}
    }
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path).map_err(at("listen on", path));
    umask(before);
    let listener = listener?;
    listener
        .set_nonblocking(true)
        .map_err(at("listen on", path))?;
    Ok(listener)
}

fn plugin_directory(kubelet: &Path, driver: &str) -> Result<PathBuf, StartError> {
    let path = kubelet.join("plugins").join(driver);
    make_directory(&path)?;
    Ok(path)
}

fn make_directory(path: &Path) -> Result<(), StartError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at("make the directory", path))
}

fn open_directory(path: &Path) -> Result<OwnedFd, StartError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| at("open the directory", path)(errno.into()))
}

/// The directory of the driver name under which an earlier plugin has left its state, and the first otherwise: what it
/// remembers, and that it runs, does not depend on the order of the names.
fn home(kubelet: &Path, names: &[String], table: &MountInfo) -> Result<PathBuf, StartError> {
    let mounts = table
        .read()
        .map_err(at("look what is mounted below", kubelet))?;
    let has_state = |name: &&String| {
        let state = fs::canonicalize(kubelet.join("plugins").join(name).join(STATE));
        let is_it = |state: &Path| {
            let mut mounts = mounts.iter();
            mounts.any(|mount| mount.is_ours() && Path::new(&mount.point) == state)
        };
        state.is_ok_and(|state| is_it(&state))
    };
    let name = names.iter().find(has_state).unwrap_or(&names[0]);
    plugin_directory(kubelet, name)
}

fn lock(home: &Path) -> Result<OwnedFd, StartError> {
    let path = home.join("lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| at("open", &path)(errno.into()))?;
    let begin = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if begin.elapsed() < PREDECESSOR => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(Errno::WOULDBLOCK) => return Err(StartError::Running(home.to_owned())),
            Err(errno) => return Err(at("lock", &path)(errno.into())),
        }
    }
}

/// The file system of the journal: the one that is there, or a new one.
fn state(
    home: &Path,
    bytes: u64,
    features: Features,
    table: &MountInfo,
) -> Result<OwnedFd, StartError> {
    let path = home.join(STATE);
    let size = Size {
        bytes,
        // A record of a volume takes a page or two.
        inodes: (bytes / 4096).max(16),
    };
    make_directory(&path)?;
    let canonical = fs::canonicalize(&path).map_err(at("find", &path))?;
    let mounts = table.read().map_err(at("look what is mounted on", &path))?;
    let point = canonical.to_str();
    if let Some(mount) = mounts.iter().rfind(|mount| Some(&*mount.point) == point) {
        if mount.is_ours() {
            let state = open_directory(&path)?;
            // The plugin that made it may have had another setting.
            if let Err(errno) = resize(&state, size, features) {
                tracing::warn!("{} keeps its size: {errno}", path.display());
            }
            return Ok(state);
        }
        let error = io::Error::other(format!(
            "a {} of \"{}\" is mounted there",
            mount.kind, mount.source
        ));
        return Err(at("keep the state in", &path)(error));
    }
    let tmpfs = Tmpfs {
        size,
        uid: WORKER,
        gid: WORKER,
        mode: 0o700,
    };
    tmpfs
        .create(features)
        .and_then(|mount| {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(mount.as_fd(), "", CWD, &path, flags)
        })
        .map_err(|errno| at("mount the state on", &path)(errno.into()))?;
    open_directory(&path)
}

fn report(features: Features) {
    if !features.noswap {
        tracing::warn!(
            "this kernel cannot keep a tmpfs out of swap (Linux 6.3 can): switch swap off on this node, or secrets may reach a disk"
        );
    }
    if !features.read_only {
        tracing::warn!(
            "this kernel cannot make a mount read-only by itself (Linux 5.12 can): what keeps containers from writing is readOnly in their manifests"
        );
    }
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Path {
        doing,
        path,
        source,
    }
}
