//! From kubelet's message to a checked request. Everything that can be wrong with a call is found here, before anything
//! is done, and named with its field.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use envlatch_secret::Secret;
use serde::Deserialize;
use tonic::Status;

use crate::proto::csi::volume_capability::AccessType;
use crate::proto::csi::{NodePublishVolumeRequest, VolumeCapability};
use crate::record::Arguments;
use crate::source::{Pod, Token, VolumeRequest};
use crate::target::Target;
use crate::volumes::Wanted;

/// What kubelet adds to the volume attributes begins with this; a tenant's do not get through under it.
const KUBELET: &str = "csi.storage.k8s.io/";
const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";
/// Longest volume ID; kubelet's have 68 characters.
const MAX_VOLUME_ID: usize = 128;

/// Checks a `NodePublishVolume`.
pub(crate) fn publish(
    message: NodePublishVolumeRequest,
    driver: &str,
    kubelet: &Path,
) -> Result<Wanted, Status> {
    let volume_id = volume_id(&message.volume_id)?;
    let target = target(&message.target_path, kubelet)?;
    let fs_group = fs_group(message.volume_capability)?;
    let (context, attributes): (HashMap<_, _>, BTreeMap<_, _>) = split(message.volume_context);
    let pod = pod(&context, &target)?;
    let tokens = match message.secrets.get(TOKENS).or_else(|| context.get(TOKENS)) {
        Some(json) => tokens(json)?,
        None => BTreeMap::new(),
    };
    let arguments = Arguments {
        target,
        driver: driver.to_owned(),
        pod: pod.clone(),
        attributes: attributes.clone(),
        fs_group,
        read_only: message.readonly,
    };
    let request = VolumeRequest {
        volume_id,
        pod,
        attributes,
        tokens,
        read_only: message.readonly,
        target_path: message.target_path,
    };
    Ok(Wanted { request, arguments })
}

/// Checks a volume's ID.
pub(crate) fn volume_id(id: &str) -> Result<String, Status> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() {
        return Err(invalid("volume_id", "is missing"));
    }
    if id.len() > MAX_VOLUME_ID || !id.bytes().all(known) || id.starts_with('.') {
        return Err(invalid(
            "volume_id",
            "is none that kubelet makes: at most 128 letters, digits, \"-\", \"_\" and \".\"",
        ));
    }
    Ok(id.to_owned())
}

/// Checks a target path.
pub(crate) fn target(path: &str, kubelet: &Path) -> Result<Target, Status> {
    if path.is_empty() {
        return Err(invalid("target_path", "is missing"));
    }
    Target::parse(path, kubelet).map_err(|error| invalid("target_path", &error.to_string()))
}

fn fs_group(capability: Option<VolumeCapability>) -> Result<Option<u32>, Status> {
    let capability = capability.ok_or_else(|| invalid("volume_capability", "is missing"))?;
    let mount = match capability.access_type {
        Some(AccessType::Mount(mount)) => mount,
        Some(AccessType::Block(_)) => {
            return Err(invalid(
                "volume_capability",
                "asks for a block device; secrets are files",
            ));
        }
        None => return Err(invalid("volume_capability", "has no access type")),
    };
    if !mount.mount_flags.is_empty() {
        return Err(invalid(
            "volume_capability.mount_flags",
            "are set, but the mount flags of secrets are fixed; leave them out",
        ));
    }
    if !["", "tmpfs"].contains(&mount.fs_type.as_str()) {
        return Err(invalid(
            "volume_capability.fs_type",
            "is not tmpfs; leave fsType out",
        ));
    }
    match mount.volume_mount_group.as_str() {
        "" => Ok(None),
        group => group.parse().map(Some).map_err(|_not_a_number| {
            invalid("volume_capability.volume_mount_group", "is no group ID")
        }),
    }
}

