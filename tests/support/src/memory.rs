//! What a process has in its memory.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};

/// Whether `bytes` are anywhere in the memory of a process. Needs to be allowed to trace it.
///
/// # Panics
/// When hardly anything of it can be read, because then nothing would be found.
#[must_use]
pub fn memory_holds(pid: i32, bytes: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("/proc is as proc(5) says");
    let mut memory = File::open(format!("/proc/{pid}/mem")).expect("/proc is as proc(5) says");
    let mut looked = 0;
    let mut found = false;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').expect("/proc is as proc(5) says");
        let (from, to) = range.split_once('-').expect("/proc is as proc(5) says");
        let address = |hex| u64::from_str_radix(hex, 16).expect("/proc is as proc(5) says");
        if !rest.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
            continue;
        }
        memory
            .seek(SeekFrom::Start(address(from)))
            .expect("/proc is as proc(5) says");
        let mut content = vec![
            0;
            usize::try_from(address(to) - address(from))
                .expect("/proc is as proc(5) says")
        ];
        if memory.read_exact(&mut content).is_ok() {
            looked += content.len();
            found |= content.windows(bytes.len()).any(|window| window == bytes);
        }
    }
    assert!(
        looked > 100_000,
        "only {looked} bytes of memory could be read"
    );
    found
}
