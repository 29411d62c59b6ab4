//! What the kernel accepts as an environment, checked before it is asked, because it answers with one word for all of it.

use nix::sys::resource::{Resource, getrlimit};

use crate::merge::Merged;
use crate::name::shown;
use crate::problem::{Exit, Problems};

/// Longest `NAME=value` with its NUL, in bytes: `MAX_ARG_STRLEN`, 32 pages (`execve(2)`).
const MAX_STRING: usize = 32 * 4096;

/// What the kernel allows in all, whatever the stack limit: 3/4 of `_STK_LIM` (`execve(2)`).
const MAX_TOTAL: u64 = 6 * 1024 * 1024;

/// What it always allows: `ARG_MAX`.
const MIN_TOTAL: u64 = 128 * 1024;

/// Checks names, values and sizes of the program's environment together with its arguments.
///
/// # Errors
/// Each value that cannot be passed, by name, source and size.
pub(crate) fn check(merged: &Merged, argv: &[impl AsRef<std::ffi::OsStr>]) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for (name, entry) in &merged.0 {
        let place = || format!("{} (from {})", shown(name), entry.source.text);
        if entry.value.expose().contains(&0) {
            let text = "holds a NUL byte, which no variable can; let the program read it as a file";
            problems.add(Exit::Data, format!("{}: {text}", place()));
        }
        let size = string_size(name, &entry.value);
        if size > MAX_STRING {
            let text = format!(
                "has {size} bytes with its name, the kernel allows {MAX_STRING}; let the program read it as a file"
            );
            problems.add(Exit::Data, format!("{}: {text}", place()));
        }
    }
    if let Some(text) = too_large(merged, argv, total_limit()) {
        problems.add(Exit::Data, text);
    }
    problems.or_ok(())
}

/// Bytes of `NAME=value` and its NUL.
fn string_size(name: &[u8], value: &envlatch_secret::Secret) -> usize {
    name.len() + value.len() + 2
}

fn too_large(merged: &Merged, argv: &[impl AsRef<std::ffi::OsStr>], limit: u64) -> Option<String> {
    let pointer = size_of::<usize>();
    let strings = merged
        .0
        .iter()
        .map(|(name, entry)| string_size(name, &entry.value) + pointer);
    let arguments = argv.iter().map(|word| word.as_ref().len() + 1 + pointer);
    // The kernel also puts the command's path there once more.
    let path = argv.first().map_or(0, |word| word.as_ref().len() + 1);
    let total = (strings.sum::<usize>() + arguments.sum::<usize>() + path) as u64;
    if total <= limit {
        return None;
    }
    let mut largest: Vec<_> = merged
        .0
        .iter()
        .map(|(name, entry)| (string_size(name, &entry.value), shown(name)))
        .collect();
    largest.sort_by(|a, b| b.cmp(a));
    let largest: Vec<_> = largest
        .iter()
        .take(5)
        .map(|(size, name)| format!("{name} {size}"))
        .collect();
    Some(format!(
        "environment and arguments have {total} bytes, the kernel allows {limit} (a quarter of the stack limit, see ulimit \
         -s); largest: {}; let the program read large values as files",
        largest.join(", ")
    ))
}

fn total_limit() -> u64 {
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft);
    (stack / 4).clamp(MIN_TOTAL, MAX_TOTAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Candidate, Source};
    use crate::settings::OnConflict;

    fn merged(variables: &[(&str, Vec<u8>)]) -> Merged {
        let candidate = |(name, value): &(&str, Vec<u8>)| Candidate {
            name: name.as_bytes().to_vec(),
            value: Some(envlatch_secret::Secret::new(value.clone())),
            source: Source::new("test"),
        };
        let mut merged = Merged::default();
        merged
            .add(variables.iter().map(candidate).collect(), OnConflict::Error)
            .unwrap();
        merged
    }

    #[test]
    fn the_longest_string_is_named_with_its_size() {
        let fits = merged(&[("A", vec![b'x'; MAX_STRING - 3])]);
        check(&fits, &["app"]).unwrap();
        let text = check(&merged(&[("A", vec![b'x'; MAX_STRING - 2])]), &["app"])
            .unwrap_err()
            .message();
        assert!(
            text.starts_with("A (from test): has 131073 bytes"),
            "{text}"
        );
    }

    #[test]
    fn nul_is_named() {
        let text = check(&merged(&[("A", vec![b'x', 0])]), &["app"])
            .unwrap_err()
            .message();
        assert!(
            text.starts_with("A (from test): holds a NUL byte"),
            "{text}"
        );
    }

    #[test]
    fn the_largest_are_named_when_all_is_too_much() {
        let many: Vec<_> = ["A", "B", "C", "D", "E", "F"]
            .iter()
            .enumerate()
            .map(|(size, name)| (*name, vec![b'x'; size]))
            .collect();
        let text = too_large(&merged(&many), &["app"], 10).unwrap();
        assert!(text.contains("largest: F 8, E 7, D 6, C 5, B 4;"), "{text}");
        assert_eq!(too_large(&merged(&many), &["app"], 10_000), None);
    }
}
