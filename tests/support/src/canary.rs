//! Values that are looked for wherever they must not be.
//!
//! A canary is random text that a test plants as a secret. It must not be in any output afterwards: neither as it is,
//! nor in the forms in which formatters, encoders and servers show it.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};

/// A random value of 32 characters with some that URLs, JSON and shells escape.
#[must_use]
pub fn canary() -> String {
    let mut text: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(28)
        .collect();
    // In the middle, so that no form of it begins or ends with a character that somebody trims.
    text.insert_str(14, "\"/+&");
    text
}

/// The first of the `canaries` that is in `output` in any form, as its place in the list and the name of the form.
#[must_use]
pub fn find_canary<C: AsRef<[u8]>>(output: &[u8], canaries: &[C]) -> Option<(usize, &'static str)> {
    canaries.iter().enumerate().find_map(|(index, canary)| {
        let form = forms(canary.as_ref())
            .into_iter()
            .find(|(_, bytes)| holds(output, bytes))?;
        Some((index, form.0))
    })
}

/// Expects that no canary is in any of the `outputs`, which are pairs of a name and bytes.
///
/// # Panics
/// With the name of the output, the place of the canary in the list and its form: never with the canary.
#[track_caller]
pub fn assert_no_canary<O: AsRef<[u8]>, C: AsRef<[u8]>>(outputs: &[(&str, O)], canaries: &[C]) {
    for (name, output) in outputs {
        if let Some((index, form)) = find_canary(output.as_ref(), canaries) {
            panic!("canary {index} is in {name}, {form}");
        }
    }
}

fn holds(output: &[u8], bytes: &[u8]) -> bool {
    output.windows(bytes.len()).any(|window| window == bytes)
}

/// Every form in which a value gives itself away.
fn forms(canary: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    assert!(canary.len() >= 8, "a short canary is found by chance");
    let mut forms = vec![
        ("as it is", canary.to_vec()),
        ("in hexadecimal", HEXLOWER.encode(canary).into_bytes()),
        ("in hexadecimal", HEXUPPER.encode(canary).into_bytes()),
        ("URL-encoded", percent(canary, false)),
        ("URL-encoded, all of it", percent(canary, true)),
        (
            "URL-encoded in lower case",
            lower_escapes(percent(canary, false)),
        ),
        (
            "as a list of numbers",
            format!("{canary:?}").trim_matches(['[', ']']).into(),
        ),
        (
            "escaped by Rust",
            canary.escape_ascii().to_string().into_bytes(),
        ),
    ];
    // `/` as it is, then as PHP and some JavaScript escape it; `&` as Go's encoder does.
    let json = serde_json::to_string(&String::from_utf8_lossy(canary)).expect("text is JSON");
    let json = json.trim_matches('"').to_owned();
    forms.push(("escaped as JSON", json.clone().into_bytes()));
    forms.push((
        "escaped as JSON with \\/",
        json.replace('/', "\\/").into_bytes(),
    ));
    forms.push((
        "escaped as JSON with \\u0026",
        json.replace('&', "\\u0026").into_bytes(),
    ));
    for encoding in [&BASE64_NOPAD, &BASE64URL_NOPAD] {
        for shift in 0..3 {
            forms.push(("in base64", aligned(canary, shift, encoding)));
        }
    }
    forms
}

/// What base64 shows of `canary` when `shift` bytes stand before it: only the characters that it alone decides.
fn aligned(canary: &[u8], shift: usize, encoding: &Encoding) -> Vec<u8> {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(canary);
    let text = encoding.encode(&bytes).into_bytes();
    let first = (shift * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    text[first..last].to_vec()
}

fn percent(canary: &[u8], all: bool) -> Vec<u8> {
    let mut text = String::new();
    for &byte in canary {
        if !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text.into_bytes()
}

/// `%2f` for `%2F`.
fn lower_escapes(mut text: Vec<u8>) -> Vec<u8> {
    let escapes: Vec<usize> = (0..text.len()).filter(|&at| text[at] == b'%').collect();
    for at in escapes {
        text[at..at + 3].make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, BASE64URL};

    const CANARY: &str = "a1B2c3D4\"/+&e5F6g7H8";

    #[test]
    fn every_form_is_found() {
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let cases = [
            ("raw", CANARY.to_owned()),
            ("lower hex", HEXLOWER.encode(CANARY.as_bytes())),
            ("upper hex", HEXUPPER.encode(CANARY.as_bytes())),
            ("base64, first alignment", BASE64.encode(CANARY.as_bytes())),
            (
                "base64, second alignment",
                BASE64.encode(format!("x{CANARY}y").as_bytes()),
            ),
            (
                "base64, third alignment",
                BASE64.encode(format!("xx{CANARY}").as_bytes()),
            ),
            (
                "base64 for URLs",
                BASE64URL.encode(format!("user:{CANARY}").as_bytes()),
            ),
            ("URL", "a1B2c3D4%22%2F%2B%26e5F6g7H8".to_owned()),
            (
                "URL in lower case",
                "a1B2c3D4%22%2f%2b%26e5F6g7H8".to_owned(),
            ),
            ("JSON", json(CANARY)),
            ("JSON of Go", json(CANARY).replace('&', "\\u0026")),
            ("JSON of PHP", json(CANARY).replace('/', "\\/")),
            ("Debug of text", format!("{CANARY:?}")),
            ("Debug of bytes", format!("{:?}", CANARY.as_bytes())),
        ];
        for (name, form) in cases {
            let output = format!("before {form} after");
            let found = find_canary(output.as_bytes(), &["not this one", CANARY]);
            assert_eq!(found.map(|(index, _)| index), Some(1), "{name}: {output}");
        }
    }

    #[test]
    fn other_text_is_not_found() {
        assert_eq!(find_canary(b"a1B2c3D4 and e5F6g7H8", &[CANARY]), None);
        assert_eq!(find_canary(b"", &[CANARY]), None);
        assert_no_canary(&[("stdout", "quiet")], &[canary()]);
    }

    #[test]
    #[should_panic(expected = "canary 0 is in stderr, as it is")]
    fn a_leak_fails_the_test_without_the_value() {
        let canary = canary();
        assert_no_canary(&[("stdout", "quiet"), ("stderr", &canary)], &[&canary]);
    }

    #[test]
    fn canaries_differ() {
        assert_ne!(canary(), canary());
    }
}
