//! A real kube-apiserver on a real etcd, without nodes: objects, validation, tokens and token reviews are Kubernetes' own.
//!
//! The binaries are those of `scripts/tools kubernetes`. Everything listens on loopback with ports of its own and
//! ends with the value, and with the test process at the latest.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;
use ureq::http::Request;

use crate::frozen::{freeze, thaw};
use crate::http::agent;
use crate::lasting::{self, LOOPBACK, free_port, spawn};
use crate::tls::Authority;
use crate::tool::tool;
use crate::turn::turn;
use crate::upstream::Upstream;
use crate::wait::eventually;

/// A server needs five seconds of a processor, and many start at once.
const READY: Duration = Duration::from_secs(120);
/// How many connections are kept: a handshake costs as much as several requests.
const IDLE: usize = 8;
const TOKEN: &str = "envlatch-test-admin";

/// A Kubernetes API server. The harness is its administrator.
pub struct ApiServer {
    folder: TempDir,
    address: String,
    authority: Authority,
    agent: Agent,
    /// kube-apiserver first, because it must end before its storage
    processes: Vec<Mutex<Child>>,
}

/// What kubelet passes to a CSI driver for a pod.
#[derive(Clone, Debug)]
pub struct Kubelet {
    /// UID of the pod
    pub pod_uid: String,
    /// The token, bound to the pod
    pub jwt: String,
}

// === impl ApiServer ===

