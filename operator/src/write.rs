//! Writing a Secret: one that is not there is created, one that is there is applied to, with the version that was judged.

use std::collections::BTreeMap;

use envlatch_api::{OnDelete, SecretBundle};
use envlatch_bundle::{Code, Problem};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::content::Data;
use crate::ownership::{Claimant, KEYS, LABEL, OWNER, Permit, permit};

/// How often a write is begun anew after somebody else was faster.
const ATTEMPTS: usize = 3;

/// A Secret as it was written or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) uid: String,
    pub(crate) resource_version: String,
}

/// What became of a write.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) version: Version,
    /// Keys of the bundle that it does not want any more
    pub(crate) dropped: Vec<String>,
}

/// Puts `data` into the Secret of `bundle`. `exists` is a guess; it saves a request when it is right.
///
/// # Errors
/// The Secret is somebody else's, or the API server refuses.
pub(crate) async fn write(
    client: &Client,
    bundle: &SecretBundle,
    claimant: &Claimant<'_>,
    data: &Data,
    exists: bool,
    lives: impl Fn(&str) -> bool,
) -> Result<Written, Problem> {
    let namespace = bundle.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let name = &claimant.sync.secret_name;
    let mut exists = exists;
    for _ in 0..ATTEMPTS {
        let found = if exists {
            api.get_opt(name)
                .await
                .map_err(|error| refused(name, error))?
        } else {
            None
        };
        let outcome = match &found {
            None => {
                let made = create(&api, bundle, claimant, data).await;
                made.map(|version| (version, Vec::new()))
            }
            Some(found) => {
                let permit = permit(claimant, data, found, &lives)?;
                let applied = apply(&api, bundle, claimant, data, found, &permit).await;
                applied.map(|version| (version, permit.dropped))
            }
        };
        let outcome = outcome.map(|(version, dropped)| Written { version, dropped });
        match outcome {
            Err(Error::Api(status)) if status.code == 409 => exists = true,
            other => return other.map_err(|error| refused(name, error)),
        }
    }
    let text = format!(
        "Secret {name} is written by somebody else all the time; find out by whom in its managedFields"
    );
    Err(Problem::new(Code::Unavailable, "WriteRefused", text))
}

async fn create(
    api: &Api<Secret>,
    bundle: &SecretBundle,
    claimant: &Claimant<'_>,
    data: &Data,
) -> Result<Version, Error> {
    let parameters = PostParams {
        field_manager: Some(manager(claimant)),
        ..PostParams::default()
    };
    let owns = claimant.sync.ownership != envlatch_api::Ownership::Merge;
    let made = api
        .create(&parameters, &object(bundle, claimant, data, owns))
        .await?;
    Ok(Version::of(&made))
}

async fn apply(
    api: &Api<Secret>,
    bundle: &SecretBundle,
    claimant: &Claimant<'_>,
    data: &Data,
    found: &Secret,
    permit: &Permit,
) -> Result<Version, Error> {
    let name = &claimant.sync.secret_name;
    let mut wanted = object(bundle, claimant, data, permit.owns);
    // What was judged is what is written to: another object of the name, or a change meanwhile, is a conflict.
    wanted.metadata.uid = found.uid();
    wanted.metadata.resource_version = found.resource_version();
    let parameters = PatchParams::apply(&manager(claimant)).force();
    let applied = api
        .patch_metadata(name, &parameters, &Patch::Apply(&wanted))
        .await?;
    if permit.dropped.is_empty() {
        return Ok(Version::of(&applied));
    }
    // Applying removes a key only when nobody else ever wrote it, and creating counts as somebody else.
    let removed: BTreeMap<&String, Value> = permit
        .dropped
        .iter()
        .map(|key| (key, Value::Null))
        .collect();
    let patch = json!({
        "metadata": {"uid": applied.uid(), "resourceVersion": applied.resource_version()},
        "data": removed,
    });
    let parameters = PatchParams {
        field_manager: Some(manager(claimant)),
        ..PatchParams::default()
    };
    let removed = api
        .patch_metadata(name, &parameters, &Patch::Merge(&patch))
        .await?;
    Ok(Version::of(&removed))
}

fn object(bundle: &SecretBundle, claimant: &Claimant<'_>, data: &Data, owns: bool) -> Secret {
    let sync = claimant.sync;
    let mut labels = sync.labels.clone();
    labels.insert(LABEL.to_owned(), "true".to_owned());
    let mut annotations = sync.annotations.clone();
    let keys: Vec<&str> = data.keys().map(String::as_str).collect();
    annotations.insert(format!("{KEYS}{}", claimant.uid), keys.join(","));
    if owns {
        annotations.insert(OWNER.to_owned(), claimant.name.to_owned());
    }
    let owner = (owns && sync.on_delete == OnDelete::Delete).then(|| owner(bundle));
    Secret {
        metadata: ObjectMeta {
            name: Some(sync.secret_name.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(sync.type_.clone()),
        data: Some(
            data.iter()
                .map(|(key, value)| (key.clone(), ByteString(value.expose().to_vec())))
                .collect(),
        ),
        ..Secret::default()
    }
}

fn owner(bundle: &SecretBundle) -> OwnerReference {
    OwnerReference {
        api_version: SecretBundle::api_version(&()).into_owned(),
        kind: SecretBundle::kind(&()).into_owned(),
        name: bundle.name_any(),
        uid: bundle.uid().unwrap_or_default(),
        ..OwnerReference::default()
    }
}

/// Each bundle is a field manager of its own, so `managedFields` show whose a key is.
fn manager(claimant: &Claimant<'_>) -> String {
    format!("envlatch/{}", claimant.uid)
}

fn refused(name: &str, error: Error) -> Problem {
    api_problem(&format!("Secret {name}"), error)
}

/// What the API server said about `what`. Its text names fields and never a value of a Secret.
pub(crate) fn api_problem(what: &str, error: Error) -> Problem {
    match error {
        Error::Api(status) if status.code == 403 => Problem::new(
            Code::PermissionDenied,
            "WriteRefused",
            format!(
                "{what}: the API server denies: {}",
                without_values(&status.message)
            ),
        ),
        Error::Api(status) if status.code < 500 && status.code != 429 && status.code != 409 => {
            Problem::new(
                Code::InvalidArgument,
                "WriteRefused",
                format!(
                    "{what}: the API server refuses: {}",
                    without_values(&status.message)
                ),
            )
        }
        Error::Api(status) => Problem::new(
            Code::Unavailable,
            "WriteRefused",
            format!("{what}: the API server answers with status {}", status.code),
        ),
        other => {
            tracing::debug!("{what}: {other}");
            Problem::new(
                Code::Unavailable,
                "ApiServerUnreachable",
                format!("{what}: the API server does not answer"),
            )
        }
    }
}

/// Validation quotes what it refuses after `Invalid value:`.
fn without_values(message: &str) -> &str {
    message
        .split("Invalid value:")
        .next()
        .unwrap_or_default()
        .trim_end_matches([' ', ':'])
}

// === impl Version ===

impl Version {
    pub(crate) fn of(object: &impl ResourceExt) -> Self {
        Self {
            uid: object.uid().unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
        }
    }
}
