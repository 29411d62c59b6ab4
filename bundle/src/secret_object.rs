//! `secretObjects` of a SecretProviderClass: which of its files become which keys of a Kubernetes Secret, as the Secrets Store CSI
//! Driver makes them of the files in a pod. Here they come straight from the server, so no pod has to run.
//!
//! What issues a credential is refused: a class has no status in which a lease could be written down before the credential is used.

use envlatch_api::{Encoding, SecretObject, SecretProviderClassSpec};
use envlatch_reference::{nearest, pem};
use envlatch_vault::{Secret, may_mint};

use crate::Problem;
use crate::plan::{Entry, Plan, Take, from_class};
use crate::problem::Code;
use crate::render::{File, decoded};

/// The type whose keys are parts of a PEM bundle.
const TLS: &str = "kubernetes.io/tls";

/// What is asked for the keys of `object`: what `class` asks for them, and no more.
///
/// # Errors
/// What is wrong with the class, or with the object.
pub fn from_object(
    class: &SecretProviderClassSpec,
    object: &SecretObject,
) -> Result<Plan, Problem> {
    let mut plan = from_class(class)?;
    let wanted = wanted(object)?;
    let is_bulk = |entry: &Entry| matches!(entry.take, Take::AllKeys { .. });
    // What allKeys makes is known when the server has answered.
    let unknown = wanted
        .iter()
        .find(|(file, _, _)| !plan.names().any(|name| name == *file));
    if let (Some((file, _, _)), false) = (unknown, plan.entries.iter().any(is_bulk)) {
        return Err(missing(object, file, plan.names()));
    }
    plan.entries
        .retain(|entry| is_bulk(entry) || wanted.iter().any(|(file, _, _)| *file == entry.name));
    plan.entries.iter().try_for_each(refuse_minting)?;
    Ok(plan)
}

/// The keys of `object`, each as a file of its name.
///
/// # Errors
/// A file is missing, or is not of the form that the key needs.
pub fn keys_of(object: &SecretObject, files: &[File]) -> Result<Vec<File>, Problem> {
    let keys = wanted(object)?.into_iter().map(|(name, key, decode)| {
        let found = files.iter().find(|file| file.name == name);
        let file = found
            .ok_or_else(|| missing(object, name, files.iter().map(|file| file.name.as_str())))?;
        let encoding = if decode {
            Encoding::Base64
        } else {
            Encoding::Utf8
        };
        let bytes = decoded(encoding, name, "the object", &file.bytes)?;
        let bytes = match (object.type_.as_deref(), key) {
            (Some(TLS), "tls.crt") => part(name, &bytes, "CERTIFICATE")?,
            (Some(TLS), "tls.key") => part(name, &bytes, "PRIVATE KEY")?,
            _ => bytes,
        };
        Ok(File {
            name: key.to_owned(),
            mode: None,
            bytes,
            version: file.version,
        })
    });
    keys.collect()
}

/// Object, key and whether to decode, for each key.
fn wanted(object: &SecretObject) -> Result<Vec<(&str, &str, bool)>, Problem> {
    let data = object.data.as_deref().unwrap_or_default();
    if data.is_empty() {
        return Err(Problem::invalid(format!(
            "{} has no data; name at least one objectName with its key",
            said(object)
        )));
    }
    let pairs = data.iter().map(
        |pair| match (pair.object_name.as_deref(), pair.key.as_deref()) {
            (Some(name), Some(key)) if !name.is_empty() && !key.is_empty() => {
                Ok((name, key, pair.decode_base64.unwrap_or_default()))
            }
            _ => Err(Problem::invalid(format!(
                "{}: each item of data needs objectName and key",
                said(object)
            ))),
        },
    );
    pairs.collect()
}

fn missing<'a>(object: &SecretObject, name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let hint = nearest(name, known).map_or_else(
        || "name it in spec.parameters.objects".to_owned(),
        |similar| format!("did you mean {similar:?}?"),
    );
    Problem::invalid(format!(
        "{}: the class has no object {name:?}; {hint}",
        said(object)
    ))
}

fn refuse_minting(entry: &Entry) -> Result<(), Problem> {
    if entry.ask.arguments.is_none() && !may_mint(&entry.ask.path) {
        return Ok(());
    }
    Err(unkept(&format!(
        "object {:?} at {}",
        entry.name, entry.ask.path
    )))
}

