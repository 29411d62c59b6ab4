//! Which reads issue a new credential each time, so that they must not be repeated carelessly.

/// Whether reading `path` may issue a new credential. These shapes of path do, by the documentation of the engines:
///
/// | shape | engines |
/// |---|---|
/// | `MOUNT/creds/…` | database, AWS, Azure, Consul, Kubernetes, LDAP, MongoDB Atlas, Nomad, RabbitMQ, SSH, Terraform |
/// | `MOUNT/sts/…` | AWS |
/// | `MOUNT/token/…`, `MOUNT/key/…`, `…/NAME/token`, `…/NAME/key` | Google Cloud; `identity/oidc/token/…` |
///
/// `static-creds` return what exists already. A path whose second segment is `data` is read from a KV v2 engine.
#[must_use]
pub fn may_mint(path: &str) -> bool {
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if segments.len() < 3 || segments[1] == "data" || matches!(segments[0], "auth" | "sys") {
        return false;
    }
    let (last, between) = (
        segments[segments.len() - 1],
        &segments[1..segments.len() - 1],
    );
    between
        .iter()
        .any(|segment| matches!(*segment, "creds" | "sts" | "token" | "key"))
        || matches!(last, "token" | "key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_path() {
        for (path, mints) in [
            ("database/creds/app", true),
            ("/team/a/database/creds/app", true),
            ("aws/sts/deploy", true),
            ("gcp/token/roleset", true),
            ("gcp/roleset/app/token", true),
            ("gcp/static-account/app/key", true),
            ("identity/oidc/token/app", true),
            ("database/static-creds/app", false),
            ("secret/data/creds/app", false),
            ("secret/data/app/token", false),
            ("kv/app", false),
            ("kv/creds", false),
            ("auth/token/lookup-self", false),
            ("creds/app", false),
            ("", false),
        ] {
            assert_eq!(may_mint(path), mints, "{path}");
        }
    }
}
