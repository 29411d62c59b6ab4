//! The newlines at the end of a file.

use envlatch_secret::Secret;

/// Cuts every newline at the end, as the shell's `$(cat FILE)` does. A carriage return is content.
pub(crate) fn trim_newlines(content: Secret) -> Secret {
    let bytes = content.expose();
    let kept = bytes
        .iter()
        .rposition(|byte| *byte != b'\n')
        .map_or(0, |last| last + 1);
    if kept == bytes.len() {
        content
    } else {
        Secret::new(bytes[..kept].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newlines_at_the_end_are_cut() {
        for (content, expected) in [
            ("a\n\n", "a"),
            ("a", "a"),
            ("\na\nb\n", "\na\nb"),
            ("\n", ""),
            ("", ""),
            ("a\r\n", "a\r"),
        ] {
            assert_eq!(
                trim_newlines(content.into()),
                Secret::from(expected),
                "{content:?}"
            );
        }
    }
}
