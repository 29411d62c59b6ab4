//! The one table of environment names: what this crate reads, what it refuses, and what it leaves alone.
//!
//! The reference documentation and the launcher's list of names that a program must not inherit are made from it.

/// One environment name. A `VAULT_X` stands for `BAO_X` too, which wins; a `…_PROXY` without it for its lower case too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name, as the official clients spell it
    pub name: &'static str,
    /// What is done with it
    pub treatment: Treatment,
    /// Whether it holds a credential, or names a file that does
    pub credential: bool,
    /// Its meaning, unit and default in one line; for a refused name the remedy, for an ignored one why that does no harm
    pub help: &'static str,
}

/// What is done with an environment name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It has its meaning.
    Honoured,
    /// It is an error to set it, because to disregard it would be wrong.
    Refused,
    /// It has no effect here.
    Ignored,
}

// === impl Variable ===

impl Variable {
    /// Every spelling that is read, the one that wins first.
    pub fn spellings(&self) -> impl Iterator<Item = String> + use<> {
        let (first, second) = match self.name.strip_prefix("VAULT_") {
            Some(rest) => (format!("BAO_{rest}"), Some(self.name.to_owned())),
            None if self.name.ends_with("_PROXY") => {
                (self.name.to_owned(), Some(self.name.to_ascii_lowercase()))
            }
            None => (self.name.to_owned(), None),
        };
        [Some(first), second].into_iter().flatten()
    }
}

const fn variable(name: &'static str, treatment: Treatment, help: &'static str) -> Variable {
    Variable {
        name,
        treatment,
        credential: false,
        help,
    }
}

const fn setting(name: &'static str, help: &'static str) -> Variable {
    variable(name, Treatment::Honoured, help)
}

const fn refused(name: &'static str, remedy: &'static str) -> Variable {
    variable(name, Treatment::Refused, remedy)
}

const fn ignored(name: &'static str, reason: &'static str) -> Variable {
    variable(name, Treatment::Ignored, reason)
}

const fn credential(variable: Variable) -> Variable {
    Variable {
        credential: true,
        ..variable
    }
}

