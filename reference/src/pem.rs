//! PEM (RFC 7468): the blocks of a text, kept byte for byte. What is between and around them (headings, comments, white space) is left
//! out, as every reader does.

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Such as `CERTIFICATE` or `RSA PRIVATE KEY`
    pub label: &'a str,
    /// From its `-----BEGIN` to the dashes after its `-----END`
    pub text: &'a str,
}

/// The blocks of `text` in their order. What begins and never ends is none.
pub fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, begun) = rest.split_once(BEGIN)?;
        let start = rest.len() - begun.len() - BEGIN.len();
        let (label, _) = begun.split_once(DASHES)?;
        let end = format!("-----END {label}{DASHES}");
        let length = rest[start..].find(&end)? + end.len();
        let block = Block {
            label,
            text: &rest[start..start + length],
        };
        rest = &rest[start + length..];
        Some(block)
    })
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

// === impl Block ===

impl<'a> Block<'a> {
    /// Whether it is of this kind: `PRIVATE KEY` is also every key that says its algorithm before it.
    #[must_use]
    pub fn is_of(&self, kind: &str) -> bool {
        let before = self.label.strip_suffix(kind);
        before.is_some_and(|before| before.is_empty() || before.ends_with(' '))
    }

    /// The lines between the first and the last, which hold base64.
    pub(crate) fn body(&self) -> &'a str {
        let frame = self.label.len() + DASHES.len();
        let (start, end) = (BEGIN.len() + frame, "-----END ".len() + frame);
        &self.text[start..self.text.len() - end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_anything() {
        let text = "heading\r\n-----BEGIN EC PRIVATE KEY-----\r\nAA==\r\n-----END EC PRIVATE KEY-----\r\nbetween\n\
            -----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE----------BEGIN CERTIFICATE-----\nCC==\n-----END CERTIFICATE-----\n\
            -----BEGIN CERTIFICATE-----\nDD==\n-----END X-----";
        let found: Vec<(&str, &str)> = blocks(text)
            .map(|block| (block.label, block.body().trim()))
            .collect();
        assert_eq!(
            found,
            [
                ("EC PRIVATE KEY", "AA=="),
                ("CERTIFICATE", "BB=="),
                ("CERTIFICATE", "CC==")
            ]
        );
        assert_eq!(
            blocks(text).next().unwrap().text,
            "-----BEGIN EC PRIVATE KEY-----\r\nAA==\r\n-----END EC PRIVATE KEY-----"
        );
        for none in [
            "",
            "-----BEGIN ",
            "-----BEGIN A",
            "-----BEGIN A-----",
            "-----END A-----",
        ] {
            assert_eq!(blocks(none).count(), 0, "{none}");
        }
    }

    #[test]
    fn kinds() {
        let block = |label| Block { label, text: "" };
        for (label, kind, expected) in [
            ("CERTIFICATE", "CERTIFICATE", true),
            ("RSA PRIVATE KEY", "PRIVATE KEY", true),
            ("PRIVATE KEY", "PRIVATE KEY", true),
            ("PRIVATE KEY", "RSA PRIVATE KEY", false),
            ("PUBLIC KEY", "PRIVATE KEY", false),
            ("NOTPRIVATE KEY", "PRIVATE KEY", false),
        ] {
            assert_eq!(block(label).is_of(kind), expected, "{label} {kind}");
        }
    }
}
