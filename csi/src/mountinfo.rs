//! What is mounted, from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`): the truth about volumes, whatever this
//! process remembers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The "device" that our own file systems name; it tells them from those of other drivers.
pub const SOURCE: &str = "envlatch-csi";

/// The table of this mount namespace, open. Reading it needs no path, so it works behind any confinement.
#[derive(Debug)]
pub struct MountInfo(File);

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number for it (`statx(2)`, `stx_mnt_id`).
    pub id: u64,
    /// Where it is, with `\040` and the like as the kernel writes them.
    pub point: String,
    /// Type of its file system.
    pub kind: String,
    /// What was mounted.
    pub source: String,
    /// Options of the file system, such as `size=64k`.
    pub options: String,
}

// === impl MountInfo ===

impl MountInfo {
    /// Opens the table.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn open() -> io::Result<Self> {
        File::open("/proc/self/mountinfo").map(Self)
    }

    /// What is mounted now, in the order of mounting.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn read(&self) -> io::Result<Vec<Mount>> {
        let mut table = Vec::new();
        let mut part = vec![0; 16 << 10];
        loop {
            match self.0.read_at(&mut part, table.len() as u64)? {
                0 => break,
                length => table.extend_from_slice(&part[..length]),
            }
        }
        Ok(String::from_utf8_lossy(&table)
            .lines()
            .filter_map(Mount::parse)
            .collect())
    }
}

// === impl Mount ===

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ');
        let mut after = after.split(' ');
        Some(Self {
            id: before.next()?.parse().ok()?,
            point: before.nth(3)?.to_owned(),
            kind: after.next()?.to_owned(),
            source: after.next()?.to_owned(),
            options: after.next()?.to_owned(),
        })
    }

    /// Whether it is a file system of ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.kind == "tmpfs" && self.source == SOURCE
    }

    /// The `size=` of a tmpfs in bytes; the kernel writes it in KiB.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        let size = self
            .options
            .split(',')
            .find_map(|option| option.strip_prefix("size="))?;
        match size.strip_suffix('k') {
            Some(kib) => kib.parse::<u64>().ok()?.checked_mul(1024),
            None => size.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let mount = Mount::parse(
            "812 30 0:60 / /var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/a/mount ro,nosuid,nodev,noexec shared:4 \
             master:2 - tmpfs envlatch-csi rw,size=64k,nr_inodes=40,mode=755,noswap",
        )
        .unwrap();
        assert_eq!(mount.id, 812);
        assert_eq!(
            mount.point,
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/a/mount"
        );
        assert!(mount.is_ours());
        assert_eq!(mount.size(), Some(65536));
        let foreign = Mount::parse("36 35 98:0 /a /b rw - tmpfs tmpfs rw").unwrap();
        assert!(!foreign.is_ours());
        assert_eq!(foreign.size(), None);
        assert_eq!(Mount::parse("36 35 98:0 /a /b rw"), None);
    }

    #[test]
    fn the_table_can_be_read_again_and_again() {
        let table = MountInfo::open().unwrap();
        let first = table.read().unwrap();
        assert!(first.iter().any(|mount| mount.point == "/proc"));
        assert_eq!(table.read().unwrap().len(), first.len());
    }
}
