//! The identity that an environment names: which login method, and where its credential is.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::environment::Environment;
use crate::Secret;
use crate::auth::{Auth, SecretId, Source};

/// Where Kubernetes puts the token of a pod's service account.
const DEFAULT_TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Values of `VAULT_TOKEN` that ask for the token of a login; they are no tokens.
const LOGIN_REQUESTS: [&str; 3] = ["vault:login", "bao:login", "secrets-store:login"];

impl Environment<'_> {
    pub(super) fn auth(&mut self) -> Option<Auth> {
        let asks_for_login = self
            .raw("VAULT_TOKEN")
            .is_some_and(|found| LOGIN_REQUESTS.iter().any(|text| found.value == *text));
        if !asks_for_login && self.raw("VAULT_TOKEN").is_some() {
            return self.credential("VAULT_TOKEN").map(Auth::Token);
        }
        for name in ["VAULT_TOKEN_FILE", "VAULT_TOKEN_PATH"] {
            if let Some(file) = self.path(name) {
                return Some(Auth::TokenFile(file));
            }
        }
        match self.method()?.as_str() {
            "kubernetes" => self.kubernetes(),
            "jwt" => self.jwt(),
            "approle" => self.approle(),
            "cert" => Some(Auth::Cert {
                mount: self.mount("cert")?,
                role: self.word("VAULT_ROLE"),
            }),
            "userpass" => self.userpass(),
            "token" => {
                self.problem(
                    "VAULT_TOKEN",
                    "is needed for VAULT_AUTH_METHOD=token (or VAULT_TOKEN_FILE)",
                );
                None
            }
            _ => {
                self.problem(
                    "VAULT_AUTH_METHOD",
                    "not a supported method; use kubernetes, jwt, approle, cert, userpass or token",
                );
                None
            }
        }
    }

    fn method(&mut self) -> Option<String> {
        if self.raw("VAULT_AUTH_METHOD").is_some() {
            return self.word("VAULT_AUTH_METHOD");
        }
        let approle = self.raw("VAULT_ROLE_ID").is_some();
        let userpass = self.raw("VAULT_USERNAME").is_some();
        if approle && userpass {
            self.problem(
                "VAULT_ROLE_ID",
                "cannot be used together with VAULT_USERNAME; set one of them",
            );
            return None;
        }
        let method = match (approle, userpass) {
            (true, _) => "approle",
            (_, true) => "userpass",
            _ => "kubernetes",
        };
        Some(method.to_owned())
    }

    /// The mount of the method, without `auth/` and slashes around it; `None` after a problem.
    fn mount(&mut self, default: &str) -> Option<String> {
        if self.raw("VAULT_PATH").is_none() {
            return Some(default.to_owned());
        }
        let mount = self.word("VAULT_PATH")?;
        let mount = mount.trim_matches('/');
        Some(mount.strip_prefix("auth/").unwrap_or(mount).to_owned())
    }

    fn role(&mut self) -> Option<String> {
        if self.raw("VAULT_ROLE").is_none() {
            return Some("default".to_owned());
        }
        self.word("VAULT_ROLE")
    }

    fn kubernetes(&mut self) -> Option<Auth> {
        Some(Auth::Kubernetes {
            mount: self.mount("kubernetes")?,
            role: self.role()?,
            jwt: Source::File(self.jwt_file()),
        })
    }

    /// The mount's default is that of the compatible launchers, whose jwt and kubernetes methods are one.
    fn jwt(&mut self) -> Option<Auth> {
        Some(Auth::Jwt {
            mount: self.mount("kubernetes")?,
            role: Some(self.role()?),
            jwt: Source::File(self.jwt_file()),
        })
    }

    fn jwt_file(&self) -> PathBuf {
        self.path("KUBERNETES_SERVICE_ACCOUNT_TOKEN")
            .or_else(|| self.path("VAULT_JWT_FILE"))
            .unwrap_or_else(|| DEFAULT_TOKEN_PATH.into())
    }

    fn approle(&mut self) -> Option<Auth> {
        let mount = self.mount("approle");
        let role_id = self.credential("VAULT_ROLE_ID");
        if self.raw("VAULT_ROLE_ID").is_none() {
            self.problem("VAULT_ROLE_ID", "is needed for an approle login");
        }
        let source = match self.raw("VAULT_SECRET_ID") {
            Some(_) => self.credential("VAULT_SECRET_ID").map(Source::Value),
            None => self.path("VAULT_SECRET_ID_FILE").map(Source::File),
        };
        let wrapped = self.boolean("VAULT_SECRET_ID_WRAPPED").unwrap_or(false);
        let secret_id = match source {
            Some(source) if wrapped => SecretId::Wrapped(source),
            Some(source) => SecretId::Plain(source),
            None if wrapped => {
                self.problem(
                    "VAULT_SECRET_ID",
                    "is needed with VAULT_SECRET_ID_WRAPPED (or VAULT_SECRET_ID_FILE)",
                );
                return None;
            }
            None => SecretId::None,
        };
        Some(Auth::AppRole {
            mount: mount?,
            role_id: role_id?,
            secret_id,
        })
    }

    fn userpass(&mut self) -> Option<Auth> {
        let mount = self.mount("userpass");
        let username = self.word("VAULT_USERNAME");
        if self.raw("VAULT_USERNAME").is_none() {
            self.problem("VAULT_USERNAME", "is needed for a userpass login");
        }
        let password = match self.raw("VAULT_PASSWORD") {
            // A password may hold anything, so nothing is trimmed and nothing refused.
            Some(found) => Some(Source::Value(Secret::new(found.value.into_vec()))),
            None => self.path("VAULT_PASSWORD_FILE").map(Source::File),
        };
        if password.is_none() {
            self.problem("VAULT_PASSWORD", "is needed for a userpass login");
        }
        Some(Auth::Userpass {
            mount: mount?,
            username: username?,
            password: password?,
        })
    }
}
