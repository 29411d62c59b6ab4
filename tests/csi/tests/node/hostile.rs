//! A container that is root and has its volume mounted writable, and what it can make the plugin do: nothing but write
//! its own files again.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::assert_published;
use envlatch_csi_tests::{Call, Node};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::{DRIVER, block_on, start};

fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        fs::remove_dir_all(path).unwrap();
    }
}

fn generation(volume: &Path) -> PathBuf {
    volume.join(fs::read_link(volume.join("..data")).unwrap())
}

type Attack = (&'static str, fn(&Path, &Path));

/// What it does to its volume; the second path is another pod's volume.
const ATTACKS: [Attack; 14] = [
    ("..data leads to /", |volume, _| {
        remove(&volume.join("..data"));
        symlink("/", volume.join("..data")).unwrap();
    }),
    ("..data leads to another pod", |volume, other| {
        remove(&volume.join("..data"));
        symlink(other, volume.join("..data")).unwrap();
    }),
    ("..data is a FIFO", |volume, _| {
        remove(&volume.join("..data"));
        mkfifo(&volume.join("..data"), Mode::S_IRWXU).unwrap();
    }),
    ("..data is a directory", |volume, _| {
        remove(&volume.join("..data"));
        fs::create_dir_all(volume.join("..data/deep/deeper")).unwrap();
        fs::write(volume.join("..data/deep/deeper/file"), "x").unwrap();
    }),
    ("..data is gone", |volume, _| remove(&volume.join("..data"))),
    (
        "the generation is a link to another pod",
        |volume, other| {
            let generation = generation(volume);
            fs::remove_dir_all(&generation).unwrap();
            symlink(other, generation).unwrap();
        },
    ),
    ("the generation is gone", |volume, _| {
        fs::remove_dir_all(generation(volume)).unwrap();
    }),
    ("a file is a link to the node's", |volume, _| {
        let file = generation(volume).join("password");
        remove(&file);
        symlink("/etc/shadow", file).unwrap();
    }),
    ("a file is a FIFO", |volume, _| {
        let file = generation(volume).join("password");
        remove(&file);
        mkfifo(&file, Mode::S_IRWXU).unwrap();
    }),
    ("a file has another length", |volume, _| {
        fs::write(generation(volume).join("password"), "x").unwrap();
    }),
    ("a file has another mode and owner", |volume, _| {
        let file = generation(volume).join("password");
        std::os::unix::fs::chown(file, Some(1000), Some(1000)).unwrap();
    }),
    ("a file more", |volume, _| {
        fs::write(generation(volume).join("more"), "x").unwrap();
    }),
    ("a directory that nobody may enter", |volume, _| {
        let directory = volume.join("..closed/a/b/c");
        fs::create_dir_all(&directory).unwrap();
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(volume.join("..closed"), closed).unwrap();
        std::os::unix::fs::chown(volume.join("..closed"), Some(1000), None).unwrap();
    }),
    ("links at the top lead away", |volume, _| {
        for name in ["user", "password", "tls"] {
            remove(&volume.join(name));
        }
        symlink("/etc", volume.join("tls")).unwrap();
        symlink("/", volume.join("..data_new")).unwrap();
        fs::write(volume.join("password"), "mine").unwrap();
    }),
];

/// Republishing heals it, at once, and nothing else is touched.
async fn healed(node: &Node, call: &Call, refresh: bool) {
    let bystander = node.volume("bystander");
    Script::version(1).write(&node.script());
    call.publish(&bystander).await.unwrap();
    for (attack, attacked) in ATTACKS {
        Script::version(1).write(&node.script());
        let volume = node.volume("secrets");
        call.publish(&volume).await.unwrap();
        attacked(&node.writable(&volume), &bystander.target);
        let script = Script::version(if refresh { 2 } else { 1 });
        script.write(&node.script());
        call.publish(&volume).await.unwrap();
        eprintln!("{attack} (refresh: {refresh})");
        assert_published(&volume.target, &script, None);
        assert_published(&bystander.target, &Script::version(1), None);
        call.unpublish(&volume).await.unwrap();
    }
}

#[test]
#[ignore = "needs root"]
fn every_attack_is_healed_by_the_next_republish() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        healed(&node, &call, false).await;
        healed(&node, &call, true).await;
    });
}

#[test]
#[ignore = "needs root"]
fn swapping_without_pause_reaches_nothing_else() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let (volume, bystander) = (node.volume("secrets"), node.volume("bystander"));
        call.publish(&volume).await.unwrap();
        call.publish(&bystander).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let swapper = {
            let (stop, container) = (stop.clone(), node.writable(&volume));
            let other = bystander.target.clone();
            std::thread::spawn(move || swap_until(&stop, &container, &other))
        };
        for version in 2..60 {
            Script::version(version).write(&node.script());
            // Whether this one gets through is the container's choice; kubelet hears OK.
            call.publish(&volume).await.unwrap();
        }
        stop.store(true, Ordering::SeqCst);
        assert!(swapper.join().unwrap() > 0, "nothing was swapped");
        assert_published(&bystander.target, &Script::version(1), None);
        Script::version(100).write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(100), None);
    });
}

/// Replaces whatever the volume's own names are, as fast as it can. How often that worked.
fn swap_until(stop: &AtomicBool, volume: &Path, other: &Path) -> usize {
    let mut swapped = 0;
    while !stop.load(Ordering::SeqCst) {
        for name in fs::read_dir(volume).unwrap() {
            let path = name.unwrap().path();
            if !path
                .file_name()
                .unwrap()
                .as_encoded_bytes()
                .starts_with(b"..")
            {
                continue;
            }
            // The plugin may have been faster.
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            let done = match swapped % 3 {
                0 => symlink("/", &path).is_ok(),
                1 => mkfifo(&path, Mode::S_IRWXU).is_ok(),
                _ => symlink(other, &path).is_ok(),
            };
            swapped += usize::from(done);
        }
    }
    swapped
}
