//! Looking at a volume as a pod does, and as the kernel does.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::script::Script;

/// A file: text, mode, owner, group.
pub type Seen = BTreeMap<String, (String, u32, u32, u32)>;

/// Mounts on `target`, each with its mount options, its source and its file system's options.
#[must_use]
pub fn mounts(target: &Path) -> Vec<String> {
    let target = target.to_str().unwrap();
    fs::read_to_string("/proc/thread-self/mountinfo")
        .unwrap()
        .lines()
        .filter(|line| line.split(' ').nth(4) == Some(target))
        .map(|line| line.split(' ').skip(5).collect::<Vec<_>>().join(" "))
        .collect()
}

/// Every file that a program sees in `target`, read through the links at the top.
#[must_use]
pub fn files(target: &Path) -> Seen {
    let mut seen = Seen::new();
    for name in names(target).iter().filter(|name| !name.starts_with("..")) {
        walk(&target.join(name), name, &mut seen);
    }
    seen
}

fn walk(path: &Path, name: &str, seen: &mut Seen) {
    let metadata = fs::metadata(path).unwrap();
    if metadata.is_dir() {
        for below in names(path) {
            walk(&path.join(&below), &format!("{name}/{below}"), seen);
        }
    } else {
        let text = fs::read_to_string(path).unwrap();
        let entry = (
            text,
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid(),
        );
        seen.insert(name.to_owned(), entry);
    }
}

/// What is directly in a directory.
#[must_use]
pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What must be seen of `script` in a pod with this `fsGroup`.
#[must_use]
pub fn expected(script: &Script, fs_group: Option<u32>) -> Seen {
    let default = if fs_group.is_some() { 0o440 } else { 0o444 };
    let entry = |(path, (text, mode)): (&String, &(String, Option<i64>))| {
        let mode = mode.map_or(default, |mode| u32::try_from(mode).unwrap());
        (path.clone(), (text.clone(), mode, 0, fs_group.unwrap_or(0)))
    };
    script.files.iter().map(entry).collect()
}

/// Asserts that `target` is one mount with exactly the files of `script`, and without debris.
pub fn assert_published(target: &Path, script: &Script, fs_group: Option<u32>) {
    let mounts = mounts(target);
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert_eq!(files(target), expected(script, fs_group));
    let tops = script
        .files
        .keys()
        .map(|path| path.split('/').next().unwrap());
    let (own, names): (Vec<_>, Vec<_>) = names(target)
        .into_iter()
        .partition(|name| name.starts_with(".."));
    let mut wanted: Vec<&str> = tops.collect();
    wanted.sort_unstable();
    wanted.dedup();
    assert_eq!(names, wanted);
    assert_eq!(own.len(), 2, "not ..data and one generation: {own:?}");
}

/// How many names of the volume's own are at its top.
#[must_use]
pub fn own_names(target: &Path) -> usize {
    names(target)
        .iter()
        .filter(|name| name.starts_with(".."))
        .count()
}

/// Asserts that nothing is left of a volume.
pub fn assert_gone(target: &Path) {
    assert_eq!(mounts(target), Vec::<String>::new());
    assert!(!target.exists(), "the mount point is still there");
}

/// Asserts that a plugin that was killed left nothing, or all of one of `scripts`.
pub fn assert_nothing_or_whole(target: &Path, scripts: &[&Script]) {
    let mounts = mounts(target);
    match mounts.len() {
        0 => assert!(
            !target.exists() || names(target).is_empty(),
            "files without a mount"
        ),
        1 => {
            let seen = data(target);
            assert!(
                scripts.iter().any(|script| expected(script, None) == seen),
                "neither the old files nor the new ones: {:?}",
                seen.keys()
            );
        }
        _ => panic!("stacked: {mounts:?}"),
    }
}

/// The generation in force, whatever the links at the top are.
fn data(target: &Path) -> Seen {
    let mut seen = Seen::new();
    let data = target.join("..data");
    for name in names(&data) {
        walk(&data.join(&name), &name, &mut seen);
    }
    seen
}
