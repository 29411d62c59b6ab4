//! The file in which Kubernetes looks for a container's last words (`terminationMessagePath`).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// What kubelet reads of it, in bytes.
const MAX_LENGTH: usize = 4096;

/// Writes `message` to `path` if that file exists. Not being able to is no problem of its own: stderr has the message.
pub(crate) fn write(path: &Path, message: &[u8]) {
    let message = &message[..cut(message)];
    if let Ok(mut file) = OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(O_NONBLOCK)
        .open(path)
    {
        let _stderr_has_it = file.write_all(message);
    }
}

/// Where to cut, so that no character is cut in half.
fn cut(message: &[u8]) -> usize {
    let within = message.len().min(MAX_LENGTH);
    (within.saturating_sub(3)..=within)
        .rev()
        .find(|end| std::str::from_utf8(&message[..*end]).is_ok())
        .unwrap_or(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_between_characters() {
        for (message, expected) in [
            ("short".to_owned(), 5),
            ("x".repeat(5000), 4096),
            (format!("{}é", "x".repeat(4095)), 4095),
        ] {
            assert_eq!(cut(message.as_bytes()), expected);
        }
    }

    #[test]
    fn an_absent_file_stays_absent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        write(&path, b"words");
        assert!(!path.exists());
        std::fs::write(&path, "older and longer").unwrap();
        write(&path, b"words");
        assert_eq!(std::fs::read(&path).unwrap(), b"words");
    }
}
