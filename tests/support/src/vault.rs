//! Real Vault servers, one process each.
//!
//! A server keeps everything in memory, listens on a free port, and is initialised and unsealed when it is
//! handed out. It is the binary at `ENVLATCH_VAULT`, else the one that `scripts/tools vault` built. There is no
//! fallback: a test that needs a server fails when there is none.
//!
//! Every server has a KV engine of version 2 at `secret/` and one of version 1 at `kv/`, and an audit device that
//! counts what the program under test asked for; the harness' own requests carry a mark and are left out.

mod api;
mod cluster;
mod config;
mod process;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::frozen::{freeze, thaw};
use crate::lasting::LOOPBACK;
use crate::turn::turn;
use crate::{ApiServer, Authority, eventually};
use api::Api;
pub use cluster::VaultCluster;
use config::{Listener, Storage};
use process::Process;

/// How long a server may take to answer, seal, unseal or become active. It takes one second on an idle machine, and many start at once.
const READY: Duration = Duration::from_secs(120);

/// The file with the certificate of the server's authority.
const CA: &str = "ca.pem";

/// What servers write to the audit by themselves: when the device is made, and when a node joins.
const OWN_REQUESTS: [&str; 2] = ["sys/audit/test", "sys/storage/raft/bootstrap/"];

/// A Vault server. Killed when dropped, and when the test process ends.
pub struct Vault {
    folder: TempDir,
    process: Process,
    api: Api,
    authority: Option<Authority>,
    /// Set once, by the node that initialised the storage
    keys: OnceLock<Keys>,
}

#[derive(Clone)]
struct Keys {
    root_token: String,
    unseal: String,
}

// === impl Vault ===

impl Vault {
    /// A server over plain HTTP.
    #[must_use]
    pub fn dev() -> Self {
        Self::start(None, LOOPBACK)
    }

    /// A server over HTTPS with a certificate for `127.0.0.1` and `localhost` from an authority of its own.
    #[must_use]
    pub fn tls() -> Self {
        Self::tls_at(LOOPBACK)
    }

    /// The same at another address of this machine's, which the certificate names as well.
    #[must_use]
    pub fn tls_at(host: &str) -> Self {
        Self::start(Some(Authority::new()), host)
    }

