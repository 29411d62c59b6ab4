//! A reply as callers see it.

use std::str::FromStr;
use std::time::Duration;

use crate::Value;
use crate::call::Call;
use crate::error::{Failure, Reasons};
use crate::kv;

/// What was read, or what a write returned.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The data; of a KV v2 secret, the secret itself. What an engine returns as a token (`auth`) is the data too. Null when a
    /// write returned nothing.
    pub data: Value,
    /// The version of a KV v2 secret
    pub version: Option<u64>,
    /// The lease of a dynamic secret
    pub lease: Option<Lease>,
    /// When a certificate expires, in seconds since 1970
    pub expiration: Option<u64>,
    /// The server's remarks, escaped and shortened
    pub warnings: Vec<String>,
}

/// How long a dynamic secret lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The name for renewing or revoking it
    pub id: String,
    /// How long it lives from now on
    pub duration: Duration,
    /// Whether it can be renewed
    pub renewable: bool,
}

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// From now on; zero is for ever
    pub duration: Duration,
    /// Whether it can be renewed
    pub renewable: bool,
}

// === impl Reply ===

impl Reply {
    /// Takes a reply apart. Only a write may return nothing.
    pub(crate) fn of(
        call: &Call,
        body: Option<Value>,
        may_be_empty: bool,
    ) -> Result<Self, Failure> {
        let body = match body {
            Some(body) => body,
            None if may_be_empty => Value::Null,
            None => return Err(Failure::malformed("the reply is empty")),
        };
        let warnings = Reasons::of(&body, &call.sent()).warnings;
        let lease = Lease::of(&body);
        let data = match take(body, ["data", "auth"]) {
            Some(data) => data,
            None if may_be_empty => Value::Null,
            None => return Err(Failure::malformed("the reply has no data")),
        };
        let (data, version) = kv::unwrapped(&call.path, data);
        let certificate = data.get("certificate").is_some();
        Ok(Self {
            expiration: number(data.get("expiration")).filter(|_| certificate),
            data,
            version,
            lease,
            warnings,
        })
    }
}

/// The first of the members `keys` that is not null.
fn take(body: Value, keys: [&str; 2]) -> Option<Value> {
    let Value::Object(mut members) = body else {
        return None;
    };
    keys.iter().find_map(|key| {
        let index = members
            .iter()
            .position(|(name, value)| name == key && *value != Value::Null)?;
        Some(members.swap_remove(index).1)
    })
}

// === impl Lease ===

impl Lease {
    pub(crate) fn of(body: &Value) -> Option<Self> {
        let Some(Value::String(id)) = body.get("lease_id") else {
            return None;
        };
        let id = id.expose_str().filter(|id| !id.is_empty())?;
        Some(Self {
            id: id.to_owned(),
            duration: Duration::from_secs(number(body.get("lease_duration"))?),
            renewable: body.get("renewable") == Some(&Value::Bool(true)),
        })
    }
}

// === impl Term ===

impl Term {
    /// From what a reply says under `auth`.
    pub(crate) fn of(auth: &Value) -> Option<Self> {
        Some(Self {
            duration: Duration::from_secs(number(auth.get("lease_duration"))?),
            renewable: auth.get("renewable") == Some(&Value::Bool(true)),
        })
    }
}

/// A whole number of a reply, if it fits.
pub(crate) fn number<N: FromStr>(value: Option<&Value>) -> Option<N> {
    match value {
        Some(Value::Number(digits)) => digits.expose_str()?.parse().ok(),
        _ => None,
    }
}
