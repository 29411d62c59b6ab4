//! A real Kubernetes API server and a real Vault that asks it about tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use envlatch_api::manifests;
use envlatch_bundle::{
    Bundles, Fetched, File, Memory, Mounted, Options, Pod, Problem, Token, VolumeRequest,
};
use envlatch_service::kubernetes::KubernetesSettings;
use envlatch_test_support::{ApiServer, Vault};
use envlatch_vault::Secret;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::SOON;

/// Both servers, with a store `main` that grants everything to namespace `team`.
pub(crate) struct Bed {
    pub(crate) kubernetes: ApiServer,
    pub(crate) vault: Vault,
}

// === impl Bed ===

impl Bed {
    pub(crate) fn new() -> Self {
        let (kubernetes, vault) = (ApiServer::start(), Vault::dev());
        let definitions = manifests::own().into_iter().chain(manifests::foreign());
        let definitions: Vec<Value> = definitions
            .map(|one| serde_json::to_value(one).unwrap())
            .collect();
        kubernetes.define(&definitions);
        let bed = Self { kubernetes, vault };
        bed.vault.review_tokens(&bed.kubernetes);
        bed.vault.policy("app", "path \"secret/data/*\" { capabilities = [\"read\"] } path \"kv/*\" { capabilities = [\"read\"] } path \"database/creds/*\" { capabilities = [\"read\"] } path \"pki/*\" { capabilities = [\"create\", \"update\"] }");
        bed.role("app", &json!({"audience": "vault"}));
        let address = json!([bed.vault.address()]);
        bed.store("main", &json!({"addresses": address, "default": true}));
        bed
    }

    pub(crate) fn role(&self, name: &str, more: &Value) {
        let mut role = json!({
            "bound_service_account_names": ["*"], "bound_service_account_namespaces": ["team"],
            "token_policies": ["app"], "token_ttl": "1h",
        });
        role.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.vault
            .api("POST", &format!("auth/kubernetes/role/{name}"), &role);
    }

    pub(crate) fn store(&self, name: &str, more: &Value) {
        let mut spec = json!({"grants": [{"namespaces": ["team"], "roles": ["*"]}], "allow": {"writes": ["pki/issue/*"]}});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let store = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore",
            "metadata": {"name": name}, "spec": spec,
        });
        self.kubernetes
            .api("POST", "/apis/envlatch.io/v1alpha1/vaultstores", &store);
    }

    pub(crate) fn bundle(&self, name: &str, spec: &Value) {
        self.namespace();
        let bundle = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle",
            "metadata": {"name": name}, "spec": spec,
        });
        self.kubernetes.api("POST", BUNDLES, &bundle);
    }

    pub(crate) fn namespace(&self) {
        let space = json!({"metadata": {"name": "team"}});
        let (status, answer) = self.kubernetes.send("POST", "/api/v1/namespaces", &space);
        assert!(matches!(status, 201 | 409), "{answer}");
    }

    /// A pod's volume of `class`, such as `("bundle", "app")`.
    pub(crate) fn volume(&self, pod: &str, class: (&str, &str)) -> VolumeRequest {
        let kubelet = self.kubernetes.pod("team", pod, "app", "vault");
        VolumeRequest {
            volume_id: format!("csi-{pod}"),
            pod: Pod {
                name: pod.to_owned(),
                namespace: "team".to_owned(),
                uid: kubelet.pod_uid,
                service_account: "app".to_owned(),
            },
            attributes: BTreeMap::from([(class.0.to_owned(), class.1.to_owned())]),
            tokens: BTreeMap::from([(
                "vault".to_owned(),
                Token {
                    jwt: kubelet.jwt.as_str().into(),
                    expires_at: SystemTime::now() + Duration::from_secs(3600),
                },
            )]),
            read_only: true,
            target_path: format!("/kubelet/{pod}"),
        }
    }

    /// The plugin's part, as one process of it has it.
    pub(crate) async fn bundles(&self) -> Bundles {
        self.bundles_with(Arc::default()).await
    }

    /// The same with what an earlier process left.
    pub(crate) async fn bundles_with(&self, memory: Arc<Remembered>) -> Bundles {
        let server = &self.kubernetes;
        let address = server.address().parse().unwrap();
        let settings =
            KubernetesSettings::new(Some(address), server.ca_file(), server.token_file());
        let client = settings.client(None).unwrap();
        let options = Options {
            node: "node".to_owned(),
            refresh: Duration::from_secs(120),
            hold: Duration::from_secs(60),
            require_read_only: true,
            pod_status: true,
            check_names: |names| match names.iter().find(|name| name.contains("..")) {
                Some(name) => Err(format!("{name:?} is not clean")),
                None => Ok(()),
            },
        };
        Bundles::new(client, options, memory)
    }

    /// How often the programs under test asked for a path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.vault
            .audit()
            .iter()
            .filter(|(_, asked)| asked == path)
            .count()
    }
}

pub(crate) const BUNDLES: &str = "/apis/envlatch.io/v1alpha1/namespaces/team/secretbundles";

/// A first mount. As kubelet does, it asks again while the API server takes too long over the class or the stores.
pub(crate) async fn mount(bundles: &Bundles, volume: &VolumeRequest) -> Result<Fetched, Problem> {
    let deadline = Instant::now() + SOON;
    loop {
        let outcome = bundles.fetch(volume, None).await;
        let is_of_cluster = outcome
            .as_ref()
            .is_err_and(|problem| matches!(problem.reason, "ClassUnread" | "StoreUnread"));
        if !is_of_cluster || Instant::now() >= deadline {
            return outcome;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Every event of the namespace.
pub(crate) fn events(bed: &Bed) -> Vec<Value> {
    let path = "/apis/events.k8s.io/v1/namespaces/team/events";
    let list = bed.kubernetes.api("GET", path, &Value::Null);
    list["items"].as_array().unwrap().clone()
}

/// The files by name; what they became is remembered as the node half does.
pub(crate) fn files(fetched: Fetched) -> (BTreeMap<String, String>, Mounted) {
    let Fetched::Files { files, state } = fetched else {
        panic!("nothing new")
    };
    let text = |file: &File| file.bytes.expose_str().unwrap().to_owned();
    let files = files
        .iter()
        .map(|file| (file.name.clone(), text(file)))
        .collect();
    (
        files,
        Mounted {
            state: Some(state),
            intact: true,
            abandoned: None,
        },
    )
}

/// What survives a process, without its journal.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<BTreeMap<String, Secret>>);

// === impl Remembered ===

impl Remembered {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Memory for Remembered {
    fn write(&self, key: &str, record: &Secret) {
        self.0
            .lock()
            .unwrap()
            .insert(key.to_owned(), record.clone());
    }

    fn remove(&self, key: &str) {
        self.0.lock().unwrap().remove(key);
    }

    fn all(&self) -> Vec<Secret> {
        self.0.lock().unwrap().values().cloned().collect()
    }
}
