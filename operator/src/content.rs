//! From files to the content of a Kubernetes Secret: legal keys, a size that fits, what the type demands.

use std::collections::{BTreeMap, BTreeSet};

use envlatch_api::SyncSpec;
use envlatch_bundle::{Code, File, Problem};
use envlatch_vault::Secret;

use crate::ownership::MANAGED;

/// The most bytes that the values of a Secret may have (Kubernetes: MaxSecretSize).
const MAX_SIZE: usize = 1024 * 1024;
/// The longest key (Kubernetes: DNS1123SubdomainMaxLength).
const MAX_KEY: usize = 253;
/// Types that give rights of their own, to whoever may write them.
const FORBIDDEN_TYPES: [&str; 3] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
    "helm.sh/release.v1",
];
/// What types demand: one of the keys of each group.
const DEMANDS: [(&str, &[&[&str]]); 5] = [
    ("kubernetes.io/tls", &[&["tls.crt"], &["tls.key"]]),
    ("kubernetes.io/dockerconfigjson", &[&[".dockerconfigjson"]]),
    ("kubernetes.io/dockercfg", &[&[".dockercfg"]]),
    ("kubernetes.io/basic-auth", &[&["username", "password"]]),
    ("kubernetes.io/ssh-auth", &[&["ssh-privatekey"]]),
];

/// What a Secret is to hold, by key.
pub(crate) type Data = BTreeMap<String, Secret>;

/// The content that `files` make.
///
/// # Errors
/// Every key that is not legal, the size, the keys that the type lacks, or that there is nothing.
pub(crate) fn content(sync: &SyncSpec, files: Vec<File>) -> Result<Data, Problem> {
    let mut data = Data::new();
    let (mut illegal, mut twice) = (Vec::new(), BTreeSet::new());
    for file in files {
        let renamed = sync.keys.iter().find(|key| key.name == file.name);
        let key = renamed.map_or(&file.name, |renamed| &renamed.key);
        if !is_legal(key) {
            illegal.push(file.name);
        } else if data.insert(key.clone(), file.bytes).is_some() {
            twice.insert(key.clone());
        }
    }
    check_keys(&illegal, &twice)?;
    check_size(&data)?;
    check_type(&sync.type_, &data)?;
    if data.is_empty() && !sync.allow_empty {
        return Err(Problem::new(
            Code::NotFound,
            "Empty",
            "the server has no key for the Secret any more; what it holds is kept. Set spec.sync.allowEmpty if it may become empty",
        ));
    }
    Ok(data)
}

/// Labels and annotations that a tenant may set.
///
/// # Errors
/// Those that he may not.
pub(crate) fn check_metadata(sync: &SyncSpec) -> Result<(), Problem> {
    let names = sync.labels.keys().chain(sync.annotations.keys());
    let reserved: Vec<&str> = names
        .map(String::as_str)
        .filter(|name| is_reserved(name))
        .collect();
    if reserved.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        Code::InvalidArgument,
        "InvalidMetadata",
        format!(
            "labels and annotations of envlatch.io, kubernetes.io and k8s.io are not a bundle's to set; remove {}",
            reserved.join(", ")
        ),
    ))
}

/// `app.kubernetes.io` is meant for everybody, and one label is what a class's Secret is known by.
fn is_reserved(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else {
        return false;
    };
    let of = |owner: &str| domain == owner || domain.ends_with(&format!(".{owner}"));
    domain != "app.kubernetes.io"
        && name != MANAGED
        && (of("envlatch.io") || of("kubernetes.io") || of("k8s.io"))
}

fn is_legal(key: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=MAX_KEY).contains(&key.len())
        && key.bytes().all(known)
        && key != "."
        && !key.starts_with("..")
}

fn check_keys(illegal: &[String], twice: &BTreeSet<String>) -> Result<(), Problem> {
    let quoted = |name: &String| format!("{name:?}");
    let text = if !illegal.is_empty() {
        let names: Vec<String> = illegal.iter().map(quoted).collect();
        format!(
            "{} cannot be a key of a Secret (letters, digits, \"-\", \"_\" and \".\", at most {MAX_KEY}); name another key for it in spec.sync.keys",
            names.join(", ")
        )
    } else if !twice.is_empty() {
        let names: Vec<String> = twice.iter().map(quoted).collect();
        format!(
            "more than one entry becomes the key {}; name other keys in spec.sync.keys",
            names.join(", ")
        )
    } else {
        return Ok(());
    };
    Err(Problem::new(Code::InvalidArgument, "InvalidKey", text))
}

fn check_size(data: &Data) -> Result<(), Problem> {
    let size: usize = data.values().map(Secret::len).sum();
    if size <= MAX_SIZE {
        return Ok(());
    }
    let text = format!(
        "the values have {size} bytes, and a Secret holds {MAX_SIZE} at most; take fewer keys, or mount the bundle as files"
    );
    Err(Problem::new(Code::InvalidArgument, "TooLarge", text))
}

