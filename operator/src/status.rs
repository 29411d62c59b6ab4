//! The status of a bundle: made from facts, compared with what is there, written only when it differs.

use envlatch_api::{AppliedSecret, LeaseRecord, SecretBundle, SecretBundleStatus};
use envlatch_bundle::{Issued, Problem};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams};
use kube::{Client, Error, Resource, ResourceExt};
use serde_json::json;

/// Who writes it.
const MANAGER: &str = "envlatch-operator";
/// The longest message of a condition (Kubernetes' own limit is 32 KiB).
const LONGEST: usize = 1024;
/// Ends that differ by less are the same: they are computed from what is left.
const SAME: SignedDuration = SignedDuration::from_secs(10);

/// What became of a bundle.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) generation: Option<i64>,
    /// What was asked for by annotation and done
    pub(crate) refresh_at: Option<String>,
    /// What stands in the way
    pub(crate) problem: Option<&'a Problem>,
    /// Whether the Secret is as the bundle wants it, as far as is known
    pub(crate) in_sync: bool,
    /// Whether something that was issued is kept alive; `None` without such
    pub(crate) lease_healthy: Option<bool>,
    pub(crate) secret: Option<AppliedSecret>,
    pub(crate) leases: Vec<LeaseRecord>,
}

/// The status that `facts` make of `earlier`.
pub(crate) fn status(
    earlier: Option<&SecretBundleStatus>,
    facts: &Facts<'_>,
    now: Timestamp,
) -> SecretBundleStatus {
    let (reason, message) = match facts.problem {
        Some(problem) => (problem.reason, problem.message.as_str()),
        None => ("Synced", "the Secret holds what the server has"),
    };
    let message = &message[..message.floor_char_boundary(LONGEST)];
    let lease = facts.lease_healthy.map(|healthy| ("LeaseHealthy", healthy));
    let conditions = [
        ("Ready", facts.problem.is_none()),
        ("Synced", facts.in_sync),
    ];
    let conditions = conditions.into_iter().chain(lease).map(|(type_, holds)| {
        let (reason, message) = if holds {
            ("Synced", "the Secret holds what the server has")
        } else {
            (reason, message)
        };
        let (reason, message) = match (type_, holds) {
            ("LeaseHealthy", true) => ("Kept", "what was issued is renewed or replaced in time"),
            _ => (reason, message),
        };
        condition(
            earlier,
            type_,
            holds,
            reason,
            message,
            facts.generation,
            now,
        )
    });
    let hash = facts.secret.as_ref().map(|secret| &secret.hash);
    let current = facts
        .leases
        .iter()
        .filter(|lease| Some(&lease.hash) == hash);
    SecretBundleStatus {
        observed_generation: facts.generation,
        observed_refresh_at: facts.refresh_at.clone(),
        conditions: conditions.collect(),
        secret: facts.secret.clone(),
        lease_expires: current.map(|lease| lease.expires.clone()).min(),
        leases: facts.leases.clone(),
        login: earlier
            .filter(|_| !facts.leases.is_empty())
            .and_then(|earlier| earlier.login.clone()),
    }
}

fn condition(
    earlier: Option<&SecretBundleStatus>,
    type_: &str,
    holds: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let status = if holds { "True" } else { "False" };
    let before = earlier
        .and_then(|earlier| earlier.conditions.iter().find(|one| one.type_ == type_))
        .filter(|before| before.status == status);
    // The words of one failure differ from attempt to attempt, in how often it was tried for instance.
    let told =
        before.filter(|before| before.reason == reason && before.observed_generation == generation);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: told.map_or_else(|| message.to_owned(), |before| before.message.clone()),
        observed_generation: generation,
        last_transition_time: before.map_or(Time(seconds(now)), |earlier| {
            earlier.last_transition_time.clone()
        }),
    }
}

