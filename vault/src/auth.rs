//! Who to be: the login methods, and where each finds its credential.

mod source;

use std::path::PathBuf;

use rustify::endpoint::Endpoint;
use vaultrs::api::auth::{approle, kubernetes, oidc, userpass};
use vaultrs::api::sys;

use crate::call::{Call, Operation};
use crate::error::Failure;
use crate::{Secret, Value};

pub use source::Source;
pub(crate) use source::credential_in;

/// An identity.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A token that someone else manages
    Token(Secret),
    /// The token in a file that someone else manages; read again when the server refuses it
    TokenFile(PathBuf),
    /// The kubernetes method
    Kubernetes {
        /// Mount path, without `auth/`
        mount: String,
        /// Role
        role: String,
        /// File with the token of the service account
        jwt: PathBuf,
    },
    /// The jwt method
    Jwt {
        /// Mount path, without `auth/`
        mount: String,
        /// Role; without one, the mount's default
        role: Option<String>,
        /// File with the JWT
        jwt: PathBuf,
    },
    /// The approle method
    AppRole {
        /// Mount path, without `auth/`
        mount: String,
        /// Role id
        role_id: Secret,
        /// Secret id
        secret_id: SecretId,
    },
    /// The cert method, with the client certificate of the settings
    Cert {
        /// Mount path, without `auth/`
        mount: String,
        /// Role; without one, every role is tried by the server
        role: Option<String>,
    },
    /// The userpass method
    Userpass {
        /// Mount path, without `auth/`
        mount: String,
        /// User name
        username: String,
        /// Password; a file's is used without the line break at its end
        password: Source,
    },
}

/// The secret id of an AppRole.
#[derive(Clone, Debug)]
pub enum SecretId {
    /// The role needs none
    None,
    /// As it is
    Plain(Source),
    /// Inside a response-wrapping token, which is unwrapped once, at the first login
    Wrapped(Source),
}

/// How to get a token.
pub(crate) enum Way {
    /// There is one.
    Token(Secret),
    /// By this request
    Login(Call),
}

/// How to get at a secret id inside a wrapping token.
pub(crate) struct WrappedSecretId {
    mount: String,
    /// Asks where the token was made
    pub(crate) look_up: Call,
    /// Takes the secret id out; works once
    pub(crate) unwrap: Call,
}

// === impl Auth ===

