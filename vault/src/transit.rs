//! Decryption by the transit engine, many texts in one request.

use data_encoding::BASE64;

use crate::call::{Call, Operation};
use crate::error::{Class, Failure, escaped};
use crate::{Secret, Value};

/// The request that decrypts `ciphertexts`.
pub(crate) fn decryption(mount: &str, key: &str, ciphertexts: &[Secret]) -> Call {
    let item = |ciphertext: &Secret| {
        Value::Object(vec![(
            "ciphertext".to_owned(),
            Value::String(ciphertext.clone()),
        )])
    };
    let items = Value::Array(ciphertexts.iter().map(item).collect());
    let body = Value::Object(vec![("batch_input".to_owned(), items)]);
    let path = format!("{}/decrypt/{key}", mount.trim_matches('/'));
    Call::post(Operation::Decrypt, path, body.to_json())
}

/// The plaintexts in a reply to such a request for `count` texts.
pub(crate) fn plaintexts(reply: Option<&Value>, count: usize) -> Result<Vec<Secret>, Failure> {
    let results = reply
        .and_then(|reply| reply.get("data"))
        .and_then(|data| data.get("batch_results"));
    match results {
        Some(Value::Array(results)) if results.len() == count => {
            results.iter().map(plaintext).collect()
        }
        _ => Err(Failure::malformed(
            "the reply does not hold a result for each text",
        )),
    }
}

fn plaintext(result: &Value) -> Result<Secret, Failure> {
    if let Some(Value::String(error)) = result.get("error")
        && !error.is_empty()
    {
        let error = escaped(error.expose_str().unwrap_or_default());
        return Err(Failure::new(
            Class::Rejected,
            format!("the server refused a text: {error}"),
        ));
    }
    match result.get("plaintext") {
        Some(Value::String(text)) => BASE64
            .decode(text.expose())
            .map(Secret::new)
            .map_err(|_base64| Failure::malformed("a plaintext is not base64")),
        _ => Err(Failure::malformed("a result holds no plaintext")),
    }
}
