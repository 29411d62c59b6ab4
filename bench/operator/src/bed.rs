//! A real API server and a real Vault with bundles that nobody has synced yet.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use envlatch_api::manifests;
use envlatch_test_support::{ApiServer, TempDir, Vault};
use serde_json::{Value, json};

/// How many bundles, and how they are spread.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) bundles: usize,
    pub(crate) paths: usize,
    pub(crate) namespaces: usize,
    pub(crate) accounts: usize,
    /// Bytes of each value
    pub(crate) bytes: usize,
}

/// Both servers.
pub(crate) struct Bed {
    pub(crate) kubernetes: ApiServer,
    pub(crate) vault: Vault,
    pub(crate) shape: Shape,
    folder: TempDir,
}

// === impl Bed ===

impl Bed {
    pub(crate) fn new(shape: Shape) -> Result<Self> {
        let (kubernetes, vault) = (ApiServer::start(), Vault::dev());
        let definitions = manifests::own().into_iter();
        let definitions = definitions
            .map(serde_json::to_value)
            .collect::<Result<Vec<Value>, _>>()?;
        kubernetes.define(&definitions);
        vault.review_tokens(&kubernetes);
        vault.policy(
            "app",
            "path \"secret/data/*\" { capabilities = [\"read\"] }",
        );
        let role = json!({
            "bound_service_account_names": ["*"], "bound_service_account_namespaces": ["*"],
            "token_policies": ["app"], "token_ttl": "1h", "audience": "vault",
        });
        vault.api("POST", "auth/kubernetes/role/app", &role);
        let folder = TempDir::with_prefix("envlatch-bench-operator-").context("a directory")?;
        let bed = Self {
            kubernetes,
            vault,
            shape,
            folder,
        };
        bed.fill();
        bed.write_kubeconfig()?;
        Ok(bed)
    }

    fn fill(&self) {
        let Shape {
            bundles,
            paths,
            namespaces,
            accounts,
            bytes,
        } = self.shape;
        let value = "v".repeat(bytes);
        at_once(paths, |path| {
            self.vault
                .put_kv2(&format!("path-{path}"), &json!({"key": value}));
        });
        self.space("envlatch");
        for n in 0..namespaces {
            self.space(&format!("ns-{n}"));
        }
        for n in 0..accounts {
            let path = format!("/api/v1/namespaces/ns-{}/serviceaccounts", n % namespaces);
            self.kubernetes.api(
                "POST",
                &path,
                &json!({"metadata": {"name": format!("app-{n}")}}),
            );
        }
        let limit = json!({"perSecond": 10000, "burst": 100000, "concurrent": 16});
        let store = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore", "metadata": {"name": "main"},
            "spec": {
                "addresses": [self.vault.address()], "default": true, "requestLimit": limit,
                "grants": [{"namespaces": ["*"], "roles": ["*"]}],
            },
        });
        self.kubernetes
            .api("POST", "/apis/envlatch.io/v1alpha1/vaultstores", &store);
        at_once(bundles, |n| self.bundle(n));
    }

    /// Makes the bundle with this number.
    pub(crate) fn bundle(&self, n: usize) {
        let account = n % self.shape.accounts;
        let bundle = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle", "metadata": {"name": format!("b-{n}")},
            "spec": {
                "role": "app", "refresh": "5m",
                "entries": [{"name": "key", "path": format!("secret/data/path-{}", n % self.shape.paths), "key": "key"}],
                "sync": {"serviceAccount": format!("app-{account}"), "secretName": format!("b-{n}")},
            },
        });
        let path = format!(
            "/apis/envlatch.io/v1alpha1/namespaces/{}/secretbundles",
            self.namespace(n)
        );
        self.kubernetes.api("POST", &path, &bundle);
    }

    /// The namespace of a bundle.
    fn namespace(&self, n: usize) -> String {
        format!("ns-{}", n % self.shape.accounts % self.shape.namespaces)
    }

    /// Where the Secret of a bundle is.
    pub(crate) fn secret(&self, n: usize) -> String {
        format!("/api/v1/namespaces/{}/secrets/b-{n}", self.namespace(n))
    }

    /// How many writes the API server has had, by its own count: without Leases, tokens and their reviews, which are no objects of ours.
    pub(crate) fn writes(&self) -> f64 {
        let (_, metrics) = self.kubernetes.send("GET", "/metrics", &Value::Null);
        let text = metrics.as_str().unwrap_or_default();
        let is_write = |line: &&str| {
            let verbs = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
            let has = |label: &str, value: &str| line.contains(&format!("{label}=\"{value}\""));
            line.starts_with("apiserver_request_total{")
                && verbs.iter().any(|verb| has("verb", verb))
                && !["leases", "tokenreviews"]
                    .iter()
                    .any(|other| has("resource", other))
                && !has("subresource", "token")
        };
        let counts = text.lines().filter(is_write);
        counts
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Every object of a list.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        let list = self.kubernetes.api("GET", path, &Value::Null);
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// How often the operator asked the server for what begins so.
    pub(crate) fn asked(&self, beginning: &str) -> usize {
        self.vault
            .audit()
            .iter()
            .filter(|(_, path)| path.starts_with(beginning))
            .count()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn space(&self, name: &str) {
        self.kubernetes.api(
            "POST",
            "/api/v1/namespaces",
            &json!({"metadata": {"name": name}}),
        );
    }

    fn write_kubeconfig(&self) -> Result<()> {
        let config = self.kubernetes.kubeconfig();
        fs::write(self.kubeconfig(), config.to_string()).context("cannot write the kubeconfig")
    }
}

/// Does `work` for each number below `count`, a few at a time.
fn at_once(count: usize, work: impl Fn(usize) + Sync) {
    const THREADS: usize = 4;
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let work = &work;
            scope.spawn(move || (first..count).step_by(THREADS).for_each(work));
        }
    });
}
