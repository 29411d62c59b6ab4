//! Inherited names that the program does not get, because they are the launcher's settings or credentials.
//!
//! The list is exact: any other `VAULT_*` name passes, and `--pass` keeps each of these. Peers remove the same names, and
//! forget some of those that hold credentials or lead to them.

/// What an inherited variable is to the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds secret bytes: never handed on.
    Credential,
    /// Leads to the server or identifies to it: handed on only with `VAULT_TOKEN=vault:login`.
    Connection,
    /// Steers the launcher.
    Setting,
}

use Role::{Connection, Credential, Setting};

/// Names with `VAULT_` or `BAO_` before them.
const SERVER: &[(&str, Role)] = &[
    ("TOKEN", Credential),
    ("SECRET_ID", Credential),
    ("PASSWORD", Credential),
    ("CLIENT_KEY_BYTES", Credential),
    ("HEADERS", Credential),
    ("ADDR", Connection),
    ("AGENT_ADDR", Connection),
    ("PROXY_ADDR", Connection),
    ("HTTP_PROXY", Connection),
    ("SRV_LOOKUP", Connection),
    ("NAMESPACE", Connection),
    ("CACERT", Connection),
    ("CACERT_BYTES", Connection),
    ("CAPATH", Connection),
    ("CLIENT_CERT", Connection),
    ("CLIENT_CERT_BYTES", Connection),
    ("CLIENT_KEY", Connection),
    ("TLS_SERVER_NAME", Connection),
    ("SKIP_VERIFY", Connection),
    ("CLIENT_TIMEOUT", Connection),
    ("MAX_RETRIES", Connection),
    ("WRAP_TTL", Connection),
    ("MFA", Connection),
    ("DISABLE_REDIRECTS", Connection),
    ("RATE_LIMIT", Setting),
    ("CLUSTER_ADDR", Setting),
    ("REDIRECT_ADDR", Setting),
    ("CLI_NO_COLOR", Setting),
    ("ROLE", Setting),
    ("PATH", Setting),
    ("AUTH_METHOD", Setting),
    ("JWT_FILE", Setting),
    ("TOKEN_FILE", Setting),
    ("TOKEN_PATH", Setting),
    ("ROLE_ID", Setting),
    ("SECRET_ID_FILE", Setting),
    ("SECRET_ID_WRAPPED", Setting),
    ("USERNAME", Setting),
    ("PASSWORD_FILE", Setting),
    ("CACERT_RELOAD", Setting),
    ("IGNORE_MISSING_SECRETS", Setting),
    ("PASSTHROUGH", Setting),
    ("FROM_PATH", Setting),
    ("REVOKE_TOKEN", Setting),
    ("TRANSIT_KEY_ID", Setting),
    ("TRANSIT_PATH", Setting),
    ("TRANSIT_BATCH_SIZE", Setting),
    ("LOG_LEVEL", Setting),
    ("JSON_LOG", Setting),
    ("ENV_PASSTHROUGH", Setting),
    ("ENV_FROM_PATH", Setting),
    ("ENV_DELAY", Setting),
    ("ENV_DAEMON", Setting),
    ("ENV_RESTART_ON_SECRET_CHANGE", Setting),
    ("ENV_SECRET_POLL_INTERVAL", Setting),
    ("ENV_LOG_SERVER", Setting),
];

/// Whole names.
const OTHERS: &[(&str, Role)] = &[
    ("KUBERNETES_SERVICE_ACCOUNT_TOKEN", Setting),
    ("FILE_MOUNT_PATH", Setting),
    ("SECRET_INIT_DELAY", Setting),
    ("SECRET_INIT_DAEMON", Setting),
    ("SECRET_INIT_LOG_LEVEL", Setting),
    ("SECRET_INIT_JSON_LOG", Setting),
    ("SECRET_INIT_LOG_SERVER", Setting),
];

/// What `name` is to the launcher, if anything. The launcher's own `ENVLATCH_*` settings are not in this list.
pub(crate) fn role(name: &[u8]) -> Option<Role> {
    let name = std::str::from_utf8(name).ok()?;
    let (list, rest) = match name
        .strip_prefix("VAULT_")
        .or_else(|| name.strip_prefix("BAO_"))
    {
        Some(rest) => (SERVER, rest),
        None => (OTHERS, name),
    };
    list.iter()
        .find(|(known, _)| *known == rest)
        .map(|(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "vault")]
    #[test]
    fn whatever_the_server_client_reads_is_in_it() {
        let shared = [
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "NO_PROXY",
            "ALL_PROXY",
        ];
        let read = |variable: &&envlatch_vault::Variable| {
            variable.credential || variable.treatment == envlatch_vault::Treatment::Honoured
        };
        for variable in envlatch_vault::VARIABLES
            .iter()
            .filter(read)
            .filter(|variable| !shared.contains(&variable.name))
        {
            assert!(
                role(variable.name.as_bytes()).is_some(),
                "{}",
                variable.name
            );
        }
    }

    #[test]
    fn the_list_is_exact() {
        for (name, expected) in [
            ("VAULT_TOKEN", Some(Credential)),
            ("BAO_TOKEN", Some(Credential)),
            ("VAULT_ADDR", Some(Connection)),
            ("VAULT_ROLE", Some(Setting)),
            ("SECRET_INIT_DAEMON", Some(Setting)),
            ("VAULT_SECRET_INIT_DAEMON", None),
            ("VAULT_OF_THE_APP", None),
            ("TOKEN", None),
        ] {
            assert_eq!(role(name.as_bytes()), expected, "{name}");
        }
    }
}
