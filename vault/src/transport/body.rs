//! The body of a reply: limited, not compressed, and in memory that is zeroed.

use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use zeroize::Zeroizing;

use crate::error::{Failure, Next};

/// The largest body that is accepted, in bytes; a server sends at most a few hundred KiB for a secret.
const MAX_SIZE: usize = 4 * 1024 * 1024;
/// What is reserved when the server does not say how much it sends.
const FIRST_CAPACITY: usize = 8 * 1024;

const TOO_LARGE: &str = "the reply is larger than 4 MiB";

pub(super) async fn read(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let encoded = response
        .headers()
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity");
    if encoded {
        return Err(Failure::malformed(
            "the reply is compressed, which was not asked for",
        ));
    }
    let status = response.status().as_u16();
    let announced = response.content_length();
    if announced.is_some_and(|length| length > MAX_SIZE as u64) {
        return Err(Failure::malformed(TOO_LARGE));
    }
    let capacity = announced.and_then(|length| usize::try_from(length).ok());
    let mut body = Zeroizing::new(Vec::with_capacity(capacity.unwrap_or(FIRST_CAPACITY)));
    while let Some(chunk) = response.chunk().await.map_err(|_cut| truncated(status))? {
        let length = body.len() + chunk.len();
        if length > MAX_SIZE {
            return Err(Failure::malformed(TOO_LARGE));
        }
        if length > body.capacity() {
            // A vector that grows by itself leaves its old content behind.
            let mut larger = Zeroizing::new(Vec::with_capacity((2 * length).min(MAX_SIZE)));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn truncated(status: u16) -> Failure {
    Failure {
        status: Some(status),
        next: Next::Repeat,
        ..Failure::malformed("the reply was cut off")
    }
}
