//! A directory laid out as the kubelet and CSI drivers lay out secret volumes.
//!
//! ```text
//! ..2026_11_24_01_32_36.000000001/db-password   the generation
//! ..data -> ..2026_11_24_01_32_36.000000001      the link that one rename swaps
//! db-password -> ..data/db-password              one link per first path component
//! ```
//!
//! This is the layout of Kubernetes' `AtomicWriter` (pkg/volume/util/atomic_writer.go), which the Secrets Store CSI
//! driver uses as well.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A secret volume in a temporary directory.
pub struct CsiVolume {
    root: TempDir,
    generation: u32,
}

// === impl CsiVolume ===

impl CsiVolume {
    /// A volume with these files. A name may be a path below the volume (`tls/ca.crt`).
    #[must_use]
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let root = TempDir::new().expect("cannot make a temporary directory");
        let mut volume = Self {
            root,
            generation: 0,
        };
        volume.swap(files);
        volume
    }

    /// The directory that a container would have mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The directory that `..data` points to now.
    #[must_use]
    pub fn generation(&self) -> PathBuf {
        let link = fs::read_link(self.path().join("..data")).expect("the volume has a generation");
        self.path().join(link)
    }

    /// Replaces the content: a new generation, one rename of `..data`, the links, then the old generation goes.
    pub fn swap(&mut self, files: &[(&str, &[u8])]) {
        let old = (self.generation > 0).then(|| self.generation());
        self.generation += 1;
        let name = format!("..2026_11_24_01_32_36.{:09}", self.generation);
        let folder = self.path().join(&name);
        fs::create_dir(&folder).expect("cannot make a generation");
        for (path, bytes) in files {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().expect("a file lies in a directory"))
                .and_then(|()| fs::write(&file, bytes))
                .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
        }
        let fresh = self.path().join("..data_tmp");
        symlink(&name, &fresh).expect("cannot make a link");
        fs::rename(&fresh, self.path().join("..data")).expect("cannot rename ..data");
        self.link(files);
        if let Some(old) = old {
            fs::remove_dir_all(old).expect("cannot remove the old generation");
        }
    }

    /// Makes the links of `files` and removes those of files that are gone.
    fn link(&self, files: &[(&str, &[u8])]) {
        let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
        let wanted: BTreeSet<String> = files.iter().map(|(path, _)| first(path)).collect();
        for entry in fs::read_dir(self.path()).expect("the volume can be read") {
            let name = entry.expect("the volume can be read").file_name();
            let name = name.to_str().expect("names here are text");
            if !name.starts_with("..") && !wanted.contains(name) {
                fs::remove_file(self.path().join(name)).expect("cannot remove a link");
            }
        }
        for name in wanted {
            let link = self.path().join(&name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(&name), link).expect("cannot make a link");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn layout_is_that_of_the_atomic_writer() {
        let volume = CsiVolume::new(&[("password", b"one"), ("tls/ca.crt", b"pem")]);
        let data = fs::read_link(volume.path().join("..data")).unwrap();
        assert!(data.to_str().unwrap().starts_with("..2026_"), "{data:?}");
        assert!(volume.path().join(&data).is_dir());
        assert_eq!(
            names(volume.path()),
            [data.to_str().unwrap(), "..data", "password", "tls"]
        );
        for (link, target) in [("password", "..data/password"), ("tls", "..data/tls")] {
            assert_eq!(
                fs::read_link(volume.path().join(link)).unwrap(),
                Path::new(target)
            );
        }
        assert_eq!(fs::read(volume.path().join("password")).unwrap(), b"one");
        assert_eq!(fs::read(volume.path().join("tls/ca.crt")).unwrap(), b"pem");
    }

    #[test]
    fn swap_brings_a_new_generation_and_removes_the_old() {
        let mut volume = CsiVolume::new(&[("kept", b"one"), ("gone", b"x")]);
        let old = volume.generation();
        volume.swap(&[("kept", b"two"), ("new", b"y")]);
        assert_ne!(volume.generation(), old);
        assert!(!old.exists());
        assert_eq!(names(volume.path())[1..], ["..data", "kept", "new"]);
        assert_eq!(fs::read(volume.path().join("kept")).unwrap(), b"two");
    }
}