/// What kubelet says, and what the tenant says.
fn split(context: HashMap<String, String>) -> (HashMap<String, String>, BTreeMap<String, String>) {
    let mut kubelet = HashMap::new();
    let mut tenant = BTreeMap::new();
    for (key, value) in context {
        if key.starts_with(KUBELET) {
            kubelet.insert(key, value);
        } else {
            tenant.insert(key, value);
        }
    }
    (kubelet, tenant)
}

fn pod(context: &HashMap<String, String>, target: &Target) -> Result<Pod, Status> {
    let get = |name: &str| {
        let key = format!("{KUBELET}{name}");
        match context.get(&key) {
            Some(value) if !value.is_empty() => Ok(value.clone()),
            _ => Err(invalid(
                &format!("volume_context[\"{key}\"]"),
                "is missing; the CSIDriver object needs podInfoOnMount: true",
            )),
        }
    };
    let pod = Pod {
        name: get("pod.name")?,
        namespace: get("pod.namespace")?,
        uid: get("pod.uid")?,
        service_account: get("serviceAccount.name")?,
    };
    if pod.uid != target.pod_uid() {
        return Err(invalid(
            "target_path",
            "belongs to another pod than volume_context names",
        ));
    }
    if get("ephemeral").is_ok_and(|ephemeral| ephemeral != "true") {
        return Err(invalid(
            "volume_context[\"csi.storage.k8s.io/ephemeral\"]",
            "is not \"true\"; only inline volumes are supported, not persistent ones",
        ));
    }
    Ok(pod)
}

/// Kubelet's own form of a token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenMessage {
    token: String,
    expiration_timestamp: String,
}

/// The text is secret: an error says where it is and not what is in it.
fn tokens(json: &str) -> Result<BTreeMap<String, Token>, Status> {
    let malformed = || {
        Status::failed_precondition(format!(
            "TokenMalformed: the service account tokens that kubelet passes as {TOKENS} cannot be read"
        ))
    };
    let messages: BTreeMap<String, TokenMessage> =
        serde_json::from_str(json).map_err(|_secret| malformed())?;
    messages
        .into_iter()
        .map(|(audience, message)| {
            let token = Token {
                jwt: Secret::from(message.token),
                expires_at: humantime::parse_rfc3339(&message.expiration_timestamp)
                    .map_err(|_secret| malformed())?,
            };
            Ok((audience, token))
        })
        .collect()
}

