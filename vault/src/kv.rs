//! The two key-value engines: which of them answered, and what a missing secret means.
//!
//! The reply alone tells, so no right to read `sys/mounts` is needed. A reply counts as KV v2 only when it has the shape of one
//! and its path the segment `data`, so a KV v1 secret with a key called `data` stays whole.

use crate::Value;
use crate::error::{Failure, escaped};
use crate::reply::number;

/// The secret inside the `data` of a reply from `path` and its version, when a KV v2 engine sent it.
pub(crate) fn unwrapped(path: &str, data: Value) -> (Value, Option<u64>) {
    match version(path, &data) {
        Some(version) => (inner(data), Some(version)),
        None => (data, None),
    }
}

fn version(path: &str, data: &Value) -> Option<u64> {
    let Value::Object(members) = data else {
        return None;
    };
    let metadata = data.get("metadata")?;
    let shaped = members.len() == 2
        && matches!(data.get("data"), Some(Value::Object(_) | Value::Null))
        && metadata.get("created_time").is_some();
    number(metadata.get("version")).filter(|_| shaped && is_addressed_as_version_2(path))
}

fn inner(data: Value) -> Value {
    let Value::Object(members) = data else {
        return data;
    };
    members
        .into_iter()
        .find(|(key, _)| key == "data")
        .map_or(Value::Null, |(_, secret)| secret)
}

/// Says in a 404 what kind of nothing it is.
pub(crate) fn explain_absence(failure: Failure, body: &Value) -> Failure {
    if let Some(gone) = body
        .get("data")
        .and_then(|data| data.get("metadata"))
        .and_then(gone)
    {
        return Failure {
            cause: gone,
            ..failure.with_remedy("restore it, or ask for another version")
        };
    }
    failure
}

/// Whether `path` has a `data` that a mount can stand before and a secret after, as in a KV v2 engine.
#[must_use]
pub fn is_addressed_as_version_2(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    segments.len() > 2 && segments[1..segments.len() - 1].contains(&"data")
}

/// The path of the request that tells what is mounted above `path`. Every token that may use anything in a mount may ask.
pub(crate) fn mount_question(path: &str) -> String {
    format!("sys/internal/ui/mounts/{path}")
}

/// `path` with the `data/` that it lacks, when the reply to that request tells of a KV v2 engine.
pub(crate) fn path_with_data(reply: &Value, path: &str) -> Option<String> {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.expose_str().map(str::to_owned),
        _ => None,
    };
    let mount = reply.get("data")?;
    let is_version_2 = text(mount.get("type"))
        .is_some_and(|kind| matches!(kind.as_str(), "kv" | "generic"))
        && text(mount.get("options")?.get("version")).is_some_and(|version| version == "2");
    let above = text(mount.get("path"))?;
    let rest = path.strip_prefix(&above).filter(|rest| !rest.is_empty())?;
    let first = rest.split('/').next().unwrap_or_default();
    let known = [
        "config", "data", "delete", "destroy", "metadata", "subkeys", "undelete",
    ];
    (is_version_2 && !known.contains(&first)).then(|| format!("{above}data/{rest}"))
}

/// What the metadata of a version that is gone say.
fn gone(metadata: &Value) -> Option<String> {
    let version: u64 = number(metadata.get("version"))?;
    if metadata.get("destroyed") == Some(&Value::Bool(true)) {
        return Some(format!("version {version} was destroyed"));
    }
    match metadata.get("deletion_time") {
        Some(Value::String(time)) if !time.is_empty() => {
            let time = escaped(time.expose_str().unwrap_or_default());
            Some(format!("version {version} was deleted at {time}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#""metadata":{"created_time":"2024-01-01T00:00:00Z","version":3}"#;

    #[test]
    fn version_2_is_told_by_path_and_shape() {
        let whole = format!(r#"{{"data":{{"k":"v"}},{METADATA}}}"#);
        let beside = format!(r#"{{"data":{{"k":"v"}},{METADATA},"more":1}}"#);
        let text = format!(r#"{{"data":"v",{METADATA}}}"#);
        for (path, data, expected) in [
            ("secret/data/app", whole.as_str(), Some(3)),
            ("team/a/kv/data/app/db", &whole, Some(3)),
            ("data/data/app", &whole, Some(3)),
            ("kv1/app", &whole, None),
            ("data/app", &whole, None),
            ("kv1/app/data", &whole, None),
            ("kv1/data/app", &beside, None),
            ("kv1/data/app", &text, None),
            ("kv1/data/app", r#"{"data":{"k":"v"}}"#, None),
            ("kv1/data/app", r#"{"data":{},"metadata":"m"}"#, None),
            ("kv1/data/app", "null", None),
        ] {
            let data = Value::parse(data.as_bytes()).unwrap();
            let (secret, version) = unwrapped(path, data.clone());
            assert_eq!(version, expected, "{path} {data:?}");
            assert_eq!(secret.get("k").is_some(), version.is_some(), "{path}");
            assert!(version.is_some() || secret == data, "{path}");
        }
    }

    #[test]
    fn the_path_with_what_it_lacks() {
        for (version, path, expected) in [
            ("2", "team/kv/app/db", Some("team/kv/data/app/db")),
            ("2", "team/kv/data/app", None),
            ("2", "team/kv/", None),
            ("2", "other/app", None),
            ("1", "team/kv/app", None),
        ] {
            let reply = format!(
                r#"{{"data":{{"path":"team/kv/","type":"kv","options":{{"version":"{version}"}}}}}}"#
            );
            let reply = Value::parse(reply.as_bytes()).unwrap();
            assert_eq!(path_with_data(&reply, path).as_deref(), expected, "{path}");
        }
    }
}
