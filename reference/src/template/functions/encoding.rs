//! Functions that change the form of a text: base64, base32, URLs, HTML.

use base32ct::{Base32Upper, Encoding as _};
use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use super::{Arguments, Fault};
use crate::template::MAX_OUTPUT;
use crate::template::output::Output;

pub(super) fn b64enc(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    encode(Base64::encode_string, arguments, output)
}

pub(super) fn b64dec(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let decoded = Base64::decode_vec(&one_line(arguments)?);
    let decoded = decoded.map_err(|_says_no_more| Fault::Cause("needs base64 with its padding"))?;
    output.push(&*Zeroizing::new(decoded))
}

pub(super) fn b32enc(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    encode(Base32Upper::encode_string, arguments, output)
}

pub(super) fn b32dec(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let decoded = Base32Upper::decode_vec(&one_line(arguments)?);
    let decoded = decoded.map_err(|_says_no_more| Fault::Cause("needs base32 with its padding"))?;
    output.push(&*Zeroizing::new(decoded))
}

fn encode(
    encode: fn(&[u8]) -> String,
    arguments: &Arguments<'_>,
    output: &mut Output,
) -> Result<(), Fault> {
    let bytes = arguments.bytes(0)?;
    if bytes.len() > MAX_OUTPUT {
        return Err(Fault::TooLong);
    }
    output.push(&*Zeroizing::new(encode(&bytes)))
}

/// Line breaks are no part of the data, as for Go: `base64(1)` puts them in.
fn one_line(arguments: &Arguments<'_>) -> Result<Zeroizing<String>, Fault> {
    Ok(Zeroizing::new(arguments.text(0)?.replace(['\n', '\r'], "")))
}

/// As Go's `url.QueryEscape`: a blank becomes `+`, and what RFC 3986 calls unreserved stays.
pub(super) fn urlquery(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    for text in arguments.texts() {
        for byte in text?.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    output.push([byte])
                }
                b' ' => output.push("+"),
                _ => output.push(format!("%{byte:02X}")),
            }?;
        }
    }
    Ok(())
}

/// As Go's `template.HTMLEscaper`.
pub(super) fn html(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    for text in arguments.texts() {
        for character in text?.chars() {
            match character {
                '"' => output.push("&#34;"),
                '\'' => output.push("&#39;"),
                '&' => output.push("&amp;"),
                '<' => output.push("&lt;"),
                '>' => output.push("&gt;"),
                '\0' => output.push_char(char::REPLACEMENT_CHARACTER),
                _ => output.push_char(character),
            }?;
        }
    }
    Ok(())
}