/// `what` was issued, or would be.
#[must_use]
pub fn unkept(what: &str) -> Problem {
    let text = format!(
        "{what} is issued and ends, and a class has no status in which that is kept; make a SecretBundle with spec.sync for it"
    );
    Problem::new(Code::FailedPrecondition, "LeaseNotKept", text)
}

/// The blocks of one kind, of a bundle that may hold both certificates and their key.
fn part(name: &str, bytes: &Secret, kind: &str) -> Result<Secret, Problem> {
    let text = bytes.expose_str().unwrap_or_default();
    let blocks: Vec<&str> = pem::blocks(text)
        .filter(|block| block.is_of(kind))
        .map(|block| block.text)
        .collect();
    if blocks.is_empty() {
        let text = format!("object {name:?} has no {kind} as PEM, which type {TLS} needs");
        return Err(Problem::new(Code::InvalidArgument, "NotDecodable", text));
    }
    Ok(Secret::from(blocks.join("\n") + "\n"))
}

fn said(object: &SecretObject) -> String {
    format!(
        "secretObjects: {}",
        object.secret_name.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n";
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----\n";

    fn class(objects: &str) -> SecretProviderClassSpec {
        let parameters = json!({"roleName": "app", "objects": objects});
        serde_json::from_value(json!({"provider": "vault", "parameters": parameters})).unwrap()
    }

    fn object(type_: &str, data: &[(&str, &str)]) -> SecretObject {
        let data: Vec<_> = data
            .iter()
            .map(|(name, key)| json!({"objectName": name, "key": key}))
            .collect();
        serde_json::from_value(json!({"secretName": "s", "type": type_, "data": data})).unwrap()
    }

    fn file(name: &str, text: &str) -> File {
        File {
            name: name.to_owned(),
            mode: None,
            bytes: text.into(),
            version: None,
        }
    }

    #[test]
    fn only_what_the_object_names_is_asked_for() {
        let class = class(
            "- {objectName: a, secretPath: secret/data/a, secretKey: k}\n\
             - {objectName: b, secretPath: secret/data/b, secretKey: k}\n\
             - {objectName: db, secretPath: database/creds/app, secretKey: password}\n",
        );
        let names = |data: &[(&str, &str)]| {
            let plan = from_object(&class, &object("Opaque", data));
            plan.map(|plan| plan.names().map(str::to_owned).collect::<Vec<_>>())
                .map_err(|problem| problem.to_string())
        };
        assert_eq!(
            names(&[("b", "k"), ("b", "again")]),
            Ok(vec!["b".to_owned()])
        );
        for (data, expected) in [
            (&[][..], "has no data"),
            (&[("", "k")], "needs objectName and key"),
            (&[("c", "k")], "the class has no object \"c\""),
            (
                &[("db", "k")],
                "LeaseNotKept: object \"db\" at database/creds/app is issued",
            ),
        ] {
            let error = names(data).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn keys_are_made_of_files_and_parts_of_files() {
        let both = file("pair", &format!("{KEY}{CERTIFICATE}{CERTIFICATE}"));
        let keys = |type_: &str, data: &[(&str, &str)]| {
            let made = keys_of(&object(type_, data), std::slice::from_ref(&both));
            made.map(|files| {
                let text = |file: File| (file.name, file.bytes.expose_str().unwrap().to_owned());
                files.into_iter().map(text).collect::<Vec<_>>()
            })
            .map_err(|problem| problem.message)
        };
        assert_eq!(
            keys(TLS, &[("pair", "tls.crt"), ("pair", "tls.key")]).unwrap(),
            [
                ("tls.crt".to_owned(), CERTIFICATE.repeat(2)),
                ("tls.key".to_owned(), KEY.to_owned()),
            ]
        );
        let whole = keys("Opaque", &[("pair", "tls.crt")]).unwrap();
        assert_eq!(whole[0].1, format!("{KEY}{CERTIFICATE}{CERTIFICATE}"));
        assert!(
            keys("Opaque", &[("pairs", "k")])
                .unwrap_err()
                .contains("did you mean \"pair\"?")
        );
        let neither = keys_of(&object(TLS, &[("a", "tls.crt")]), &[file("a", "hunter22")]);
        let message = neither.unwrap_err().message;
        assert!(
            message.contains("no CERTIFICATE as PEM") && !message.contains("hunter22"),
            "{message}"
        );
    }
}
