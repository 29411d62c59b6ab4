//! Whose a Secret is, and whose each of its keys: decided before anything is written, from what is written on it.
//!
//! The Secret names the bundle that it belongs to, and for each bundle the keys that it put there. So a key that a bundle does not
//! want any more can be removed, a key that somebody else put there is left alone, and two bundles in one Secret keep each other's.

use std::collections::{BTreeMap, BTreeSet};

use envlatch_api::{Ownership, SyncSpec};
use envlatch_bundle::{Code, Problem};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::content::Data;

/// The label by which Secrets are watched.
pub(crate) const LABEL: &str = "envlatch.io/synced";
/// The bundle that a Secret belongs to, by name. It is in the Secret's namespace.
pub(crate) const OWNER: &str = "envlatch.io/bundle";
/// Followed by a bundle's uid: the keys that it put there, separated by commas.
pub(crate) const KEYS: &str = "keys.envlatch.io/";

/// The label of Secrets that the Secrets Store CSI Driver makes of `secretObjects`, and that ours of them have too.
pub(crate) const MANAGED: &str = "secrets-store.csi.k8s.io/managed";

/// A bundle, as far as its Secret is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimant<'a> {
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) sync: &'a SyncSpec,
}

/// What may be done with a Secret that exists.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    /// Whether the bundle is the Secret's owner from now on
    pub(crate) owns: bool,
    /// Keys that the bundle put there and does not want any more
    pub(crate) dropped: Vec<String>,
}

/// Whether `claimant` may write `data` into `found`; `lives` tells whether a bundle of the namespace has a uid.
///
/// # Errors
/// `Conflict`: the Secret or one of the keys is somebody else's; `TypeMismatch`, `Immutable`.
pub(crate) fn permit(
    claimant: &Claimant<'_>,
    data: &Data,
    found: &Secret,
    lives: impl Fn(&str) -> bool,
) -> Result<Permit, Problem> {
    let (name, sync) = (&sync_name(claimant), claimant.sync);
    let owner = found.annotations().get(OWNER).map(String::as_str);
    let is_own = owner == Some(claimant.name);
    match (sync.ownership, owner) {
        (_, _) if is_own => {}
        (Ownership::Own | Ownership::Adopt, Some(other)) => {
            return Err(conflict(format!(
                "{name} belongs to the bundle {other}; give another secretName, or use ownership: Merge"
            )));
        }
        (Ownership::Own, None) if is_managed(sync, found) => {}
        (Ownership::Own, None) => {
            return Err(conflict(format!(
                "{name} exists and was not made by this bundle; give another secretName, or use ownership: Adopt or Merge"
            )));
        }
        (Ownership::Adopt, None) | (Ownership::Merge, _) => {}
    }
    check_form(name, sync, found)?;
    let owns = sync.ownership != Ownership::Merge;
    if !owns {
        check_keys(claimant, data, found, lives)?;
    }
    let own: BTreeSet<&str> = keys_of(found, claimant.uid).collect();
    let dropped = own
        .into_iter()
        .filter(|key| !data.contains_key(*key) && !put_by_others(found, claimant.uid, key));
    Ok(Permit {
        owns,
        dropped: dropped.map(str::to_owned).collect(),
    })
}

/// Keys that the bundle with `uid` put into `found`.
pub(crate) fn keys_of<'a>(found: &'a Secret, uid: &str) -> impl Iterator<Item = &'a str> {
    let list = found.annotations().get(&format!("{KEYS}{uid}"));
    list.into_iter()
        .flat_map(|list| list.split(','))
        .filter(|key| !key.is_empty())
}

/// Whether the metadata of `found` is as the bundle wants it.
pub(crate) fn has_metadata(found: &Secret, sync: &SyncSpec) -> bool {
    let within = |wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>| {
        wanted
            .iter()
            .all(|(name, value)| found.get(name) == Some(value))
    };
    within(&sync.labels, found.labels()) && within(&sync.annotations, found.annotations())
}

/// Whether the driver that made `found` for a class is followed by us.
fn is_managed(sync: &SyncSpec, found: &Secret) -> bool {
    let label = found.labels().get(MANAGED);
    label.is_some() && label == sync.labels.get(MANAGED)
}

fn sync_name(claimant: &Claimant<'_>) -> String {
    format!("Secret {}", claimant.sync.secret_name)
}

fn check_form(name: &str, sync: &SyncSpec, found: &Secret) -> Result<(), Problem> {
    let type_ = found.type_.as_deref().unwrap_or("Opaque");
    if type_ != sync.type_ {
        let text = format!(
            "{name} is of type {type_} and not {}; a type cannot be changed, so give another secretName or this type",
            sync.type_
        );
        return Err(Problem::new(Code::FailedPrecondition, "TypeMismatch", text));
    }
    if found.immutable == Some(true) {
        let text = format!("{name} is immutable; give another secretName, or delete it");
        return Err(Problem::new(Code::FailedPrecondition, "Immutable", text));
    }
    Ok(())
}