/// Every name that the official clients and the compatible launchers define for reaching a server.
pub const VARIABLES: &[Variable] = &[
    setting(
        "VAULT_ADDR",
        "addresses of equivalent servers, separated by commas; default https://127.0.0.1:8200",
    ),
    setting(
        "VAULT_AGENT_ADDR",
        "address of a local agent; used instead of VAULT_ADDR",
    ),
    setting("VAULT_NAMESPACE", "namespace of every request"),
    setting(
        "VAULT_CLIENT_TIMEOUT",
        "longest time for one request that can be repeated, such as 30s (a bare number is seconds); default 20s",
    ),
    setting(
        "VAULT_MAX_RETRIES",
        "how often an operation is repeated at most; default: as often as its deadline permits",
    ),
    setting(
        "VAULT_DISABLE_REDIRECTS",
        "true: never follow a redirect; default false",
    ),
    setting(
        "VAULT_CACERT_BYTES",
        "PEM certificates to trust instead of the system's; wins over VAULT_CACERT",
    ),
    setting(
        "VAULT_CACERT",
        "file of PEM certificates to trust instead of the system's; wins over VAULT_CAPATH",
    ),
    setting(
        "VAULT_CAPATH",
        "directory of PEM files to trust instead of the system's",
    ),
    credential(setting(
        "VAULT_CLIENT_CERT",
        "file with this client's certificate (PEM)",
    )),
    credential(setting(
        "VAULT_CLIENT_CERT_BYTES",
        "this client's certificate (PEM); wins over VAULT_CLIENT_CERT",
    )),
    credential(setting(
        "VAULT_CLIENT_KEY",
        "file with the key of this client's certificate (PEM)",
    )),
    credential(setting(
        "VAULT_CLIENT_KEY_BYTES",
        "the key of this client's certificate (PEM); wins over VAULT_CLIENT_KEY",
    )),
    setting(
        "VAULT_TLS_SERVER_NAME",
        "name to send and to verify instead of the address's host",
    ),
    setting(
        "VAULT_SKIP_VERIFY",
        "true: do not verify the server's certificate (insecure); default false",
    ),
    setting(
        "VAULT_PROXY_ADDR",
        "HTTP proxy for every request; NO_PROXY does not apply to it",
    ),
    setting(
        "VAULT_HTTP_PROXY",
        "older name of VAULT_PROXY_ADDR, which wins",
    ),
    credential(setting(
        "VAULT_TOKEN",
        "token to use; wins over every other method",
    )),
    credential(setting(
        "VAULT_TOKEN_FILE",
        "file with the token to use, read again when the token is refused; wins over VAULT_AUTH_METHOD",
    )),
    credential(setting(
        "VAULT_TOKEN_PATH",
        "older name of VAULT_TOKEN_FILE, which wins",
    )),
    setting(
        "VAULT_AUTH_METHOD",
        "kubernetes, jwt, approle, cert, userpass or token; default: what VAULT_TOKEN, VAULT_ROLE_ID or VAULT_USERNAME suggest, else kubernetes",
    ),
    setting(
        "VAULT_PATH",
        "mount of the login method; default its name, and kubernetes for jwt",
    ),
    setting(
        "VAULT_ROLE",
        "role to log in as, with kubernetes, jwt and cert; default for kubernetes and jwt: default",
    ),
    credential(setting(
        "VAULT_JWT_FILE",
        "file with the JWT to log in with; default /var/run/secrets/kubernetes.io/serviceaccount/token",
    )),
    credential(setting(
        "KUBERNETES_SERVICE_ACCOUNT_TOKEN",
        "file with the JWT to log in with; wins over VAULT_JWT_FILE",
    )),
    credential(setting("VAULT_ROLE_ID", "role id of an AppRole login")),
    credential(setting("VAULT_SECRET_ID", "secret id of an AppRole login")),
    credential(setting(
        "VAULT_SECRET_ID_FILE",
        "file with the secret id of an AppRole login",
    )),
    setting(
        "VAULT_SECRET_ID_WRAPPED",
        "true: the secret id is a response-wrapping token that holds it; default false",
    ),
    setting("VAULT_USERNAME", "user name of a userpass login"),
    credential(setting("VAULT_PASSWORD", "password of a userpass login")),
    credential(setting(
        "VAULT_PASSWORD_FILE",
        "file with the password of a userpass login",
    )),
    setting(
        "HTTP_PROXY",
        "proxy for http:// addresses that are not on this machine",
    ),
    setting(
        "HTTPS_PROXY",
        "proxy for https:// addresses that are not on this machine",
    ),
    setting(
        "NO_PROXY",
        "hosts for which HTTP_PROXY and HTTPS_PROXY are not used",
    ),
    setting("SSL_CERT_FILE", "file of the system's CA certificates"),
    setting(
        "SSL_CERT_DIR",
        "directories of the system's CA certificates, separated by colons",
    ),
    refused(
        "VAULT_SRV_LOOKUP",
        "servers are not looked up by SRV records; list their addresses in VAULT_ADDR, separated by commas",
    ),
    refused("VAULT_WRAP_TTL", "a wrapped reply holds no value; unset it"),
    credential(refused(
        "VAULT_MFA",
        "a program cannot answer a second factor; unset it and use a login without one",
    )),
    credential(refused(
        "VAULT_HEADERS",
        "additional headers are not sent; unset it",
    )),
    ignored(
        "VAULT_RATE_LIMIT",
        "requests are few, and the server's own limit is obeyed",
    ),
    ignored(
        "VAULT_CACERT_RELOAD",
        "certificates are read when a client is made",
    ),
    ignored("VAULT_CLUSTER_ADDR", "read by servers"),
    ignored("VAULT_REDIRECT_ADDR", "read by servers"),
    ignored("VAULT_CLI_NO_COLOR", "read by the command line client"),
    ignored("VAULT_FORMAT", "read by the command line client"),
];