    /// The one HTTP server that the tests of this process share. Never seal, freeze or stop it.
    #[must_use]
    pub fn shared_dev() -> &'static Self {
        static SHARED: OnceLock<Vault> = OnceLock::new();
        SHARED.get_or_init(Self::dev)
    }

    /// The one HTTPS server that the tests of this process share. Never seal, freeze or stop it.
    #[must_use]
    pub fn shared_tls() -> &'static Self {
        static SHARED: OnceLock<Vault> = OnceLock::new();
        SHARED.get_or_init(Self::tls)
    }

    fn start(authority: Option<Authority>, host: &str) -> Self {
        let _turn = turn();
        let vault = Self::uninitialised(authority, host, None);
        vault.initialise();
        vault
    }

    /// A running server without data. `node` makes it a member of a cluster, with its storage on disk.
    fn uninitialised(authority: Option<Authority>, host: &str, node: Option<&str>) -> Self {
        let folder = config::folder();
        let identity = authority.as_ref().map(|authority| {
            fs::write(folder.path().join(CA), authority.pem()).expect("cannot write a file");
            authority.issue(&[host, "localhost"])
        });
        let storage = node.map_or(Storage::Memory, |id| Storage::Raft { id });
        let listener = identity.as_ref().map_or(Listener::Http, Listener::Https);
        let process = Process::start(folder.path(), host, &storage, &listener);
        let ca_pem = authority.as_ref().map(Authority::pem);
        Self {
            api: Api::new(&process.address, ca_pem.as_deref()),
            keys: OnceLock::new(),
            folder,
            process,
            authority,
        }
    }

    /// Initialises the storage, unseals, and makes what every server has.
    fn initialise(&self) {
        let answer = self.api(
            "PUT",
            "sys/init",
            &json!({"secret_shares": 1, "secret_threshold": 1}),
        );
        self.adopt(Keys {
            root_token: text(&answer["root_token"]),
            unseal: text(&answer["keys_base64"][0]),
        });
        self.unseal();
        // A node with storage on disk stands by until it has elected itself.
        eventually("active", READY, || (self.health() == 200).then_some(()));
        let kv = |version: &str| json!({"type": "kv", "options": {"version": version}});
        self.api("POST", "sys/mounts/secret", &kv("2"));
        self.api("POST", "sys/mounts/kv", &kv("1"));
        let mark = format!("sys/config/auditing/request-headers/{}", api::MARK);
        self.api("POST", &mark, &json!({"hmac": false}));
        let file = json!({"type": "file", "options": {"file_path": self.audit_file()}});
        self.api("POST", "sys/audit/file", &file);
        // A new engine of version 2 refuses requests until it has upgraded its storage, which it does at once.
        eventually("the KV engine is ready", READY, || {
            (self.try_api("GET", "secret/config", &Value::Null).0 == 200).then_some(())
        });
    }

    fn adopt(&self, keys: Keys) {
        self.api.set_token(&keys.root_token);
        assert!(self.keys.set(keys).is_ok(), "a server is initialised once");
    }

    fn keys(&self) -> &Keys {
        self.keys
            .get()
            .expect("a server that is handed out is initialised")
    }

    /// `http://HOST:PORT` or `https://HOST:PORT`, where HOST is `127.0.0.1` unless told otherwise.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.process.address
    }

    /// A token that may do everything.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.keys().root_token
    }

    /// The certificate of the authority that signed the server's.
    ///
    /// # Panics
    /// When the server speaks HTTP.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority().pem()
    }

    /// A file with [`ca_pem`](Self::ca_pem).
    ///
    /// # Panics
    /// When the server speaks HTTP.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        assert!(self.authority.is_some(), "this server speaks HTTP");
        self.folder.path().join(CA)
    }

    /// The authority that signed the server's certificate.
    ///
    /// # Panics
    /// When the server speaks HTTP.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("this server speaks HTTP")
    }

    /// A request as root, below `/v1/`. Returns the answer's JSON, or null when it has no body.
    ///
    /// # Panics
    /// When the server does not answer with success.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_api(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: status {status}, {answer}\n{}",
            self.process.log_tail()
        );
        answer
    }

    /// A request as root, below `/v1/`; returns status and JSON (null without a body). Status 0 is no answer.
    #[must_use]
    pub fn try_api(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.api.send(method, path, body)
    }

    /// A request as root whose answer the server keeps; returns the wrapping token that fetches it once.
    ///
    /// # Panics
    /// When the server does not wrap its answer.
    #[track_caller]
    #[must_use]
    pub fn wrapped(&self, method: &str, path: &str, body: &Value) -> String {
        let (status, answer) =
            self.api
                .send_with(method, path, body, &[("x-vault-wrap-ttl", "5m")]);
        let token = answer["wrap_info"]["token"].as_str();
        token
            .unwrap_or_else(|| panic!("{method} {path}: status {status}, {answer}"))
            .to_owned()
    }

    /// Writes a secret to the KV engine of version 2 at `secret/`; `path` is without `data/`.
    #[track_caller]
    pub fn put_kv2(&self, path: &str, data: &Value) {
        self.api(
            "POST",
            &format!("secret/data/{path}"),
            &json!({ "data": data }),
        );
    }

    /// Writes a secret to the KV engine of version 1 at `kv/`.
    #[track_caller]
    pub fn put_kv1(&self, path: &str, data: &Value) {
        self.api("POST", &format!("kv/{path}"), data);
    }

    /// Lets the auth method `kubernetes` ask `kubernetes` about tokens, as a service account that may.
    pub fn review_tokens(&self, kubernetes: &ApiServer) {
        let audience = "https://kubernetes.default.svc";
        let reviewer = kubernetes.pod("kube-system", "reviewer", "reviewer", audience);
        let binding = json!({
            "metadata": {"name": "reviewer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", "name": "reviewer", "namespace": "kube-system"}],
        });
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        kubernetes.api("POST", bindings, &binding);
        self.api(
            "POST",
            "sys/auth/kubernetes",
            &json!({"type": "kubernetes"}),
        );
        let config = json!({
            "kubernetes_host": kubernetes.address(),
            "kubernetes_ca_cert": kubernetes.ca_pem(),
            "token_reviewer_jwt": reviewer.jwt,
        });
        self.api("POST", "auth/kubernetes/config", &config);
    }

    /// Writes an ACL policy.
    #[track_caller]
    pub fn policy(&self, name: &str, hcl: &str) {
        self.api(
            "PUT",
            &format!("sys/policies/acl/{name}"),
            &json!({ "policy": hcl }),
        );
    }

    /// A new token with these policies (and `default`) that lives as long as `ttl` says (`30s`, `1h`).
    #[track_caller]
    #[must_use]
    pub fn token(&self, policies: &[&str], ttl: &str) -> String {
        let answer = self.api(
            "POST",
            "auth/token/create",
            &json!({"policies": policies, "ttl": ttl}),
        );
        text(&answer["auth"]["client_token"])
    }

    /// Whether `token` is valid: neither revoked nor expired.
    ///
    /// # Panics
    /// When the server says neither, because an outage must not look like a revocation.
    #[track_caller]
    #[must_use]
    pub fn accepts(&self, token: &str) -> bool {
        let lookup = json!({ "token": token });
        match self.try_api("POST", "auth/token/lookup", &lookup) {
            (200, _) => true,
            (403, _) => false,
            (status, answer) => panic!("lookup of a token: status {status}, {answer}"),
        }
    }

    /// Seals the server.
    #[track_caller]
    pub fn seal(&self) {
        self.api("PUT", "sys/seal", &Value::Null);
        eventually("sealed", READY, || (self.health() == 503).then_some(()));
    }

    /// Unseals the server and waits until it is active, or stands by for another node.
    #[track_caller]
    pub fn unseal(&self) {
        self.api("PUT", "sys/unseal", &json!({ "key": self.keys().unseal }));
        eventually("unsealed", READY, || {
            matches!(self.health(), 200 | 429).then_some(())
        });
    }

    /// The status of `sys/health`: 200 active, 429 standby, 501 not initialised, 503 sealed, 0 no answer.
    #[must_use]
    pub fn health(&self) -> u16 {
        self.try_api("GET", "sys/health", &Value::Null).0
    }

    /// Stops the process without ending it: connections are accepted by the kernel and never answered.
    pub fn freeze(&self) {
        freeze(self.process.pid());
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        thaw(self.process.pid());
    }

    /// Kills the process: connections are refused from now on, and what was in memory is gone.
    pub fn stop(&self) {
        self.process.stop();
    }

    /// What programs under test asked for since the server was made, in order, as (operation, path):
    /// `("update", "auth/jwt/login")`, `("read", "secret/data/app")`. Refused requests are in it.
    #[must_use]
    pub fn audit(&self) -> Vec<(String, String)> {
        let entries = fs::read_to_string(self.audit_file()).expect("the audit device writes");
        // What follows the last newline is still being written.
        let complete = entries.rsplit_once('\n').map_or("", |(lines, _)| lines);
        complete
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("audit entries are JSON lines"))
            .filter(|entry| entry["type"] == "request")
            .map(|entry| entry["request"].clone())
            .filter(|request| request["headers"][api::MARK].is_null())
            .map(|request| (text(&request["operation"]), text(&request["path"])))
            .filter(|(_, path)| !OWN_REQUESTS.iter().any(|prefix| path.starts_with(prefix)))
            .collect()
    }

    fn audit_file(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// Everything that the server wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.process.log_tail());
        }
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .expect("the server answers as documented")
        .to_owned()
}
