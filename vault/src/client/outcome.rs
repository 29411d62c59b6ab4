//! What a reply means: its class, whether it may be asked again, and whether it may have been carried out.

use crate::Value;
use crate::call::{Call, Operation};
use crate::error::{Class, Failure, Next, Reasons};
use crate::kv;
use crate::terms::Terms;
use crate::transport::Answer;

/// What a Go server answers to plain HTTP on its TLS port.
const HTTP_TO_TLS_PORT: &[u8] = b"Client sent an HTTP request to an HTTPS server";

/// The JSON object of a successful answer; nothing when it has no body.
pub(super) fn of(answer: &Answer, call: &Call) -> Result<Option<Value>, Failure> {
    let body = parse(&answer.body);
    if matches!(answer.status, 200..=299) {
        return body.map_err(|cause| Failure {
            status: Some(answer.status),
            ..Failure::malformed(cause)
        });
    }
    let body = body.ok().flatten().unwrap_or(Value::Null);
    let reasons = Reasons::of(&body, &call.sent());
    let class = classify(answer.status, call.operation, &reasons);
    let mut failure = Failure {
        status: Some(answer.status),
        executed: may_be_executed(answer.status, class),
        next: next(answer.status, class),
        retry_after: answer.retry_after,
        ..Failure::new(class, cause(class, call.operation, &reasons))
    };
    if class == Class::NotFound {
        failure = kv::explain_absence(failure, &body);
    }
    if answer.body.starts_with(HTTP_TO_TLS_PORT) {
        failure.class = Class::Setting;
        failure.cause = "the server speaks TLS on this port".to_owned();
        failure = failure
            .with_remedy_in(|Terms { addresses, .. }| format!("write https:// in {addresses}"));
    }
    Err(failure)
}

fn parse(body: &[u8]) -> Result<Option<Value>, String> {
    match body.trim_ascii().first() {
        None => Ok(None),
        Some(b'<') => Err("the reply is a web page, not JSON".to_owned()),
        Some(_) => match Value::parse(body) {
            Ok(object @ Value::Object(_)) => Ok(Some(object)),
            Ok(other) => Err(format!(
                "the reply is a JSON {}, not an object",
                other.kind()
            )),
            Err(error) => Err(format!("the reply is {error}")),
        },
    }
}

fn classify(status: u16, operation: Operation, reasons: &Reasons) -> Class {
    let says = |text: &str| reasons.errors.contains(text);
    match status {
        // A wrong password, or a wrapping token that was used, is a bad request to the server.
        400 if operation.presents_credential() => Class::Denied,
        401 | 403 => Class::Denied,
        404 => Class::NotFound,
        429 => Class::RateLimited,
        412 | 472 | 473 => Class::Standby,
        500..=599 if says("active cluster node not found") || says("standby") => Class::Standby,
        503 if says("sealed") || says("not initialized") || reasons.errors.is_empty() => {
            Class::Sealed
        }
        500..=599 => Class::ServerError,
        _ => Class::Rejected,
    }
}

/// The server's own words, or ours when it has none.
fn cause(class: Class, operation: Operation, reasons: &Reasons) -> String {
    let ours = match class {
        Class::Sealed => "the server is sealed or unavailable",
        Class::Standby => "the server is a standby or lags behind",
        Class::RateLimited => "too many requests",
        Class::Denied if operation.presents_credential() => "the credential was refused",
        Class::Denied => "permission denied",
        Class::NotFound => "there is nothing at this path",
        Class::ServerError => "the server failed",
        _ => "the server refused the request",
    };
    if reasons.errors.is_empty() || reasons.errors == ours {
        return ours.to_owned();
    }
    match class {
        Class::Rejected | Class::ServerError => format!("{ours}: {}", reasons.errors),
        _ => format!("{ours} ({})", reasons.errors),
    }
}

fn next(status: u16, class: Class) -> Next {
    match class {
        Class::ServerError if status == 501 => Next::OtherServer,
        Class::Sealed | Class::Standby | Class::RateLimited | Class::ServerError => Next::Repeat,
        _ => Next::GiveUp,
    }
}

fn may_be_executed(status: u16, class: Class) -> bool {
    class == Class::ServerError && !matches!(status, 501 | 503)
}
