//! The harness' own requests to a server.

use std::sync::Mutex;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

use crate::http::agent;

/// The header that marks these requests in the audit log.
pub(super) const MARK: &str = "x-envlatch-harness";

/// A client of one server.
pub(super) struct Api {
    agent: Agent,
    base: String,
    token: Mutex<String>,
}

// === impl Api ===

impl Api {
    pub(super) fn new(address: &str, ca_pem: Option<&str>) -> Self {
        Self {
            agent: agent(ca_pem, 0),
            base: format!("{address}/v1/"),
            token: Mutex::default(),
        }
    }

    pub(super) fn set_token(&self, token: &str) {
        token.clone_into(&mut self.token.lock().expect("no request panics with it"));
    }

    /// Status and JSON; status 0 when there is no answer, with the reason as text.
    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.send_with(method, path, body, &[])
    }

    /// The same with more headers.
    pub(super) fn send_with(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let token = self
            .token
            .lock()
            .expect("no request panics with it")
            .clone();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(MARK, "1");
        if !token.is_empty() {
            request = request.header("x-vault-token", token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("method and path are well formed");
        match self.agent.run(request) {
            Ok(mut answer) => {
                let text = answer.body_mut().read_to_string().unwrap_or_default();
                let json = serde_json::from_str(&text).unwrap_or(Value::Null);
                (answer.status().as_u16(), json)
            }
            Err(error) => (0, Value::String(error.to_string())),
        }
    }
}
