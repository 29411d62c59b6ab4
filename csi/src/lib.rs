//! The CSI node plugin: mounts secrets as files in pods.
//!
//! One container per node, two processes in it. They are one program that forks before it starts a thread:
//!
//! ```text
//! worker    user 65532, no capabilities     kubelet (gRPC), servers (TLS), Kubernetes; journal; writes files
//! mounter   root, CAP_SYS_ADMIN, CAP_CHOWN  makes file systems, gives files their owner, attaches and unmounts
//! ```
//!
//! The worker is the process that a container runtime knows: it gets SIGTERM, and its exit code is the plugin's. Either
//! ends when the other is gone. What a volume consists of is the business of a [`source::Source`], which [`run`] is
//! given.

mod authority;
mod beneath;
pub mod budget;
pub mod bundles;
pub mod content;
mod files;
mod identity;
pub mod journal;
pub mod layout;
pub mod metrics;
pub mod mounter;
pub mod mountinfo;
mod node;
pub mod proto;
mod record;
mod request;
mod server;
pub mod settings;
pub mod source;
mod start;
mod status;
pub mod target;
mod tasks;
mod volumes;
mod worker;

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use envlatch_sys::process::{Side, fork_alone};
use envlatch_sys::signals;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::journal::Journal;
use crate::mounter::{Mounter, Server, confine_mounter, confine_worker};
use crate::settings::Settings;
use crate::source::Source;
use crate::start::{Listeners, Prepared, deregister};
use crate::worker::Worker;

pub use crate::start::StartError;
pub use crate::worker::Context;

/// Runs the plugin until SIGTERM. Must be called as root, before any thread is started; returns in the worker only.
///
/// `build` makes the source, in the worker, inside the runtime.
///
/// # Errors
/// The plugin cannot start, or its other process is gone.
pub fn run<S: Source>(
    settings: Settings,
    build: impl FnOnce(Context<'_>) -> Result<S, String>,
) -> Result<(), StartError> {
    settings.log.start();
    let prepared = Prepared::new(&settings)?;
    let (worker_socket, mounter_socket) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| StartError::Fork(errno.into()))?;
    let (worker_lifeline, mounter_lifeline) = UnixStream::pair().map_err(StartError::Fork)?;
    match fork_alone().map_err(StartError::Fork)? {
        Side::Child => {
            drop((worker_socket, worker_lifeline));
            let ended = mount(prepared, &mounter_socket);
            drop(mounter_lifeline);
            match ended {
                Ok(never) => match never {},
                Err(error) => Err(error),
            }
        }
        Side::Parent(_) => {
            drop((mounter_socket, mounter_lifeline));
            work(settings, prepared, worker_socket, worker_lifeline, build)
        }
    }
}

/// The mounter, which ends the process when the worker is gone.
fn mount(prepared: Prepared, socket: &OwnedFd) -> Result<Infallible, StartError> {
    let Prepared {
        lock: _lock,
        pods,
        table,
        features,
        registry,
        drivers,
        state,
        pods_path: _,
    } = prepared;
    let sockets: Vec<String> = drivers.iter().map(Listeners::registration_name).collect();
    drop((drivers, state));
    signals::ignore_termination().map_err(StartError::Fork)?;
    std::env::set_current_dir("/").map_err(StartError::Fork)?;
    confine_mounter()?;
    match Server::new(pods, table, features).run(socket) {
        Ok(()) => {
            deregister(&registry, &sockets);
            std::process::exit(0)
        }
        Err(errno) => Err(StartError::Worker("serve the worker", errno.into())),
    }
}

fn work<S: Source>(
    settings: Settings,
    prepared: Prepared,
    socket: OwnedFd,
    lifeline: UnixStream,
    build: impl FnOnce(Context<'_>) -> Result<S, String>,
) -> Result<(), StartError> {
    let Prepared {
        lock: _lock,
        pods,
        pods_path,
        table,
        registry,
        features: _,
        state,
        drivers,
    } = prepared;
    drop((pods, registry));
    confine_worker()?;
    let journal = Journal::open(state)
        .map_err(|errno| StartError::Worker("read the journal", errno.into()))?;
    let mounter = Mounter::new(socket);
    let worker = Worker {
        settings,
        mounter: mounter.clone(),
        journal,
        drivers,
        table,
        pods_path,
        lifeline,
    };
    // Two threads for waiting, and a few for what blocks for a moment: a node is not a server.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .map_err(|error| StartError::Worker("start the runtime", error))?;
    let result = runtime.block_on(worker.run(build));
    runtime.shutdown_background();
    // In a container the end of this process, its first, would be the mounter's too.
    mounter.end();
    result
}
