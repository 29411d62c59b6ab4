//! The environment block that the kernel gave this process, which `/proc/PID/environ` shows for as long as it runs.
//!
//! Changing variables does not touch that block (`proc_pid_environ(5)`), so a process that stays has to overwrite it.

use std::ffi::{CStr, c_char};
use std::{fs, io, ptr};

#[allow(
    unsafe_code,
    reason = "the block is known only by a pointer of the C library"
)]
unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// Overwrites every string of the environment with zeros and leaves the environment empty.
///
/// # Errors
/// This process has more than one thread, or `/proc` does not tell: another thread could be reading a variable. Nothing
/// was changed then.
#[allow(
    unsafe_code,
    reason = "the block is known only by a pointer of the C library"
)]
pub fn wipe() -> io::Result<()> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("there is more than one thread"));
    }
    // SAFETY: there is no other thread, so nobody reads or changes the environment now. `environ` is null or points to an
    // array of pointers to C strings that ends with null (environ(7)); they lie in memory of this process that it may
    // write to. Nothing keeps a reference into them: Rust's standard library copies what it hands out.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let length = CStr::from_ptr(*entry).count_bytes();
            for offset in 0..length {
                ptr::write_volatile((*entry).add(offset), 0);
            }
            *entry = ptr::null_mut();
            entry = entry.add(1);
        }
    }
    Ok(())
}
