//! A node without a kubelet: the plugin as users get it, a real API server and a real Vault, and kubelet's calls made here.

use std::future::Future;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use envlatch_api::manifests;
use envlatch_csi_tests::{Call, Node, Plugin, VolumeOf};
use envlatch_test_support::{ApiServer, Vault, plugin};
use serde_json::{Value, json};

/// Where all pods are.
const NAMESPACE: &str = "bench";
/// The role of all pods.
pub(crate) const ROLE: &str = "app";
const AUDIENCE: &str = "vault";

/// Servers, and a node in a mount namespace of this thread's own.
pub(crate) struct Bed {
    pub(crate) kubernetes: ApiServer,
    pub(crate) vault: Vault,
    pub(crate) node: Node,
    plugin: PathBuf,
}

/// Who a pod is.
pub(crate) struct Account {
    name: String,
    pub(crate) jwt: String,
}

// === impl Bed ===

impl Bed {
    pub(crate) fn new(plugin: &Path) -> Result<Self> {
        let (kubernetes, vault) = (ApiServer::start(), Vault::tls());
        let definitions = manifests::own().into_iter();
        let definitions = definitions
            .map(serde_json::to_value)
            .collect::<Result<Vec<Value>, _>>()?;
        kubernetes.define(&definitions);
        vault.review_tokens(&kubernetes);
        vault.policy(ROLE, "path \"secret/data/*\" { capabilities = [\"read\"] }");
        let role = json!({
            "bound_service_account_names": ["*"], "bound_service_account_namespaces": ["*"],
            "token_policies": [ROLE], "token_ttl": "1h", "audience": AUDIENCE,
        });
        vault.api("POST", &format!("auth/kubernetes/role/{ROLE}"), &role);
        let mut node = Node::new();
        for (name, value) in kubernetes.service_environment() {
            node.set_env(name, value);
        }
        node.set_env("ENVLATCH_LOG_LEVEL", "error");
        let bed = Self {
            kubernetes,
            vault,
            node,
            plugin: plugin.to_owned(),
        };
        bed.make_store();
        Ok(bed)
    }

    fn make_store(&self) {
        // No limit of ours: what is timed is the plugin.
        let limit = json!({"perSecond": 10000, "burst": 100_000, "concurrent": 16});
        let store = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore", "metadata": {"name": "main"},
            "spec": {
                "addresses": [self.vault.address()], "default": true, "requestLimit": limit,
                "tls": {"ca": self.vault.ca_pem()},
                "grants": [{"namespaces": ["*"], "roles": ["*"]}],
            },
        });
        let stores = "/apis/envlatch.io/v1alpha1/vaultstores";
        self.kubernetes.api("POST", stores, &store);
    }

    /// The bundle `app`, whose files are pairs of a name and `PATH#KEY` below `secret/`.
    pub(crate) fn bundle(&self, entries: &[(String, String)]) {
        let entry = |(name, reference): &(String, String)| {
            let (path, key) = reference.split_once('#').expect("PATH#KEY");
            json!({"name": name, "path": format!("secret/data/{path}"), "key": key})
        };
        let entries: Vec<Value> = entries.iter().map(entry).collect();
        let bundle = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle", "metadata": {"name": "app"},
            "spec": {"role": ROLE, "refresh": "24h", "entries": entries},
        });
        self.kubernetes.api("POST", &bundles(), &bundle);
    }

    /// Makes what was made of the bundle due.
    pub(crate) fn refresh(&self, mark: &str) {
        let patch = json!({"metadata": {"annotations": {"envlatch.io/refresh-at": mark}}});
        let path = format!("{}/app", bundles());
        self.kubernetes.api("PATCH", &path, &patch);
    }

    /// A service account of its own, with a token as kubelet gets it.
    pub(crate) fn account(&self, name: &str) -> Account {
        let kubelet = self.kubernetes.pod(NAMESPACE, name, name, AUDIENCE);
        Account {
            name: name.to_owned(),
            jwt: kubelet.jwt,
        }
    }

    pub(crate) fn start(&self) -> Result<Plugin> {
        let plugin = self.plugin.to_str().context("the plugin's path is text")?;
        Ok(self.node.start(plugin, &[]))
    }

    pub(crate) async fn connect(&self) -> Call {
        self.node.connect(plugin::DRIVER).await
    }

    /// How often the plugin asked the server for what begins so.
    pub(crate) fn asked(&self, beginning: &str) -> usize {
        let audit = self.vault.audit();
        let asked = audit.iter().filter(|(_, path)| path.starts_with(beginning));
        asked.count()
    }
}

fn bundles() -> String {
    format!("/apis/envlatch.io/v1alpha1/namespaces/{NAMESPACE}/secretbundles")
}

/// Publishes as kubelet does for a pod of this account.
pub(crate) async fn publish(call: &Call, volume: &VolumeOf, account: &Account) -> Result<()> {
    let mut request = volume.publish_request();
    let token = json!({"token": account.jwt, "expirationTimestamp": "2999-01-01T00:00:00Z"});
    for (key, value) in [
        ("pod.namespace", NAMESPACE.to_owned()),
        ("serviceAccount.name", account.name.clone()),
        (
            "serviceAccount.tokens",
            json!({AUDIENCE: token}).to_string(),
        ),
    ] {
        let key = format!("csi.storage.k8s.io/{key}");
        request.volume_context.insert(key, value);
    }
    call.publish_as(request)
        .await
        .context("NodePublishVolume failed")
}

/// Runs the asynchronous part of a measurement in this thread, which is the one in the right mount namespace.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    Ok(runtime.enable_all().build()?.block_on(future))
}
