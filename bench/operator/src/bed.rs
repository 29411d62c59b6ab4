//! A real API server and a real Vault with bundles that nobody has synced yet.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use envlatch_api::manifests;
use envlatch_test_support::{ApiServer, Vault};
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
    /// How often each bundle is refreshed
    pub(crate) refresh: &'static str,
}

/// Both servers.
pub(crate) struct Bed {
    pub(crate) kubernetes: ApiServer,
    pub(crate) vault: Vault,
    pub(crate) shape: Shape,
}

/// Counts of requests, by what the API server tells apart.
pub(crate) struct Writes(BTreeMap<String, f64>);

// === impl Writes ===

impl Writes {
    /// How many there were after `earlier`. Which these were goes to stderr.
    pub(crate) fn after(&self, earlier: &Self) -> f64 {
        let more = self.0.iter().filter_map(|(request, count)| {
            let more = count - earlier.0.get(request).unwrap_or(&0.0);
            (more > 0.0).then(|| {
                eprintln!("bench operator: {more} of {request}");
                more
            })
        });
        // The sum of nothing is -0.
        more.fold(0.0, |sum, more| sum + more)
    }
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
        let bed = Self {
            kubernetes,
            vault,
            shape,
        };
        bed.fill();
        Ok(bed)
    }

    fn fill(&self) {
        let Shape {
            bundles,
            paths,
            namespaces,
            accounts,
            bytes,
            ..
        } = self.shape;
        let value = "v".repeat(bytes);
        at_once("secrets", paths, |path| {
            self.vault
                .put_kv2(&format!("path-{path}"), &json!({"key": value}));
        });
        self.space("envlatch");
        at_once("namespaces", namespaces, |n| self.space(&format!("ns-{n}")));
        at_once("service accounts", accounts, |n| {
            let path = format!("/api/v1/namespaces/ns-{}/serviceaccounts", n % namespaces);
            self.kubernetes.api(
                "POST",
                &path,
                &json!({"metadata": {"name": format!("app-{n}")}}),
            );
        });
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
        at_once("bundles", bundles, |n| self.bundle(n));
    }

    /// Makes the bundle with this number.
    pub(crate) fn bundle(&self, n: usize) {
        let account = n % self.shape.accounts;
        let bundle = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle", "metadata": {"name": format!("b-{n}")},
            "spec": {
                "role": "app", "refresh": self.shape.refresh,
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

    /// The writes that the API server has had, by its own count: without Leases, tokens and their reviews, and
    /// without the endpoints that it keeps of itself.
    pub(crate) fn writes(&self) -> Writes {
        let (_, metrics) = self.kubernetes.send("GET", "/metrics", &Value::Null);
        let text = metrics.as_str().unwrap_or_default();
        assert!(
            text.contains("apiserver_request_total{"),
            "no metrics: {text:.200}"
        );
        let is_write = |line: &&str| {
            let verbs = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
            let has = |label: &str, value: &str| line.contains(&format!("{label}=\"{value}\""));
            line.starts_with("apiserver_request_total{")
                && verbs.iter().any(|verb| has("verb", verb))
                && !["endpoints", "endpointslices", "leases", "tokenreviews"]
                    .iter()
                    .any(|other| has("resource", other))
                && !has("subresource", "token")
        };
        let count = |line: &str| {
            let (request, count) = line.rsplit_once(' ')?;
            Some((request.to_owned(), count.parse().ok()?))
        };
        Writes(text.lines().filter(is_write).filter_map(count).collect())
    }

    /// Every object of a list, read in pages: the whole of a large one is more than the client takes.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let page = format!("{path}?limit=500&continue={next}");
            let mut list = self.kubernetes.api("GET", &page, &Value::Null);
            if let Value::Array(items) = list["items"].take() {
                objects.extend(items);
            }
            match list["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => token.clone_into(&mut next),
                _ => return objects,
            }
        }
    }

    /// How often the operator asked the server for what begins so.
    pub(crate) fn asked(&self, beginning: &str) -> usize {
        self.vault
            .audit()
            .iter()
            .filter(|(_, path)| path.starts_with(beginning))
            .count()
    }

    fn space(&self, name: &str) {
        self.kubernetes.api(
            "POST",
            "/api/v1/namespaces",
            &json!({"metadata": {"name": name}}),
        );
    }
}

/// Makes so many of `what`, a few at a time: `work` makes the one with a number below `count`.
fn at_once(what: &str, count: usize, work: impl Fn(usize) + Sync) {
    const THREADS: usize = 4;
    let began = Instant::now();
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let work = &work;
            scope.spawn(move || (first..count).step_by(THREADS).for_each(work));
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("bench operator: {count} {what} in {seconds:.1} s");
}