/// What was issued, as it is journalled for content with `hash`. Times that hardly moved stay as they were in `earlier`.
pub(crate) fn records(issued: &[Issued], hash: &str, earlier: &[LeaseRecord]) -> Vec<LeaseRecord> {
    let mut records: Vec<LeaseRecord> = Vec::new();
    for issued in issued {
        let id = issued
            .lease
            .clone()
            .unwrap_or_else(|| format!("certificate {}", issued.path));
        let before = earlier.iter().find(|record| record.id == id);
        let time =
            |at: std::time::SystemTime| Timestamp::try_from(at).ok().map(|at| Time(seconds(at)));
        let Some(expires) = time(issued.expires) else {
            continue;
        };
        let ends = issued.ends.and_then(time);
        if records.iter().all(|record| record.id != id) {
            records.push(LeaseRecord {
                id,
                path: issued.path.clone(),
                hash: hash.to_owned(),
                expires: settled(before.map(|record| &record.expires), expires),
                ends: ends
                    .map(|ends| settled(before.and_then(|record| record.ends.as_ref()), ends)),
            });
        }
    }
    records
}

fn settled(before: Option<&Time>, now: Time) -> Time {
    let same = before.filter(|before| now.0.duration_since(before.0).abs() < SAME);
    same.cloned().unwrap_or(now)
}

fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Writes `status`.
///
/// # Errors
/// As the API server says.
pub(crate) async fn write(
    client: &Client,
    bundle: &SecretBundle,
    status: &SecretBundleStatus,
) -> Result<(), Error> {
    // Of the answer nothing is used.
    let api: Api<PartialObjectMeta<SecretBundle>> =
        Api::namespaced(client.clone(), &bundle.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": SecretBundle::api_version(&()),
        "kind": SecretBundle::kind(&()),
        // A bundle that was made anew meanwhile gets no status of the one before.
        "metadata": {"name": bundle.name_any(), "uid": bundle.uid()},
        "status": status,
    });
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch_status(&bundle.name_any(), &parameters, &Patch::Apply(&patch))
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use envlatch_bundle::Code;

    use super::*;

    fn facts(problem: Option<&Problem>) -> Facts<'_> {
        Facts {
            generation: Some(3),
            refresh_at: None,
            problem,
            in_sync: true,
            lease_healthy: None,
            secret: None,
            leases: Vec::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_same_facts_make_the_same_status_and_a_turn_has_its_time() {
        let sealed = Problem::new(Code::Unavailable, "VaultSealed", "the server is sealed");
        let first = status(None, &facts(None), at(100));
        assert_eq!(status(Some(&first), &facts(None), at(200)), first);
        let failed = status(Some(&first), &facts(Some(&sealed)), at(300));
        let ready = &failed.conditions[0];
        assert_eq!(
            (
                ready.type_.as_str(),
                ready.status.as_str(),
                ready.reason.as_str()
            ),
            ("Ready", "False", "VaultSealed")
        );
        assert_eq!(ready.last_transition_time.0, at(300));
        let synced = &failed.conditions[1];
        assert_eq!(
            (synced.status.as_str(), synced.last_transition_time.0),
            ("True", at(100))
        );
        assert_eq!(synced.observed_generation, Some(3));
    }

    #[test]
    fn times_that_hardly_moved_are_not_written_again() {
        let issued = |expires: u64| {
            let expires = UNIX_EPOCH + Duration::from_secs(expires);
            vec![Issued {
                lease: Some("database/creds/app/x".to_owned()),
                path: "database/creds/app".to_owned(),
                expires,
                ends: None,
            }]
        };
        let first = records(&issued(1000), "h", &[]);
        assert_eq!(records(&issued(1004), "h", &first), first);
        assert_eq!(records(&issued(2000), "h", &first)[0].expires.0, at(2000));
        let twice = [issued(1000), issued(1000)].concat();
        assert_eq!(records(&twice, "h", &[]).len(), 1);
    }
}
