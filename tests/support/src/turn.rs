//! Servers start one after the other, as many at once as there are processors. A kube-apiserver takes 8 seconds of a processor
//! to start: twenty that start at once are not ready any sooner, and whatever else is tested stands still for minutes.

use std::env;
use std::fs::{File, OpenOptions};
use std::thread;
use std::time::Duration;

use nix::unistd::getuid;

/// Waits until a server may start. Whoever has the file may, until it is dropped; the kernel takes it back when the process ends.
///
/// # Panics
/// When there is no temporary directory to write to.
pub(crate) fn turn() -> File {
    let places = thread::available_parallelism().map_or(1, usize::from);
    loop {
        if let Some(place) = (0..places)
            .map(place)
            .find(|place| place.try_lock().is_ok())
        {
            return place;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Of all test programs of this user.
fn place(number: usize) -> File {
    let name = format!("envlatch-tests-{}-{number}", getuid());
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(env::temp_dir().join(name))
        .expect("cannot write a file")
}
