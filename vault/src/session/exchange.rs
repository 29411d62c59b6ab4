//! A request whose whole response is wanted, or that has a query of its own.

use std::time::Instant;

use super::Session;
use crate::Value;
use crate::call::{Call, Operation, texts_in};
use crate::error::Error;
use crate::mint::may_mint;
use crate::reply::Reply;

/// A request in the server's own terms.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Below `/v1/`, not encoded
    pub path: &'a str,
    /// The query of a read, not encoded
    pub query: &'a [(String, String)],
    /// What is written, a JSON object; without it, the request is a read
    pub arguments: Option<&'a Value>,
}

// === impl Session ===

impl Session {
    /// Sends `request`. Returns the server's whole response without its request id, which is another each time, and the same
    /// taken apart.
    ///
    /// # Errors
    /// [`Error`]; when [`Error::ambiguous`], a write may have been carried out.
    pub async fn exchange(
        &self,
        request: Request<'_>,
        deadline: Instant,
    ) -> Result<(Value, Reply), Error> {
        let mut call = call(request);
        let body = match self.run(&mut call, deadline).await {
            Ok(body) => body,
            Err(error) => return Err(self.explained(error, &call).await),
        };
        let whole = body.clone().map_or(Value::Null, without_request_id);
        match Reply::of(&call, body, request.arguments.is_some()) {
            Ok(reply) => Ok((whole, reply)),
            Err(failure) => Err(Error::before(&call, failure)),
        }
    }
}

fn call(request: Request<'_>) -> Call {
    if let Some(arguments) = request.arguments {
        return Call {
            confidential: texts_in(arguments),
            ..Call::post(Operation::Mint, request.path, arguments.to_json())
        };
    }
    let operation = if may_mint(request.path) {
        Operation::Mint
    } else {
        Operation::Read
    };
    Call {
        query: request.query.to_vec(),
        ..Call::get(operation, request.path, None)
    }
}

fn without_request_id(response: Value) -> Value {
    match response {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(name, _)| name != "request_id")
                .collect(),
        ),
        other => other,
    }
}
