//! Servers that end with the test process at the latest.
//!
//! The kernel kills a server when the thread that started it ends (PR_SET_PDEATHSIG, set by `setpriv`). That covers a
//! test process that is killed, and servers in statics, which are never dropped. Because each test runs in a thread of
//! its own and a shared server must outlive the test that asked for it first, all servers are started by one thread
//! that lives as long as the process.

use std::net::TcpListener;
use std::process::{self, Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock};
use std::thread;

use nix::unistd::Pid;

/// Starts `command` from the thread that lives as long as this process.
pub(crate) fn spawn(command: Command) -> Child {
    type Order = (Command, Sender<Child>);
    static STARTER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let child = command
                    .spawn()
                    .expect("cannot start setpriv (package util-linux)");
                // The one who ordered waits for it.
                reply.send(child).expect("somebody waits for the server");
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = mpsc::channel();
    let order = (command, reply);
    starter
        .lock()
        .expect("nobody panics with it")
        .send(order)
        .expect("the starter lives");
    answer.recv().expect("the starter started the server")
}

/// The process id of a child.
pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("Linux process ids fit"))
}

/// Where servers listen unless told otherwise.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// A port of the address `host` that is free and stays so until the one who asked listens on it.
///
/// The kernel gives ports from 32768 on to connections and to whoever listens on port 0 (ip(7), ip_local_port_range), so
/// one that was free a moment ago can be taken by then; those below are given by this function alone, each once.
///
/// # Panics
/// When every port is taken.
#[must_use]
pub fn free_port(host: &str) -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin in different places.
    let start = process::id().wrapping_mul(613);
    (0..COUNT)
        .map(|_| start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .map(|offset| u16::try_from(FIRST + offset).expect("below 32768"))
        .find(|port| TcpListener::bind((host, *port)).is_ok())
        .expect("a port is free")
}