fn check_keys(
    claimant: &Claimant<'_>,
    data: &Data,
    found: &Secret,
    lives: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    let name = sync_name(claimant);
    // What a bundle put there that exists no more is free.
    let free: BTreeSet<&str> = listed(found)
        .filter(|(uid, _)| *uid == claimant.uid || !lives(uid))
        .map(|(_, key)| key)
        .collect();
    let taken: BTreeSet<&str> = listed(found)
        .filter(|(uid, _)| *uid != claimant.uid && lives(uid))
        .map(|(_, key)| key)
        .collect();
    let present = found.data.as_ref();
    let foreign = data.keys().map(String::as_str).filter(|key| {
        present.is_some_and(|present| present.contains_key(*key)) && !free.contains(key)
            || taken.contains(key)
    });
    let foreign: Vec<&str> = foreign.collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(conflict(format!(
        "{name} has {} from somebody else; give other keys in spec.sync.keys",
        foreign.join(", ")
    )))
}

/// Every key that a bundle put there, with the bundle's uid.
fn listed(found: &Secret) -> impl Iterator<Item = (&str, &str)> {
    let lists = found
        .annotations()
        .iter()
        .filter_map(|(name, list)| Some((name.strip_prefix(KEYS)?, list)));
    lists.flat_map(|(uid, list)| list.split(',').map(move |key| (uid, key)))
}

fn put_by_others(found: &Secret, uid: &str, key: &str) -> bool {
    listed(found).any(|(other, listed)| other != uid && listed == key)
}

fn conflict(text: String) -> Problem {
    Problem::new(Code::FailedPrecondition, "Conflict", text)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    fn sync(ownership: &str) -> SyncSpec {
        serde_json::from_value(
            json!({"serviceAccount": "app", "secretName": "s", "ownership": ownership}),
        )
        .unwrap()
    }

    fn secret(annotations: &[(&str, &str)], keys: &[&str]) -> Secret {
        let mut secret = Secret::default();
        let annotations = annotations
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        secret.metadata.annotations = Some(annotations.collect());
        secret.data = Some(
            keys.iter()
                .map(|key| ((*key).to_owned(), ByteString(vec![1])))
                .collect(),
        );
        secret
    }

    fn decided(ownership: &str, wanted: &[&str], found: &Secret) -> Result<Permit, &'static str> {
        let sync = sync(ownership);
        let claimant = Claimant {
            name: "b",
            uid: "u",
            sync: &sync,
        };
        let data = wanted
            .iter()
            .map(|key| ((*key).to_owned(), "v".into()))
            .collect();
        permit(&claimant, &data, found, |uid| uid == "other").map_err(|problem| problem.reason)
    }

    fn allowed(owns: bool, dropped: &[&str]) -> Result<Permit, &'static str> {
        let dropped = dropped.iter().map(|key| (*key).to_owned()).collect();
        Ok(Permit { owns, dropped })
    }

    #[test]
    fn secrets_of_others() {
        let foreign = secret(&[], &["x"]);
        let own = secret(&[(OWNER, "b")], &["x"]);
        let anothers = secret(&[(OWNER, "c")], &["x"]);
        for (ownership, found, expected) in [
            ("Own", &foreign, Err("Conflict")),
            ("Own", &own, allowed(true, &[])),
            ("Own", &anothers, Err("Conflict")),
            ("Adopt", &foreign, allowed(true, &[])),
            ("Adopt", &own, allowed(true, &[])),
            ("Adopt", &anothers, Err("Conflict")),
            ("Merge", &foreign, allowed(false, &[])),
            ("Merge", &anothers, allowed(false, &[])),
        ] {
            assert_eq!(
                decided(ownership, &["k"], found),
                expected,
                "{ownership} {found:?}"
            );
        }
    }

    #[test]
    fn what_the_csi_driver_made_for_a_class_is_continued() {
        let mut found = secret(&[], &["x"]);
        let mut sync = sync("Own");
        let mut decided = |found: &Secret, label: &str| {
            sync.labels = BTreeMap::from([(label.to_owned(), "true".to_owned())]);
            let claimant = Claimant {
                name: "b",
                uid: "u",
                sync: &sync,
            };
            permit(&claimant, &Data::new(), found, |_| false).map_err(|problem| problem.reason)
        };
        assert_eq!(decided(&found, MANAGED), Err("Conflict"));
        found.metadata.labels = Some(BTreeMap::from([(MANAGED.to_owned(), "true".to_owned())]));
        assert_eq!(decided(&found, MANAGED), allowed(true, &[]));
        assert_eq!(decided(&found, "team"), Err("Conflict"));
    }

    #[test]
    fn keys_of_others() {
        let shared = secret(
            &[
                ("keys.envlatch.io/u", "mine,old"),
                ("keys.envlatch.io/other", "theirs,old"),
                ("keys.envlatch.io/dead", "free"),
            ],
            &["mine", "old", "theirs", "free", "foreign"],
        );
        for (wanted, expected) in [
            (&["mine", "new"][..], allowed(false, &[])),
            (&["new"], allowed(false, &["mine"])),
            (&["mine", "free"], allowed(false, &[])),
            (&["mine", "theirs"], Err("Conflict")),
            (&["mine", "foreign"], Err("Conflict")),
            (&["mine", "old"], Err("Conflict")),
        ] {
            assert_eq!(decided("Merge", wanted, &shared), expected, "{wanted:?}");
        }
    }

    #[test]
    fn what_cannot_be_changed() {
        let mut found = secret(&[(OWNER, "b")], &["k"]);
        found.type_ = Some("kubernetes.io/tls".to_owned());
        assert_eq!(decided("Own", &["k"], &found), Err("TypeMismatch"));
        found.type_ = None;
        found.immutable = Some(true);
        assert_eq!(decided("Own", &["k"], &found), Err("Immutable"));
    }
}
