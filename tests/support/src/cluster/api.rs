//! Requests to the API server.

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

use crate::http::agent;

/// A client with the rights of one token.
pub(super) struct Api {
    agent: Agent,
    server: String,
    token: String,
}

// === impl Api ===

impl Api {
    pub(super) fn new(server: &str, ca_pem: &str, token: &str) -> Self {
        Self {
            agent: agent(Some(ca_pem), 0),
            server: server.to_owned(),
            token: token.to_owned(),
        }
    }

    /// Status and JSON, or text where the answer is no JSON; status 0 when there is no answer, with the reason.
    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        match self.bytes(method, path, body) {
            Ok((status, bytes)) => {
                let json = serde_json::from_slice(&bytes);
                let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
                (status, json.unwrap_or_else(|_| text()))
            }
            Err(error) => (0, Value::String(error.to_string())),
        }
    }

    /// The same with the answer as it is.
    pub(super) fn bytes(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        // A patch of ours is always a server-side apply; JSON is YAML.
        let content_type = if method == "PATCH" {
            "application/apply-patch+yaml"
        } else {
            "application/json"
        };
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", content_type)
            .body(text)
            .expect("method and path are well formed");
        let mut answer = self.agent.run(request)?;
        let bytes = answer.body_mut().read_to_vec()?;
        Ok((answer.status().as_u16(), bytes))
    }

    /// Where an object is, as the API server itself says of its kind.
    #[track_caller]
    pub(super) fn path_of(&self, object: &Value) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let root = if version.contains('/') {
            format!("/apis/{version}")
        } else {
            format!("/api/{version}")
        };
        let (status, list) = self.send("GET", &root, &Value::Null);
        let resource = list["resources"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|resource| {
                resource["kind"] == kind.as_str() && !text(&resource["name"]).contains('/')
            })
            .unwrap_or_else(|| panic!("no kind {kind} in {version} (status {status})"));
        let place = if resource["namespaced"] == true {
            format!("namespaces/{}/", text(&object["metadata"]["namespace"]))
        } else {
            String::new()
        };
        let name = text(&object["metadata"]["name"]);
        format!("{root}/{place}{}/{name}", text(&resource["name"]))
    }
}
