//! `SecretProviderClassPodStatus` as the Secrets Store CSI Driver writes it, for tools that read it. Only with its classes, only
//! when compatibility is on, and only when something changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envlatch_api::{PodStatus, PodStatusObject, SecretProviderClassPodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use tokio::time::timeout;

use crate::Problem;
use crate::events::Events;
use crate::problem::Code;
use crate::request::VolumeRequest;

const NODE_LABEL: &str = "internal.secrets-store.csi.k8s.io/node-name";
const MANAGER: &str = "envlatch-csi";
/// How long the API server has to take it.
const WRITE: Duration = Duration::from_secs(10);

/// Names and versions of a volume's files.
pub(crate) type Versions = Vec<(String, String)>;

/// What is to be written about a volume; nothing once it is.
pub(crate) type Owed = Arc<Mutex<Option<Versions>>>;

/// Notes what is to be written about a volume.
pub(crate) fn owe(owed: &Owed, versions: &Versions) {
    *locked(owed) = Some(versions.clone());
}

/// Writes what is owed about a volume. Nobody waits for it; a failure is told to the user, and what is still owed is written at the
/// next look at the volume.
pub(crate) fn write(
    client: Client,
    events: Arc<Events>,
    node: &str,
    request: &VolumeRequest,
    class: &str,
    owed: Owed,
) {
    let Some(versions) = locked(&owed).clone() else {
        return;
    };
    let status = status(node, request, class, &versions);
    let pod = request.pod.clone();
    tokio::spawn(async move {
        match apply(client, &pod.namespace, &status).await {
            Ok(()) => {
                // It may have changed again meanwhile.
                let _written = locked(&owed).take_if(|owed| *owed == versions);
            }
            Err(cause) => {
                let text = format!(
                    "{cause}; apply deploy/crds-compat.yaml and the chart's rights, or set csi.podStatus to false"
                );
                let problem = Problem::new(Code::Unavailable, "PodStatusNotWritten", text);
                events.warn(
                    &pod,
                    "SecretProviderClassPodStatus was not written",
                    &problem,
                );
            }
        }
    });
}

async fn apply(
    client: Client,
    namespace: &str,
    status: &SecretProviderClassPodStatus,
) -> Result<(), String> {
    let api: Api<SecretProviderClassPodStatus> = Api::namespaced(client, namespace);
    let name = status.metadata.name.clone().unwrap_or_default();
    let (parameters, patch) = (PatchParams::apply(MANAGER).force(), Patch::Apply(status));
    match timeout(WRITE, api.patch(&name, &parameters, &patch)).await {
        Ok(Ok(_written)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err("the API server does not answer".to_owned()),
    }
}

fn locked(owed: &Owed) -> MutexGuard<'_, Option<Versions>> {
    // It is replaced as a whole, so a panic elsewhere cannot have broken it.
    owed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn status(
    node: &str,
    request: &VolumeRequest,
    class: &str,
    versions: &[(String, String)],
) -> SecretProviderClassPodStatus {
    let pod = &request.pod;
    let objects = versions.iter().map(|(id, version)| PodStatusObject {
        id: Some(id.clone()),
        version: Some(version.clone()),
    });
    SecretProviderClassPodStatus {
        api_version: "secrets-store.csi.x-k8s.io/v1".to_owned(),
        kind: "SecretProviderClassPodStatus".to_owned(),
        metadata: ObjectMeta {
            name: Some(format!("{}-{}-{class}", pod.name, pod.namespace)),
            namespace: Some(pod.namespace.clone()),
            labels: Some(BTreeMap::from([(NODE_LABEL.to_owned(), node.to_owned())])),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        status: Some(PodStatus {
            pod_name: Some(pod.name.clone()),
            secret_provider_class_name: Some(class.to_owned()),
            mounted: Some(true),
            target_path: Some(request.target_path.clone()),
            objects: Some(objects.collect()),
        }),
    }
}
