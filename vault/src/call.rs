//! One request to a server, before it is known to which.

use std::fmt;

use rustify::endpoint::Endpoint;
use rustify::enums::RequestMethod;

use crate::error::{Class, Failure};
use crate::{Secret, Value};

/// What is asked of a server.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    /// Below `/v1/`, not encoded
    pub(crate) path: String,
    /// The version of a KV v2 secret
    pub(crate) version: Option<u32>,
    /// JSON; empty for none
    pub(crate) body: Secret,
    /// Sent as `X-Vault-Token`
    pub(crate) token: Option<Secret>,
    /// What else is in the request and must not be repeated from the reply
    pub(crate) confidential: Vec<Secret>,
}

/// What a request is for; decides its words and whether it may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Changes nothing
    Read,
    /// Changes something or makes a new credential: sent again only when it was certainly not executed
    Mint,
    /// A decryption by the transit engine
    Decrypt,
    /// A login
    Login,
    /// Asks what a wrapping token holds
    LookUpWrapping,
    /// Takes out what a wrapping token holds; works once
    Unwrap,
    /// A longer life for a token or a lease
    Renew,
    /// The end of a token or a lease
    Revoke,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

// === impl Call ===

impl Call {
    pub(crate) fn get(operation: Operation, path: &str, version: Option<u32>) -> Self {
        Self {
            method: Method::Get,
            version,
            ..Self::post(operation, path, Secret::default())
        }
    }

    pub(crate) fn post(operation: Operation, path: impl Into<String>, body: Secret) -> Self {
        Self {
            operation,
            method: Method::Post,
            path: path.into().trim_matches('/').to_owned(),
            version: None,
            body,
            token: None,
            confidential: Vec::new(),
        }
    }

    /// Path and body of a request type. Only these are taken from it: URLs are made in one place, which also leaves out the
    /// tabulators that some of these paths begin with.
    pub(crate) fn endpoint(operation: Operation, endpoint: &impl Endpoint) -> Self {
        debug_assert!(matches!(endpoint.method(), RequestMethod::POST));
        let body = endpoint.body().ok().flatten().unwrap_or_default();
        let path = endpoint.path();
        Self::post(operation, path.trim(), Secret::new(body))
    }

    /// Refuses a path that a URL would change or that would leave `/v1/`.
    pub(crate) fn check_path(&self) -> Result<(), Failure> {
        let fault = if self.path.chars().any(char::is_control) {
            "the path has a control character in it"
        } else if self
            .path
            .split('/')
            .any(|segment| matches!(segment, "" | "." | ".."))
        {
            "the path is empty or has an empty segment, '.' or '..' in it"
        } else {
            return Ok(());
        };
        Err(Failure::new(Class::Rejected, fault))
    }

    /// Every credential that a reply could repeat.
    pub(crate) fn sent(&self) -> Vec<&Secret> {
        self.token.iter().chain(&self.confidential).collect()
    }
}

// === impl Operation ===

impl Operation {
    /// Whether a request may be sent again when nobody knows whether the first one was executed.
    pub(crate) fn is_repeatable(self) -> bool {
        !matches!(self, Self::Mint | Self::Unwrap)
    }

    /// Whether it is part of a login.
    pub(crate) fn presents_credential(self) -> bool {
        matches!(self, Self::Login | Self::LookUpWrapping | Self::Unwrap)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Mint => "get a new secret from",
            Self::Decrypt => "decrypt with",
            Self::Login => "log in at",
            Self::LookUpWrapping => "look up the wrapping token of the secret id with",
            Self::Unwrap => "unwrap the secret id with",
            Self::Renew => "renew a token or lease with",
            Self::Revoke => "revoke a token or lease with",
        })
    }
}

/// The texts inside `value`, to be kept out of messages.
pub(crate) fn texts_in(value: &Value) -> Vec<Secret> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts_in).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(_, value)| texts_in(value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