impl Auth {
    /// Whether a new token can be had when the one in use is refused.
    pub(crate) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Token(_))
    }

    /// Whether what it logs in with is used up by a login.
    pub(crate) fn is_single_use(&self) -> bool {
        matches!(
            self,
            Self::AppRole {
                secret_id: SecretId::Wrapped(_),
                ..
            }
        )
    }

    /// What a denial names: the role and the mount, or what kind of token it is.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Token(_) => "the given token".to_owned(),
            Self::TokenFile(path) => format!("the token in {}", path.display()),
            Self::Kubernetes { mount, role, .. } => format!("role {role} on auth/{mount}"),
            Self::AppRole { mount, .. } => format!("the AppRole on auth/{mount}"),
            Self::Userpass {
                mount, username, ..
            } => format!("user {username} on auth/{mount}"),
            Self::Jwt { mount, role, .. } | Self::Cert { mount, role } => match role {
                Some(role) => format!("role {role} on auth/{mount}"),
                None => format!("the default role on auth/{mount}"),
            },
        }
    }

    /// Whether the token comes from a login.
    pub(crate) fn logs_in(&self) -> bool {
        !matches!(self, Self::Token(_) | Self::TokenFile(_))
    }

    /// A call that stands for the login in messages, before it can be made.
    pub(crate) fn login_in_words(&self) -> Call {
        let path = match self {
            Self::Token(_) | Self::TokenFile(_) => "auth/token".to_owned(),
            Self::Kubernetes { mount, .. }
            | Self::Jwt { mount, .. }
            | Self::AppRole { mount, .. }
            | Self::Cert { mount, .. }
            | Self::Userpass { mount, .. } => format!("auth/{mount}/login"),
        };
        Call::post(Operation::Login, path, Secret::default())
    }

    /// How to get a token; `unwrapped` is the secret id that a wrapping token held.
    pub(crate) fn way(&self, unwrapped: Option<&Secret>) -> Result<Way, Failure> {
        let call = match self {
            Self::Token(token) => return Ok(Way::Token(token.clone())),
            Self::TokenFile(path) => return credential_in(path, "the token").map(Way::Token),
            Self::Kubernetes { mount, role, jwt } => {
                let jwt = credential_in(jwt, "the JWT")?;
                let request = kubernetes::requests::LoginWithKubernetesRequest {
                    mount: mount.clone(),
                    role: role.clone(),
                    jwt: text(&jwt),
                };
                login_call(&request, [jwt])
            }
            Self::Jwt { mount, role, jwt } => {
                let jwt = credential_in(jwt, "the JWT")?;
                let request = oidc::requests::JWTLoginRequest {
                    mount: mount.clone(),
                    jwt: text(&jwt),
                    role: role.clone(),
                };
                login_call(&request, [jwt])
            }
            Self::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let secret_id = secret_id.to_present(unwrapped)?;
                let request = approle::requests::LoginWithApproleRequest {
                    mount: mount.clone(),
                    role_id: text(role_id),
                    secret_id: text(&secret_id),
                };
                login_call(&request, [role_id.clone(), secret_id])
            }
            // The request type of vaultrs sends the role under a name that no server reads, so any role could be taken.
            Self::Cert { mount, role } => {
                let role = role.as_deref().map(|role| Value::String(role.into()));
                let body = role
                    .map(|role| ("name".to_owned(), role))
                    .into_iter()
                    .collect();
                let path = format!("auth/{mount}/login");
                Call::post(Operation::Login, path, Value::Object(body).to_json())
            }
            Self::Userpass {
                mount,
                username,
                password,
            } => {
                let password = password.password()?;
                let request = userpass::requests::LoginRequest {
                    mount: mount.clone(),
                    username: username.clone(),
                    password: text(&password),
                };
                login_call(&request, [password])
            }
        };
        Ok(Way::Login(call))
    }

    /// The requests that take the secret id out of its wrapping token, when there is one.
    pub(crate) fn wrapped_secret_id(&self) -> Result<Option<WrappedSecretId>, Failure> {
        let Self::AppRole {
            mount,
            secret_id: SecretId::Wrapped(source),
            ..
        } = self
        else {
            return Ok(None);
        };
        let token = source.credential("the wrapping token")?;
        // The token looks itself up: it need not be repeated in the body.
        let with_token = |call| Call {
            token: Some(token.clone()),
            ..call
        };
        let look_up = Call::post(
            Operation::LookUpWrapping,
            "sys/wrapping/lookup",
            Secret::default(),
        );
        let unwrap = sys::requests::UnwrapRequest { token: None };
        Ok(Some(WrappedSecretId {
            mount: mount.clone(),
            look_up: with_token(look_up),
            unwrap: with_token(Call::endpoint(Operation::Unwrap, &unwrap)),
        }))
    }
}

// === impl SecretId ===

impl SecretId {
    fn to_present(&self, unwrapped: Option<&Secret>) -> Result<Secret, Failure> {
        match (self, unwrapped) {
            (Self::Plain(source), _) => source.credential("the secret id"),
            (Self::Wrapped(_), Some(unwrapped)) => Ok(unwrapped.clone()),
            (Self::Wrapped(_), None) | (Self::None, _) => Ok(Secret::default()),
        }
    }
}

// === impl WrappedSecretId ===

impl WrappedSecretId {
    /// Whether the mount issues its secret ids at `path`.
    pub(crate) fn is_issued_at(&self, path: &str) -> bool {
        path.strip_prefix(&format!("auth/{}/role/", self.mount))
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(_role, rest)| matches!(rest, "secret-id" | "custom-secret-id"))
    }
}

fn login_call<const N: usize>(request: &impl Endpoint, confidential: [Secret; N]) -> Call {
    Call {
        confidential: confidential.into(),
        ..Call::endpoint(Operation::Login, request)
    }
}

/// vaultrs takes text. Credentials were checked to be printable; a password that is not UTF-8 cannot be put into JSON.
fn text(secret: &Secret) -> String {
    secret.expose_str().unwrap_or_default().to_owned()
}
