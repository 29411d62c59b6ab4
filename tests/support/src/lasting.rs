//! Servers that end with the test process at the latest.
//!
//! The kernel kills a server when the thread that started it ends (PR_SET_PDEATHSIG, set by `setpriv`). That covers a
//! test process that is killed, and servers in statics, which are never dropped. Because each test runs in a thread of
//! its own and a shared server must outlive the test that asked for it first, all servers are started by one thread
//! that lives as long as the process.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock};
use std::thread;

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

/// A port of 127.0.0.1 that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .port()
}
