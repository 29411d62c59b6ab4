//! A real Kubernetes API server, a real Vault that asks it about tokens, and the operator as a process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use data_encoding::BASE64;
use envlatch_api::manifests;
use envlatch_test_support::{
    Answer, ApiServer, Request, ScriptedServer, TempDir, Vault, eventually, free_port,
};
use serde_json::{Value, json};

/// How long anything may take; it takes a tenth of this on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(120);
/// How long a Lease lasts. A machine that is busy with other tests costs none; a flag can say otherwise.
pub(crate) const LEASE: Duration = Duration::from_secs(15);
pub(crate) const BUNDLES: &str = "/apis/envlatch.io/v1alpha1/namespaces/team/secretbundles";
pub(crate) const SECRETS: &str = "/api/v1/namespaces/team/secrets";

/// Both servers, with a store `main` that grants everything to namespace `team`.
pub(crate) struct Bed {
    pub(crate) kubernetes: ApiServer,
    pub(crate) vault: Vault,
    /// Where operators find the API server: its own address, or that of a proxy.
    address: Mutex<String>,
    folder: TempDir,
}

/// The operator as a process; it is killed with the value.
pub(crate) struct Operator {
    child: Child,
    metrics: SocketAddr,
    log: PathBuf,
}

// === impl Bed ===