impl ApiServer {
    /// Starts etcd and kube-apiserver and waits until they answer.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("envlatch-kubernetes-").expect("cannot make a directory");
        // A service that gives up its rights reads the certificate and the token as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
        let authority = Authority::new();
        let identity = authority.issue(&["127.0.0.1", "localhost", "kubernetes.default.svc"]);
        let signer = authority.issue(&["service-accounts"]);
        for (name, content) in [
            ("server.pem", identity.certificate_pem.as_str()),
            ("server.key", &identity.key_pem),
            ("accounts.pem", &signer.certificate_pem),
            ("accounts.key", &signer.key_pem),
            ("ca.pem", &authority.pem()),
            ("token", TOKEN),
            (
                "tokens.csv",
                &format!("{TOKEN},admin,admin,system:masters\n"),
            ),
        ] {
            fs::write(folder.path().join(name), content).expect("cannot write a file");
        }
        let (client, peer, port) = (
            free_port(LOOPBACK),
            free_port(LOOPBACK),
            free_port(LOOPBACK),
        );
        let _turn = turn();
        let etcd = start(folder.path(), "etcd", &etcd(folder.path(), client, peer));
        let server = start(
            folder.path(),
            "kube-apiserver",
            &apiserver(folder.path(), client, port),
        );
        let api = Self {
            agent: agent(Some(&authority.pem()), IDLE),
            address: format!("https://127.0.0.1:{port}"),
            processes: vec![Mutex::new(server), Mutex::new(etcd)],
            authority,
            folder,
        };
        eventually("kube-apiserver is ready", READY, || {
            let (status, _) = api.send("GET", "/readyz", &Value::Null);
            (status == 200).then_some(())
        });
        eventually("the default namespace exists", READY, || {
            let (status, _) = api.send("GET", "/api/v1/namespaces/default", &Value::Null);
            (status == 200).then_some(())
        });
        api
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server, to be put behind a scripted one.
    ///
    /// # Panics
    /// Never: it has a port.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        let port = self.address.rsplit(':').next();
        let port = port
            .and_then(|port| port.parse().ok())
            .expect("it has a port");
        Upstream::new(port, self.authority.client_config())
    }

    /// The certificate of the authority that signed the server's.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// The administrator's bearer token.
    #[must_use]
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// A file of that certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A file of the administrator's token.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// The settings by which a service of ours reaches this server as its administrator.
    #[must_use]
    pub fn service_environment(&self) -> [(&'static str, OsString); 3] {
        [
            ("ENVLATCH_KUBERNETES_ADDRESS", self.address.clone().into()),
            ("ENVLATCH_KUBERNETES_CA_FILE", self.ca_file().into()),
            ("ENVLATCH_KUBERNETES_TOKEN_FILE", self.token_file().into()),
        ]
    }

    /// A request as the administrator; `path` begins with `/`. Status 0 is no answer.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.send_as(TOKEN, method, path, body)
    }

    /// The same as whoever has `token`.
    #[must_use]
    pub fn send_as(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let content = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", content);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = request.body(body).expect("method and path are well formed");
        match self.agent.run(request) {
            Ok(mut answer) => {
                let text = answer.body_mut().read_to_string().unwrap_or_default();
                let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
                (answer.status().as_u16(), json)
            }
            Err(error) => (0, Value::String(error.to_string())),
        }
    }

    /// The same, which must succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: status {status}, {answer}"
        );
        answer
    }

    /// Makes the definitions of custom resources and waits until they are served.
    #[track_caller]
    pub fn define(&self, definitions: &[Value]) {
        const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for definition in definitions {
            self.api("POST", PATH, definition);
        }
        for definition in definitions {
            let name = definition["metadata"]["name"]
                .as_str()
                .expect("it has a name");
            let spec = &definition["spec"];
            let word = |value: &Value| value.as_str().expect("a word").to_owned();
            let list = format!(
                "/apis/{}/{}/{}",
                word(&spec["group"]),
                word(&spec["versions"][0]["name"]),
                word(&spec["names"]["plural"])
            );
            eventually(name, READY, || {
                (self.send("GET", &list, &Value::Null).0 == 200).then_some(())
            });
        }
    }

    /// Makes a pod that no node runs, its service account if need be, and a token for it as kubelet asks for one.
    #[track_caller]
    #[must_use]
    pub fn pod(
        &self,
        namespace: &str,
        name: &str,
        service_account: &str,
        audience: &str,
    ) -> Kubelet {
        let space = json!({"metadata": {"name": namespace}});
        let account = json!({"metadata": {"name": service_account}});
        for (path, object) in [
            ("/api/v1/namespaces".to_owned(), space),
            (
                format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
                account,
            ),
        ] {
            let (status, answer) = self.send("POST", &path, &object);
            assert!(matches!(status, 201 | 409), "{path}: {status} {answer}");
        }
        let pod = json!({
            "metadata": {"name": name},
            "spec": {
                "serviceAccountName": service_account,
                "automountServiceAccountToken": false,
                "containers": [{"name": "app", "image": "none"}],
            },
        });
        let pod = self.api(
            "POST",
            &format!("/api/v1/namespaces/{namespace}/pods"),
            &pod,
        );
        let pod_uid = pod["metadata"]["uid"]
            .as_str()
            .expect("a pod has a uid")
            .to_owned();
        let request = json!({"spec": {
            "audiences": [audience],
            "expirationSeconds": 3600,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod_uid},
        }});
        let path =
            format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
        let answer = self.api("POST", &path, &request);
        let jwt = answer["status"]["token"]
            .as_str()
            .expect("a token")
            .to_owned();
        Kubelet { pod_uid, jwt }
    }

    /// Stops the server without ending it: connections are accepted by the kernel and never answered.
    pub fn freeze(&self) {
        freeze(self.pid());
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        thaw(self.pid());
    }

    fn pid(&self) -> Pid {
        lasting::pid(&self.processes[0].lock().expect("nobody panics with it"))
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("kube-apiserver.log"))
                .unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(10)..].join("\n"));
        }
        for process in &self.processes {
            let mut child = process.lock().expect("nobody panics with it");
            // Fails when it has ended already, which is what is wanted.
            drop(child.kill());
            child.wait().expect("the child is ours");
        }
    }
}

fn start(folder: &Path, name: &str, arguments: &[String]) -> Child {
    let binary = tool("ENVLATCH_KUBERNETES", "kubernetes").join(name);
    let log = fs::File::create(folder.join(format!("{name}.log"))).expect("cannot write a log");
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(binary)
        .args(arguments)
        .env_clear()
        .env("HOME", folder)
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a descriptor is free"))
        .stderr(log);
    spawn(command)
}

fn etcd(folder: &Path, client: u16, peer: u16) -> Vec<String> {
    vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{client}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn apiserver(folder: &Path, etcd: u16, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", folder.display()),
        format!("--tls-cert-file={}", file("server.pem")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pem")),
        format!(
            "--service-account-signing-key-file={}",
            file("accounts.key")
        ),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        // Service accounts get no secrets and are not waited for: no controller runs.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--allow-privileged=true".to_owned(),
    ]
}
