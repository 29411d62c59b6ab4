//! A namespace of one test, with what the test puts into it.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::pod::{Pod, restricted};
use super::{Cluster, soon, story};
use crate::vault::Vault;

/// A namespace. Deleted when dropped; when the test fails, what happened in it is printed before.
pub struct Namespace {
    pub(super) cluster: &'static Cluster,
    name: String,
    /// What must not be printed
    secrets: Mutex<Vec<String>>,
}

// === impl Namespace ===

impl Namespace {
    pub(super) fn new(cluster: &'static Cluster, hint: &str) -> Self {
        let random: String = std::iter::repeat_with(|| fastrand::char('a'..='z'))
            .take(6)
            .collect();
        let name = format!("{hint}-{random}");
        cluster.apply(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }));
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        soon("the namespace has its service account", || {
            (cluster.try_request("GET", &account, &Value::Null).0 == 200).then_some(())
        });
        Self {
            cluster,
            name,
            secrets: Mutex::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets any pod run here, for a test of what Pod Security forbids.
    pub fn privileged(&self) {
        self.cluster.apply(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": self.name,
                "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
            },
        }));
    }

    /// Creates or changes an object in this namespace.
    #[track_caller]
    pub fn apply(&self, mut object: Value) -> Value {
        object["metadata"]["namespace"] = json!(self.name);
        self.cluster.apply(&object)
    }

    /// Creates or changes a Secret with these texts.
    #[track_caller]
    pub fn secret(&self, name: &str, data: &Value) {
        self.hide(data);
        self.apply(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": data,
        }));
    }

    /// Creates a pod with this `spec`; what Pod Security demands and tests always want is filled in where it is missing.
    #[track_caller]
    pub fn pod(&self, name: &str, spec: &Value) -> Pod<'_> {
        self.apply(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": restricted(spec),
        }));
        self.existing_pod(name)
    }

    /// A pod that a controller made.
    #[must_use]
    pub fn existing_pod(&self, name: &str) -> Pod<'_> {
        Pod::new(self, name)
    }

    /// The names of the pods that have these labels (`job-name=a`).
    #[must_use]
    pub fn pods(&self, labels: &str) -> Vec<String> {
        let list = self.cluster.request(
            "GET",
            &self.path(&format!("pods?labelSelector={labels}")),
            &Value::Null,
        );
        let items = list["items"].as_array().into_iter().flatten();
        items
            .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Writes `secret/NAMESPACE/path` (KV version 2) and lets the accounts of this namespace read everything there, in the
    /// role that has the namespace's name.
    #[track_caller]
    pub fn put(&self, vault: &Vault, path: &str, data: &Value) {
        self.hide(data);
        let name = &self.name;
        vault.put_kv2(&format!("{name}/{path}"), data);
        let rule = format!("path \"secret/data/{name}/*\" {{ capabilities = [\"read\"] }}");
        vault.policy(name, &rule);
        self.role(vault, &json!({}));
    }

    /// Writes the role that has the namespace's name, with the namespace's policy and what `more` says.
    #[track_caller]
    pub fn role(&self, vault: &Vault, more: &Value) {
        let mut role = json!({
            "bound_service_account_names": "*",
            "bound_service_account_namespaces": self.name,
            "token_policies": self.name,
            "token_ttl": "10m",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            role[key] = value.clone();
        }
        vault.api(
            "POST",
            &format!("auth/kubernetes/role/{}", self.name),
            &role,
        );
    }

    /// The variables with which the launcher reaches `vault` in this namespace's role.
    #[must_use]
    pub fn vault_env(&self, vault: &Vault) -> Vec<Value> {
        let variable = |name: &str, value: &str| json!({"name": name, "value": value});
        vec![
            variable("VAULT_ADDR", vault.address()),
            variable("VAULT_CACERT_BYTES", &vault.ca_pem()),
            variable("VAULT_ROLE", &self.name),
        ]
    }

    /// What happened here, as `REASON OBJECT MESSAGE` lines.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        let list = self
            .cluster
            .request("GET", &self.path("events"), &Value::Null);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().into_iter().flatten();
        items
            .map(|event| {
                let object = text(&event["involvedObject"]["name"]);
                format!(
                    "{} {object} {}",
                    text(&event["reason"]),
                    text(&event["message"])
                )
            })
            .collect()
    }

    /// What a person would look at after a failure, without what this namespace's secrets hold.
    #[must_use]
    pub fn story(&self) -> String {
        let secrets = self.secrets.lock().expect("nobody panics with it");
        story::of(self.cluster, &self.name, &secrets)
    }

    /// A path below this namespace in the core group.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.name)
    }

    /// From now on the texts in `data` are not printed when the test fails.
    fn hide(&self, data: &Value) {
        let mut secrets = self.secrets.lock().expect("nobody panics with it");
        let texts = data.as_object().into_iter().flat_map(|map| map.values());
        secrets.extend(texts.filter_map(Value::as_str).map(str::to_owned));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
        // The test is over, and nobody waits for it to be gone.
        let _ = self.cluster.try_request(
            "DELETE",
            &format!("/api/v1/namespaces/{}", self.name),
            &Value::Null,
        );
    }
}