impl Bed {
    pub(crate) fn new() -> Self {
        let (kubernetes, vault) = (ApiServer::start(), Vault::dev());
        let definitions = manifests::own().into_iter();
        let definitions: Vec<Value> = definitions
            .map(|one| serde_json::to_value(one).unwrap())
            .collect();
        kubernetes.define(&definitions);
        vault.review_tokens(&kubernetes);
        let paths = ["secret/data/*", "kv/*", "database/creds/*"]
            .map(|path| format!("path \"{path}\" {{ capabilities = [\"read\"] }}"));
        vault.policy("app", &paths.join("\n"));
        let bed = Self {
            address: Mutex::new(kubernetes.address().to_owned()),
            kubernetes,
            vault,
            folder: TempDir::with_prefix("envlatch-operator-").unwrap(),
        };
        bed.role("app", &json!({}));
        for space in ["team", "envlatch"] {
            bed.kubernetes.api(
                "POST",
                "/api/v1/namespaces",
                &json!({"metadata": {"name": space}}),
            );
        }
        bed.kubernetes.api(
            "POST",
            "/api/v1/namespaces/team/serviceaccounts",
            &json!({"metadata": {"name": "app"}}),
        );
        let store = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore", "metadata": {"name": "main"},
            "spec": {"addresses": [bed.vault.address()], "default": true, "grants": [{"namespaces": ["team"], "roles": ["*"]}]},
        });
        bed.kubernetes
            .api("POST", "/apis/envlatch.io/v1alpha1/vaultstores", &store);
        bed.log_in(bed.kubernetes.token());
        bed
    }

    /// Operators started from now on have this token.
    pub(crate) fn log_in(&self, token: &str) {
        fs::write(self.token_file(), token).unwrap();
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Puts a server before the API server that answers what `script` says, and forwards what it says nothing about. Operators started
    /// from now on go through it.
    pub(crate) fn proxy(
        &self,
        script: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> ScriptedServer {
        let upstream = self.kubernetes.upstream();
        let proxy = ScriptedServer::http(move |request| {
            script(request).unwrap_or_else(|| Answer::Forward(upstream.clone()))
        });
        *self.address.lock().unwrap() = proxy.url();
        proxy
    }

    pub(crate) fn role(&self, name: &str, more: &Value) {
        let mut role = json!({
            "bound_service_account_names": ["*"], "bound_service_account_namespaces": ["team"],
            "token_policies": ["app"], "token_ttl": "1h", "audience": "vault",
        });
        role.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.vault
            .api("POST", &format!("auth/kubernetes/role/{name}"), &role);
    }

    /// A bundle of the keys of `secret/app`, with `sync` beside account and Secret's name.
    pub(crate) fn bundle(
        &self,
        name: &str,
        secret: &str,
        spec: &Value,
        sync: &Value,
    ) -> (u16, Value) {
        let mut whole = json!({
            "role": "app",
            "entries": [{"name": "all", "path": "secret/data/app", "allKeys": true}],
            "sync": {"serviceAccount": "app", "secretName": secret},
        });
        merge(&mut whole, spec);
        merge(&mut whole["sync"], sync);
        let bundle = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle", "metadata": {"name": name}, "spec": whole,
        });
        self.kubernetes.send("POST", BUNDLES, &bundle)
    }

    /// The same, which the API server must take.
    #[track_caller]
    pub(crate) fn sync(&self, name: &str, secret: &str, spec: &Value, sync: &Value) {
        let (status, answer) = self.bundle(name, secret, spec, sync);
        assert_eq!(status, 201, "{answer}");
    }

    /// Starts the operator for namespace `team`. One that is started under the name of a dead one need not wait for its Lease.
    pub(crate) fn operator(&self, instance: &str) -> Operator {
        self.operator_with(instance, &[])
    }

    /// The same with further flags.
    pub(crate) fn operator_with(&self, instance: &str, more: &[&str]) -> Operator {
        self.operator_for(instance, &[&["--namespaces", "team"], more].concat())
    }

    /// Starts the operator with flags that say for what.
    pub(crate) fn operator_for(&self, instance: &str, scope: &[&str]) -> Operator {
        let log = self
            .folder
            .path()
            .join(format!("{instance}-{}.log", fastrand::u32(..)));
        let file = File::create(&log).unwrap();
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port("127.0.0.1")));
        let child = Command::new(env!("CARGO_BIN_EXE_envlatch-operator"))
            .args(scope)
            .args(["--own-namespace", "envlatch", "--instance", instance])
            .args([
                "--metrics-address",
                &metrics.to_string(),
                "--log-level",
                "trace",
            ])
            .env_clear()
            .envs(self.kubernetes.service_environment())
            .env(
                "ENVLATCH_KUBERNETES_ADDRESS",
                self.address.lock().unwrap().as_str(),
            )
            .env("ENVLATCH_KUBERNETES_TOKEN_FILE", self.token_file())
            .env("ENVLATCH_LEASE_DURATION", format!("{}s", LEASE.as_secs()))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Operator {
            child,
            metrics,
            log,
        }
    }

    /// Waits until the condition Ready of a bundle has this reason, for its present generation.
    #[track_caller]
    pub(crate) fn until(&self, bundle: &str, reason: &str) -> Value {
        eventually(&format!("{bundle} to be {reason}"), SOON, || {
            let found = self
                .kubernetes
                .api("GET", &format!("{BUNDLES}/{bundle}"), &Value::Null);
            let ready = condition(&found, "Ready");
            let current = ready["observedGeneration"] == found["metadata"]["generation"];
            (current && ready["reason"] == reason).then_some(found)
        })
    }

    /// The content of a Secret; `None` without the Secret.
    pub(crate) fn content(&self, name: &str) -> Option<Value> {
        let (status, secret) =
            self.kubernetes
                .send("GET", &format!("{SECRETS}/{name}"), &Value::Null);
        let text = |value: &Value| {
            String::from_utf8(BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()).unwrap()
        };
        let data = secret["data"].as_object().cloned().unwrap_or_default();
        let data = data
            .iter()
            .map(|(key, value)| (key.clone(), Value::String(text(value))));
        (status == 200).then(|| Value::Object(data.collect()))
    }

    /// Waits until a Secret has this content.
    #[track_caller]
    pub(crate) fn until_content(&self, name: &str, content: &Value) {
        eventually(&format!("Secret {name} to hold {content}"), SOON, || {
            (self.content(name).as_ref() == Some(content)).then_some(())
        });
    }

    /// How often the operator asked for a path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.vault
            .audit()
            .iter()
            .filter(|(_, asked)| asked == path)
            .count()
    }

    /// Has a bundle read everything again; another value each time.
    pub(crate) fn refresh(&self, bundle: &str, value: &str) {
        let asked = json!({"metadata": {"annotations": {"envlatch.io/refresh-at": value}}});
        self.patch(&format!("{BUNDLES}/{bundle}"), &asked);
    }

    pub(crate) fn patch(&self, path: &str, patch: &Value) {
        self.kubernetes.api("PATCH", path, patch);
    }

    /// The version of an object, which every write moves.
    pub(crate) fn version(&self, path: &str) -> Value {
        self.kubernetes.api("GET", path, &Value::Null)["metadata"]["resourceVersion"].clone()
    }

    /// Waits until there is an event with this reason about a bundle.
    #[track_caller]
    pub(crate) fn until_event(&self, bundle: &str, reason: &str) {
        eventually(&format!("the event {reason}"), SOON, || {
            let events = self.events(bundle);
            events.iter().any(|one| one == reason).then_some(())
        });
    }

    pub(crate) fn exists(&self, bundle: &str) -> bool {
        let path = format!("{BUNDLES}/{bundle}");
        self.kubernetes.send("GET", &path, &Value::Null).0 == 200
    }

    /// Waits until a deleted bundle is gone.
    #[track_caller]
    pub(crate) fn until_gone(&self, bundle: &str) {
        eventually("the bundle to be gone", SOON, || {
            (!self.exists(bundle)).then_some(())
        });
    }

    /// The reasons of every event about a bundle.
    pub(crate) fn events(&self, bundle: &str) -> Vec<String> {
        let events = self.kubernetes.api(
            "GET",
            "/apis/events.k8s.io/v1/namespaces/team/events",
            &Value::Null,
        );
        let about = |event: &&Value| event["regarding"]["name"] == bundle;
        let reasons = events["items"].as_array().unwrap().iter().filter(about);
        reasons
            .map(|event| event["reason"].as_str().unwrap().to_owned())
            .collect()
    }
}

// === impl Operator ===

impl Operator {
    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn log(&self) -> Vec<u8> {
        fs::read(&self.log).unwrap()
    }

    /// Waits until it leads.
    #[track_caller]
    pub(crate) fn until_leading(&self) {
        eventually("the operator to lead", SOON, || {
            String::from_utf8_lossy(&self.log())
                .contains("leading shard")
                .then_some(())
        });
    }

    /// What `/metrics` says, without comments.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let pairs = answer.lines().filter_map(|line| line.split_once(' '));
        pairs
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = String::from_utf8_lossy(&self.log()).into_owned();
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("WARN") || line.contains("panicked"))
                .collect();
            eprintln!("{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        // Fails when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A condition of a bundle.
pub(crate) fn condition(bundle: &Value, type_: &str) -> Value {
    let conditions = bundle["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|one| one["type"] == type_);
    found.cloned().unwrap_or_default()
}

fn merge(whole: &mut Value, more: &Value) {
    for (name, value) in more.as_object().unwrap() {
        if name != "sync" {
            whole[name] = value.clone();
        }
    }
}
