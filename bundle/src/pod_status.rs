//! `SecretProviderClassPodStatus` as the Secrets Store CSI Driver writes it, for tools that read it. Only with its classes, only
//! when compatibility is on, and only when something changed.

use std::collections::BTreeMap;
use std::time::Duration;

use envlatch_api::{PodStatus, PodStatusObject, SecretProviderClassPodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use tokio::time::timeout;

use crate::request::VolumeRequest;

const NODE_LABEL: &str = "internal.secrets-store.csi.k8s.io/node-name";
const MANAGER: &str = "envlatch-csi";
/// How long the API server has to take it.
const WRITE: Duration = Duration::from_secs(10);

/// Writes the status of a volume. Nobody waits for it, and a failure is made good by the next change.
pub(crate) fn write(
    client: Client,
    node: &str,
    request: &VolumeRequest,
    class: &str,
    versions: &[(String, String)],
) {
    let status = status(node, request, class, versions);
    let namespace = request.pod.namespace.clone();
    tokio::spawn(async move {
        let api: Api<SecretProviderClassPodStatus> = Api::namespaced(client, &namespace);
        let name = status.metadata.name.clone().unwrap_or_default();
        let patch = Patch::Apply(&status);
        drop(
            timeout(
                WRITE,
                api.patch(&name, &PatchParams::apply(MANAGER).force(), &patch),
            )
            .await,
        );
    });
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