fn invalid(field: &str, problem: &str) -> Status {
    Status::invalid_argument(format!("InvalidRequest: {field} {problem}"))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::proto::csi::volume_capability::{BlockVolume, MountVolume};

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn message() -> NodePublishVolumeRequest {
        let context = [
            ("csi.storage.k8s.io/pod.name", "app-0"),
            ("csi.storage.k8s.io/pod.namespace", "shop"),
            ("csi.storage.k8s.io/pod.uid", UID),
            ("csi.storage.k8s.io/serviceAccount.name", "app"),
            ("csi.storage.k8s.io/ephemeral", "true"),
            (
                TOKENS,
                r#"{"vault":{"token":"context.jwt","expirationTimestamp":"2026-01-01T00:00:00Z"}}"#,
            ),
            ("bundle", "app"),
        ];
        NodePublishVolumeRequest {
            volume_id: "csi-5f".to_owned(),
            target_path: format!("/k/pods/{UID}/volumes/kubernetes.io~csi/secrets/mount"),
            volume_capability: Some(mount(MountVolume::default())),
            readonly: true,
            volume_context: context.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ..Default::default()
        }
    }

    fn mount(mount: MountVolume) -> VolumeCapability {
        VolumeCapability {
            access_type: Some(AccessType::Mount(mount)),
            ..Default::default()
        }
    }

    fn check(message: NodePublishVolumeRequest) -> Result<Wanted, Status> {
        publish(message, "csi.envlatch.io", Path::new("/k"))
    }

    #[test]
    fn what_kubelet_sends() {
        let wanted = check(message()).unwrap();
        assert_eq!(wanted.request.pod.namespace, "shop");
        assert_eq!(
            wanted.request.attributes,
            BTreeMap::from([("bundle".to_owned(), "app".to_owned())])
        );
        assert_eq!(
            wanted.request.tokens["vault"].jwt,
            Secret::from("context.jwt")
        );
        assert_eq!(wanted.arguments.fs_group, None);
    }

    #[test]
    fn tokens_in_secrets_come_first() {
        let mut message = message();
        let json =
            r#"{"vault":{"token":"secret.jwt","expirationTimestamp":"2026-01-01T00:00:00Z"}}"#;
        message.secrets.insert(TOKENS.to_owned(), json.to_owned());
        let tokens = check(message).unwrap().request.tokens;
        assert_eq!(tokens["vault"].jwt, Secret::from("secret.jwt"));
    }

    #[test]
    fn each_fault_is_named() {
        type Fault = fn(&mut NodePublishVolumeRequest);
        let cases: [(&str, Fault); 17] = [
            ("volume_id is missing", |m| m.volume_id.clear()),
            ("volume_id is none", |m| m.volume_id = "a/../b".to_owned()),
            ("volume_id is none", |m| m.volume_id = "..".to_owned()),
            ("volume_id is none", |m| m.volume_id = "a".repeat(65536)),
            ("target_path is missing", |m| m.target_path.clear()),
            ("target_path is not of the form", |m| {
                m.target_path = "/etc".to_owned()
            }),
            ("target_path belongs to another pod", |m| {
                let other = "1f8fad5b-d9cb-469f-a165-70867728950e";
                m.target_path = m.target_path.replace(UID, other);
            }),
            ("volume_capability is missing", |m| {
                m.volume_capability = None
            }),
            ("volume_capability has no access type", |m| {
                m.volume_capability = Some(VolumeCapability::default());
            }),
            ("block device", |m| {
                m.volume_capability = Some(VolumeCapability {
                    access_type: Some(AccessType::Block(BlockVolume {})),
                    ..Default::default()
                });
            }),
            ("mount_flags", |m| {
                m.volume_capability = Some(mount(MountVolume {
                    mount_flags: vec!["exec".to_owned()],
                    ..Default::default()
                }));
            }),
            ("fs_type", |m| {
                m.volume_capability = Some(mount(MountVolume {
                    fs_type: "ext4".to_owned(),
                    ..Default::default()
                }));
            }),
            ("volume_mount_group", |m| {
                m.volume_capability = Some(mount(MountVolume {
                    volume_mount_group: "-1".to_owned(),
                    ..Default::default()
                }));
            }),
            ("podInfoOnMount", |m| {
                m.volume_context.remove("csi.storage.k8s.io/pod.name");
            }),
            ("podInfoOnMount", |m| m.volume_context.clear()),
            ("podInfoOnMount", |m| {
                m.volume_context
                    .insert("csi.storage.k8s.io/pod.uid".to_owned(), String::new());
            }),
            ("inline volumes", |m| {
                m.volume_context.insert(
                    "csi.storage.k8s.io/ephemeral".to_owned(),
                    "false".to_owned(),
                );
            }),
        ];
        for (expected, fault) in cases {
            let mut message = message();
            fault(&mut message);
            let status = check(message).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{expected}");
            assert!(status.message().contains(expected), "{}", status.message());
        }
    }

    #[test]
    fn a_malformed_token_is_not_repeated() {
        for json in [
            "{\"vault\":\"hunter2",
            r#"{"vault":{"token":"hunter2"}}"#,
            r#"{"vault":{"token":"hunter2","expirationTimestamp":"hunter2"}}"#,
        ] {
            let mut message = message();
            message
                .volume_context
                .insert(TOKENS.to_owned(), json.to_owned());
            let status = check(message).unwrap_err();
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert!(!format!("{status:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_group_is_taken() {
        let mut message = message();
        message.volume_capability = Some(mount(MountVolume {
            volume_mount_group: "2000".to_owned(),
            ..Default::default()
        }));
        assert_eq!(check(message).unwrap().arguments.gid(), 2000);
    }
}
