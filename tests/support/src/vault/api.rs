//! The harness' own requests to a server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use ureq::http::Request;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::tls::{Authority, provider};

/// The header that marks these requests in the audit log.
pub(super) const MARK: &str = "x-envlatch-harness";

/// A client of one server.
pub(super) struct Api {
    agent: Agent,
    base: String,
    token: Mutex<String>,
}

/// A client that trusts `authority` alone and takes nothing from this process' environment.
pub(crate) fn agent(authority: Option<&Authority>) -> Agent {
    let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider());
    if let Some(authority) = authority {
        let ca = Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate");
        tls = tls.root_certs(RootCerts::Specific(Arc::new(vec![ca])));
    }
    Agent::config_builder()
        .tls_config(tls.build())
        .proxy(None::<Proxy>)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_idle_connections(0)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .new_agent()
}

// === impl Api ===

impl Api {
    pub(super) fn new(address: &str, authority: Option<&Authority>) -> Self {
        Self {
            agent: agent(authority),
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
