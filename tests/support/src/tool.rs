//! Programs that `scripts/tools` built.

use std::env::var_os;
use std::path::PathBuf;

/// The program `name`, or the directory of programs: at the place that `variable` names, else where `scripts/tools` leaves a link to it.
///
/// # Panics
/// When there is none; there is no fallback.
pub(crate) fn tool(variable: &str, name: &str) -> PathBuf {
    let from = |variable| var_os(variable).map(PathBuf::from);
    let path = from(variable).unwrap_or_else(|| {
        from("ENVLATCH_CACHE")
            .or_else(|| Some(from("XDG_CACHE_HOME")?.join("envlatch")))
            .or_else(|| Some(from("HOME")?.join(".cache/envlatch")))
            .expect("HOME is set")
            .join("bin")
            .join(name)
    });
    assert!(
        path.exists(),
        "no {name} at {}: build it with `scripts/tools {name}`, or set {variable}",
        path.display()
    );
    path
}