fn check_type(type_: &str, data: &Data) -> Result<(), Problem> {
    if FORBIDDEN_TYPES.contains(&type_) {
        let text = format!("a Secret of type {type_} gives rights of its own and is not made");
        return Err(Problem::new(Code::PermissionDenied, "ForbiddenType", text));
    }
    let demands = DEMANDS.iter().find(|(name, _)| *name == type_);
    let groups = demands.map_or(&[][..], |(_, groups)| groups);
    let lacking = groups
        .iter()
        .find(|group| !group.iter().any(|key| data.contains_key(*key)));
    if let Some(group) = lacking {
        let text = format!(
            "type {type_} needs a key {}; name an entry so, or map one in spec.sync.keys",
            group.join(" or ")
        );
        return Err(Problem::new(Code::InvalidArgument, "TypeMismatch", text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use envlatch_api::SecretKey;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn sync(type_: &str, keys: &[(&str, &str)]) -> SyncSpec {
        let keys = keys.iter().map(|(name, key)| SecretKey {
            name: (*name).to_owned(),
            key: (*key).to_owned(),
        });
        SyncSpec {
            service_account: "app".to_owned(),
            secret_name: "app".to_owned(),
            type_: type_.to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            ownership: envlatch_api::Ownership::Own,
            on_delete: envlatch_api::OnDelete::Retain,
            keys: keys.collect(),
            allow_empty: false,
            restart: Vec::new(),
        }
    }

    fn files(names: &[&str]) -> Vec<File> {
        let file = |name: &&str| File {
            name: (*name).to_owned(),
            mode: None,
            bytes: "value".into(),
            version: None,
        };
        names.iter().map(file).collect()
    }

    fn reason(sync: &SyncSpec, names: &[&str]) -> &'static str {
        content(sync, files(names)).map_or_else(|problem| problem.reason, |_| "")
    }

    #[test]
    fn keys() {
        let long = "a".repeat(254);
        for (names, renamed, expected) in [
            (&["a", "b.c", "D-e_f", ".x"][..], &[][..], ""),
            (&["a/b"], &[], "InvalidKey"),
            (&["a/b"], &[("a/b", "b")], ""),
            (&["a b"], &[], "InvalidKey"),
            (&[".."], &[], "InvalidKey"),
            (&["..a"], &[], "InvalidKey"),
            (&["."], &[], "InvalidKey"),
            (&[""], &[], "InvalidKey"),
            (&["ä"], &[], "InvalidKey"),
            (&[long.as_str()], &[], "InvalidKey"),
            (&["a", "a/b"], &[("a/b", "a")], "InvalidKey"),
            (&[], &[], "Empty"),
        ] {
            assert_eq!(
                reason(&sync("Opaque", renamed), names),
                expected,
                "{names:?}"
            );
        }
        let problem = content(&sync("Opaque", &[]), files(&["a/b", "ok", "c d"])).unwrap_err();
        assert!(
            problem.message.starts_with("\"a/b\", \"c d\" cannot"),
            "{problem}"
        );
        let allowed = SyncSpec {
            allow_empty: true,
            ..sync("Opaque", &[])
        };
        assert_eq!(reason(&allowed, &[]), "");
    }

    #[test]
    fn types() {
        for (type_, names, expected) in [
            ("kubernetes.io/tls", &["tls.crt", "tls.key"][..], ""),
            ("kubernetes.io/tls", &["tls.crt"], "TypeMismatch"),
            ("kubernetes.io/basic-auth", &["password"], ""),
            ("kubernetes.io/basic-auth", &["user"], "TypeMismatch"),
            ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"], ""),
            ("kubernetes.io/dockerconfigjson", &["a"], "TypeMismatch"),
            ("example.com/own", &["a"], ""),
            (
                "kubernetes.io/service-account-token",
                &["token"],
                "ForbiddenType",
            ),
            ("bootstrap.kubernetes.io/token", &["a"], "ForbiddenType"),
            ("helm.sh/release.v1", &["release"], "ForbiddenType"),
        ] {
            assert_eq!(
                reason(&sync(type_, &[]), names),
                expected,
                "{type_} {names:?}"
            );
        }
    }

    #[test]
    fn metadata() {
        for (name, allowed) in [
            ("app", true),
            ("example.com/app", true),
            ("app.kubernetes.io/name", true),
            ("notenvlatch.io/a", true),
            ("envlatch.io/synced", false),
            ("keys.envlatch.io/a", false),
            ("kubernetes.io/service-account.name", false),
            ("node-role.kubernetes.io/a", false),
            ("k8s.io/a", false),
            ("secrets-store.csi.k8s.io/managed", true),
            ("secrets-store.csi.k8s.io/a", false),
        ] {
            let mut sync = sync("Opaque", &[]);
            sync.labels.insert(name.to_owned(), String::new());
            assert_eq!(check_metadata(&sync).is_ok(), allowed, "{name}");
            sync.annotations = std::mem::take(&mut sync.labels);
            assert_eq!(check_metadata(&sync).is_ok(), allowed, "{name}");
        }
    }

    #[test]
    fn size() {
        let of = |size: usize| {
            let file = File {
                name: "a".to_owned(),
                mode: None,
                bytes: Secret::new(vec![0; size]),
                version: None,
            };
            content(&sync("Opaque", &[]), vec![file]).map_or_else(|problem| problem.reason, |_| "")
        };
        assert_eq!(of(MAX_SIZE), "");
        assert_eq!(of(MAX_SIZE + 1), "TooLarge");
    }

    proptest! {
        #[test]
        fn a_name_is_a_key_as_it_is_or_an_error(name in any::<String>()) {
            let made = content(&sync("Opaque", &[]), files(&[&name]));
            prop_assert_eq!(made.is_ok(), is_legal(&name));
            if let Ok(data) = made {
                prop_assert_eq!(data.keys().collect::<Vec<_>>(), vec![&name]);
            }
        }
    }
}
