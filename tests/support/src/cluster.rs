//! The cluster that `scripts/cluster` started, as tests use it.
//!
//! Each test has a [`Namespace`] of its own, where Pod Security `restricted` is enforced, and a Vault that the test process
//! started beside the cluster ([`Cluster::vault`]), so that tests can seal and freeze one without disturbing others. A
//! test process must be in the network of the cluster: `scripts/cluster exec cargo test ...`.

mod api;
mod namespace;
mod pod;
mod story;

use std::env::var_os;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::frozen::{freeze, thaw};
use crate::vault::Vault;
use crate::wait::eventually;
use api::Api;
pub use namespace::Namespace;
pub use pod::{Ended, Pod, restricted};

/// How long anything that happens on its own may take; it takes a tenth of this on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// The node's address, at which pods reach what tests start.
const NODE: &str = "10.99.0.1";

/// A cluster that runs.
pub struct Cluster {
    name: String,
    folder: PathBuf,
    api: Api,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster in whose network this process is.
    ///
    /// # Panics
    /// When there is none, or it does not answer.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let name = var_os("ENVLATCH_CLUSTER")
                .and_then(|name| name.into_string().ok())
                .expect("run it with `scripts/cluster exec`, which sets ENVLATCH_CLUSTER");
            let folder = Path::new("/var/cache/envlatch-cluster").join(&name);
            let tokens = read(&folder.join("pki/tokens.csv"));
            let admin = tokens
                .lines()
                .find_map(|line| line.split_once(",admin,"))
                .expect("the administrator has a token");
            let ca = read(&folder.join("pki/ca.crt"));
            let api = Api::new(&format!("https://{NODE}:6443"), &ca, admin.0);
            let (status, answer) = api.send("GET", "/readyz", &Value::Null);
            assert!(
                status == 200,
                "cluster {name} does not answer: {status} {answer}; start it with `scripts/cluster up`"
            );
            Self { name, folder, api }
        })
    }

    /// Its name, `test` or that of a developer's own.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A request as administrator: status and JSON, or text where the answer is no JSON. Status 0 is no answer.
    #[must_use]
    pub fn try_request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.api.send(method, path, body)
    }

    /// The same, and it must succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_request(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: status {status}: {answer}"
        );
        answer
    }

    /// A request with the rights of whoever has `token`.
    #[must_use]
    pub fn request_as(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let ca = read(&self.ca_file());
        Api::new(&format!("https://{NODE}:6443"), &ca, token).send(method, path, body)
    }

    /// A VaultStore for `vault` that lets every namespace use every role, with `more` in its spec.
    #[track_caller]
    pub fn store(&self, name: &str, vault: &Vault, more: &Value) {
        let mut spec = json!({
            "addresses": [vault.address()],
            "tls": {"ca": vault.ca_pem()},
            "grants": [{"namespaces": ["*"], "roles": ["*"]}],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        self.apply(&json!({
            "apiVersion": "envlatch.io/v1alpha1",
            "kind": "VaultStore",
            "metadata": {"name": name},
            "spec": spec,
        }));
    }

    /// Creates or changes an object by server-side apply, whatever others had set.
    ///
    /// # Panics
    /// When the API server refuses it.
    #[track_caller]
    pub fn apply(&self, object: &Value) -> Value {
        let (status, answer) = self.try_apply(object);
        assert!(
            (200..300).contains(&status),
            "apply {} {}: status {status}: {answer}",
            object["kind"],
            object["metadata"]["name"]
        );
        answer
    }

    /// The same; returns status and answer.
    #[must_use]
    pub fn try_apply(&self, object: &Value) -> (u16, Value) {
        let path = format!(
            "{}?fieldManager=envlatch-tests&force=true",
            self.api.path_of(object)
        );
        self.api.send("PATCH", &path, object)
    }

    /// A namespace of a test's own; its name begins with `hint`.
    #[must_use]
    pub fn namespace(&'static self, hint: &str) -> Namespace {
        Namespace::new(self, hint)
    }

    /// The Vault that the tests of this process share, with kubernetes auth at `auth/kubernetes`. Never seal, freeze or stop
    /// it: [`new_vault`](Self::new_vault) is for that.
    #[must_use]
    pub fn vault(&self) -> &'static Vault {
        static VAULT: OnceLock<Vault> = OnceLock::new();
        VAULT.get_or_init(|| self.new_vault())
    }

    /// A Vault that has pods' tokens reviewed by this cluster.
    #[must_use]
    pub fn new_vault(&self) -> Vault {
        let vault = Vault::tls_at(NODE);
        vault.api(
            "POST",
            "sys/auth/kubernetes",
            &json!({"type": "kubernetes"}),
        );
        let config = json!({
            "kubernetes_host": format!("https://{NODE}:6443"),
            "kubernetes_ca_cert": read(&self.ca_file()),
            "token_reviewer_jwt": self.token("vault", "vault", &[]),
            "disable_local_ca_jwt": true,
        });
        vault.api("POST", "auth/kubernetes/config", &config);
        vault
    }

    /// The certificate of the authority that signed those of the API server and of the Vault beside it.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("pki/ca.crt")
    }

    /// A new token of a service account, for the API server's audience when there is no other.
    #[must_use]
    pub fn token(&self, namespace: &str, account: &str, audiences: &[&str]) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({"spec": {"audiences": audiences, "expirationSeconds": 86_400}});
        let answer = self.request("POST", &path, &request);
        let token = answer["status"]["token"].as_str();
        token.expect("the answer has a token").to_owned()
    }

    /// `kubectl` as administrator.
    #[must_use]
    pub fn kubectl(&self, words: &[&str]) -> Output {
        self.script(&[&["kubectl"], words].concat())
    }

    /// Applies the objects of a file in the name of `manager`: only `helm` leaves them to be upgraded by releases.
    #[track_caller]
    pub fn apply_file(&self, file: &Path, manager: &str) {
        let manager = format!("--field-manager={manager}");
        let mut words = vec!["apply", "--server-side", "--force-conflicts", &manager];
        words.extend(["--filename", file.to_str().expect("the path is text")]);
        let applied = self.kubectl(&words);
        assert!(applied.status.success(), "{applied:?}");
    }

    /// Has the cluster know the types of other projects that our services understand.
    #[track_caller]
    pub fn foreign_crds(&self) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crds-compat.yaml");
        self.apply_file(Path::new(file), "kubectl");
    }

    /// `scripts/cluster` for this cluster.
    #[must_use]
    pub fn script(&self, words: &[&str]) -> Output {
        Self::script_for(&self.name, words)
    }

    /// `scripts/cluster` for the cluster `name`, whether or not it runs.
    #[must_use]
    pub fn script_for(name: &str, words: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/cluster");
        Command::new(script)
            .args(words)
            .env("ENVLATCH_CLUSTER", name)
            .output()
            .expect("scripts/cluster can be started")
    }

    /// The process ids of a part (`kubelet`, `etcd`, …), as this process sees them; none when it does not run.
    #[must_use]
    pub fn pids(&self, part: &str) -> Vec<i32> {
        pids_of(&self.script(&["pid", part]))
    }

    /// Stops a part without ending it, so that connections to it hang.
    #[track_caller]
    pub fn freeze(&self, part: &str) {
        self.running(part).into_iter().for_each(freeze);
    }

    /// Lets a frozen part go on.
    #[track_caller]
    pub fn thaw(&self, part: &str) {
        self.running(part).into_iter().for_each(thaw);
    }

    /// Kills a part; `scripts/cluster up` starts it again.
    #[track_caller]
    pub fn kill(&self, part: &str) {
        for pid in self.running(part) {
            signal::kill(pid, Signal::SIGKILL).expect("it ran a moment ago");
        }
    }

    #[track_caller]
    fn running(&self, part: &str) -> Vec<Pid> {
        let pids = self.pids(part);
        assert!(!pids.is_empty(), "{part} does not run");
        pids.into_iter().map(Pid::from_raw).collect()
    }

    /// What a part wrote.
    #[must_use]
    pub fn log(&self, part: &str) -> String {
        fs::read_to_string(self.folder.join(format!("log/{part}.log"))).unwrap_or_default()
    }
}

/// The lines of an output that are process ids.
#[must_use]
pub fn pids_of(output: &Output) -> Vec<i32> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; start the cluster: scripts/cluster up",
            path.display()
        )
    })
}

/// [`eventually`] with the harness' patience.
#[track_caller]
fn soon<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    eventually(what, PATIENCE, probe)
}
