//! Where a brace closes.

/// Where the `}` stands that closes a brace opened just before `text`. From the depth `quoting` on (1 is directly inside that
/// brace), a brace within `"…"`, where `\` escapes, or within `` `…` `` does not count.
///
/// A template action quotes from its first level on. A reference does so only within further braces, which are a template
/// or the JSON arguments of a write: in its own path, key or default text a quote is a character like any other.
pub(crate) fn closing(text: &[u8], quoting: usize) -> Option<usize> {
    let mut depth = 1_usize;
    let mut quote = None;
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(b'"'), b'\\') => escaped = true,
            (Some(open), byte) if *byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'`') if depth >= quoting => quote = Some(*byte),
            (None, b'{') => depth += 1,
            (None, b'}') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_count_from_the_depth_asked_for() {
        for (text, quoting, expected) in [
            ("a}", 1, Some(1)),
            ("\"}\"}", 1, Some(3)),
            ("\"}\"}", 2, Some(1)),
            ("{\"}\"}}", 2, Some(5)),
            ("{\"\\\"}\"}}", 2, Some(7)),
            ("{`}`}}", 2, Some(5)),
            ("`\\`}", 1, Some(3)),
            ("{}", 1, None),
            ("\"}", 1, None),
            ("", 1, None),
        ] {
            assert_eq!(closing(text.as_bytes(), quoting), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn balanced_braces_end_where_they_balance(
            inside in "[a-z]{0,5}(\\{[a-z]{0,5}(\\{[a-z]{0,5}\\}){0,2}\\}){0,3}",
            after in "[a-z{}]{0,9}",
        ) {
            let text = format!("{inside}}}{after}");
            prop_assert_eq!(closing(text.as_bytes(), 1), Some(inside.len()));
        }
    }
}
