//! What the server is asked for, and what it answered: the seam between the launcher and its server client, which a
//! files-only build leaves out.

use envlatch_reference::{BulkPath, Reference, Scheme, Target};
use envlatch_secret::{Secret, Value};

use crate::problem::Exit;

/// Whose variables say where the server is. A manifest for secret-init may use a Vault and an OpenBao side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `VAULT_*`, then `BAO_*`
    Vault,
    /// `BAO_*`, then `VAULT_*`
    Bao,
}

/// One request; equal ones are sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) family: Family,
    pub(crate) what: What,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Read {
        path: String,
        version: Option<u32>,
    },
    Write {
        path: String,
        arguments: Value,
    },
    Decrypt(Secret),
    /// The launcher's own token
    Login,
}

/// What came back.
pub(crate) enum Answer {
    /// All keys of a path
    Keys { data: Value, version: Option<u64> },
    /// A token, or a decrypted text
    Text(Secret),
}

/// Why nothing came back.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) exit: Exit,
    /// One line with the remedy
    pub(crate) text: String,
    /// Whether the path or version definitely does not exist
    pub(crate) absent: bool,
}

/// Every request with its answer.
#[derive(Default)]
pub(crate) struct Answers(pub(crate) Vec<(Request, Result<Answer, Refusal>)>);

// === impl Request ===

impl Request {
    /// Whether it creates something on the server, such as database credentials or a certificate.
    #[cfg(feature = "vault")]
    pub(crate) fn mints(&self) -> bool {
        match &self.what {
            What::Write { .. } => true,
            What::Read { path, .. } => envlatch_vault::may_mint(path),
            What::Login | What::Decrypt(_) => false,
        }
    }

    /// Whether its answer is the same each time unless somebody changed it.
    #[cfg(feature = "stay")]
    pub(crate) fn is_steady(&self) -> bool {
        #[cfg(feature = "vault")]
        let mints = self.mints();
        #[cfg(not(feature = "vault"))]
        let mints = false;
        !mints && self.what != What::Login
    }

    /// What `reference` needs from a server; a file needs nothing.
    pub(crate) fn of(reference: &Reference) -> Option<Self> {
        let family = if reference.scheme == Scheme::Bao {
            Family::Bao
        } else {
            Family::Vault
        };
        let what = match &reference.target {
            Target::File { .. } => return None,
            Target::Login => What::Login,
            Target::Transit(ciphertext) => What::Decrypt(ciphertext.clone()),
            Target::Read { path, version, .. } => What::Read {
                path: path.clone(),
                version: *version,
            },
            Target::Write {
                path, arguments, ..
            } => What::Write {
                path: path.clone(),
                arguments: arguments.clone(),
            },
        };
        Some(Self { family, what })
    }
}

impl From<&BulkPath> for Request {
    fn from(bulk: &BulkPath) -> Self {
        Self {
            family: Family::Vault,
            what: What::Read {
                path: bulk.path.clone(),
                version: bulk.version,
            },
        }
    }
}

// === impl Answers ===

impl Answers {
    pub(crate) fn to(&self, request: &Request) -> Option<&Result<Answer, Refusal>> {
        self.0
            .iter()
            .find(|(asked, _)| asked == request)
            .map(|(_, answer)| answer)
    }
}
