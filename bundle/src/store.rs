//! Who may have what from which server: a class claims, a VaultStore grants.
//!
//! A class resolves to a store by name, else by the exact origin of its address, else to the one that is marked default. From
//! then on the store decides: addresses, CA, TLS, mount, audience. What a class says about these is accepted when it is the same,
//! and refused with the name of the field and of the store otherwise, unless the administrator listed it.

mod origin;
#[cfg(test)]
mod tests;

use std::time::Duration;

use envlatch_api::{
    AuthMethod, DEFAULT_AUDIENCE, Logins, RequestLimit, VaultStore, VaultStoreSpec,
};
use envlatch_vault::{Address, Roots, SettingError, Settings, Terms};
use kube::ResourceExt;

use crate::Problem;
use crate::problem::Code;
use origin::same_origin;

/// How long one request to a server may take. Short, so that a server that came back is noticed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How remedies name what a store sets.
pub(crate) const TERMS: Terms = Terms {
    addresses: "the VaultStore's spec.addresses",
    redirect_hosts: "the VaultStore's spec.addresses",
    ca: "the VaultStore's spec.tls.ca",
    server_name: "its spec.tls.serverName",
    client_certificate: "let it take clients without one, who log in with their service account's token",
};

/// What a class says about the server and the identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Which store
    pub store: StoreChoice,
    /// The role to log in with
    pub role: String,
    /// A namespace of the server
    pub server_namespace: Option<String>,
    /// Where the auth method is mounted
    pub auth_mount: Option<String>,
    /// Whose tokens are presented
    pub audience: Option<String>,
    /// What else it wants, which is the store's to decide
    pub demands: Vec<Demand>,
}

/// How a class names its store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreChoice {
    /// Not at all
    #[default]
    Default,
    /// By its name
    Name(String),
    /// By the address of the server
    Address(String),
}

/// Something that a foreign class may say and a store decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    field: String,
    kind: DemandKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DemandKind {
    /// Trust these authorities
    Ca(String),
    /// Verify this name
    ServerName(String),
    /// Use a file of the plugin's
    File,
    /// Verify nothing
    SkipVerify,
}

/// What a claim gets: everything that a login and its requests need.
#[derive(Clone, Debug)]
pub struct Access {
    /// Name of the store
    pub store: String,
    /// Its uid and generation: whatever changes in it makes another identity
    pub store_version: (String, i64),
    /// The store as it was when it granted this
    pub spec: VaultStoreSpec,
    /// How the server is reached
    pub settings: Settings,
    /// The method at the mount
    pub method: AuthMethod,
    /// Where the method is mounted
    pub mount: String,
    /// The role
    pub role: String,
    /// The audiences of a token that may be presented, the preferred first
    pub audiences: Vec<String>,
    /// Whether pods of one service account share a login for reading key-value secrets
    pub shares_logins: bool,
    /// How much may be asked
    pub limit: RequestLimit,
    /// The paths that may be written to
    pub writes: Vec<String>,
}

// === impl Demand ===

impl Demand {
    pub(crate) fn ca(field: impl Into<String>, pem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            kind: DemandKind::Ca(pem.into()),
        }
    }

    pub(crate) fn server_name(field: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            kind: DemandKind::ServerName(name.into()),
        }
    }

    pub(crate) fn file(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            kind: DemandKind::File,
        }
    }

    pub(crate) fn skip_verify(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            kind: DemandKind::SkipVerify,
        }
    }

    /// Whether the store does what is demanded anyway.
    fn is_met_by(&self, store: &VaultStoreSpec) -> bool {
        match &self.kind {
            DemandKind::Ca(pem) => store
                .tls
                .ca
                .as_deref()
                .is_some_and(|ca| same_certificates(ca, pem)),
            DemandKind::ServerName(name) => match &store.tls.server_name {
                Some(server_name) => server_name == name,
                None => store
                    .addresses
                    .iter()
                    .all(|address| origin::host(address).as_ref() == Some(name)),
            },
            DemandKind::SkipVerify => store.tls.insecure_skip_verify,
            DemandKind::File => false,
        }
    }
}

/// The store that `claim` means.
///
/// # Errors
/// There is none, or several.
pub fn choose<'a>(claim: &Claim, stores: &'a [VaultStore]) -> Result<&'a VaultStore, Problem> {
    let (found, wanted): (Vec<_>, _) = match &claim.store {
        StoreChoice::Name(name) => {
            let found = stores
                .iter()
                .filter(|store| store.name_any() == *name)
                .collect();
            (found, format!("is named {name}"))
        }
        StoreChoice::Default => (
            stores.iter().filter(|store| store.spec.default).collect(),
            "is marked default".to_owned(),
        ),
        StoreChoice::Address(address) => {
            // Its text is not repeated when it is none: it may hold a password.
            let parsed: Address = address
                .parse()
                .map_err(|error| Problem::invalid(format!("the address is {error}")))?;
            let found = stores.iter().filter(|store| {
                store
                    .spec
                    .addresses
                    .iter()
                    .any(|own| same_origin(own, address))
            });
            (found.collect(), format!("has the address {parsed}"))
        }
    };
    match found.as_slice() {
        [store] => Ok(store),
        [] if matches!(claim.store, StoreChoice::Address(_)) => Err(Problem::not_granted(format!(
            "no VaultStore {wanted}; the administrator decides where tokens are sent, so make one or correct the address"
        ))),
        [] => Err(Problem::new(
            Code::NotFound,
            "StoreNotFound",
            format!(
                "no VaultStore {wanted}; name an existing one, or ask the administrator for it"
            ),
        )),
        several => {
            let names: Vec<String> = several.iter().map(|store| store.name_any()).collect();
            let text = format!(
                "more than one VaultStore {wanted} ({}); name one of them",
                names.join(", ")
            );
            Err(Problem::new(
                Code::FailedPrecondition,
                "StoreAmbiguous",
                text,
            ))
        }
    }
}

/// What `store` gives to `claim` for somebody in `namespace`.
///
/// # Errors
/// What it does not grant, by field.
pub fn grant(claim: &Claim, store: &VaultStore, namespace: &str) -> Result<Access, Problem> {
    let (name, spec) = (store.name_any(), &store.spec);
    check_grants(claim, &name, spec, namespace)?;
    for demand in &claim.demands {
        if !demand.is_met_by(spec) && !spec.allow.ignored_parameters.contains(&demand.field) {
            return Err(Problem::not_granted(format!(
                "{} differs from what VaultStore {name} says, and only the store decides it; remove it, or have it listed in the store's spec.allow.ignoredParameters",
                demand.field
            )));
        }
    }
    let (allow, auth) = (&spec.allow, &spec.auth);
    let refused = |field: &str, list: &str| {
        Problem::not_granted(format!(
            "{field} is not that of VaultStore {name}; remove it, or have it listed in the store's spec.allow.{list}"
        ))
    };
    let chosen =
        |given: &Option<String>, own: Option<&str>, further: &[String], field, list| match given
            .as_deref()
        {
            None => Ok(own.map(str::to_owned)),
            Some(given) if Some(given) == own || matches_any(further, given) => {
                Ok(Some(given.to_owned()))
            }
            Some(_) => Err(refused(field, list)),
        };
    let server_namespace = chosen(
        &claim.server_namespace,
        spec.server_namespace.as_deref(),
        &allow.server_namespaces,
        "the server namespace",
        "serverNamespaces",
    )?;
    let mount = chosen(
        &claim.auth_mount,
        Some(&auth.mount),
        &allow.auth_mounts,
        "the auth mount",
        "authMounts",
    )?;
    let audience = chosen(
        &claim.audience,
        Some(&auth.audience),
        &allow.audiences,
        "the audience",
        "audiences",
    )?;
    Ok(Access {
        settings: settings(spec, server_namespace).map_err(|text| {
            Problem::new(
                Code::FailedPrecondition,
                "StoreUnusable",
                format!("VaultStore {name}: {text}"),
            )
        })?,
        store_version: (
            store.uid().unwrap_or_default(),
            store.metadata.generation.unwrap_or_default(),
        ),
        store: name,
        method: auth.method,
        mount: mount.unwrap_or_default(),
        role: claim.role.clone(),
        audiences: audiences(audience, claim),
        shares_logins: match auth.logins {
            Some(logins) => logins == Logins::Shared,
            None => auth.method == AuthMethod::Kubernetes,
        },
        limit: spec.request_limit.clone(),
        writes: allow.writes.clone(),
        spec: spec.clone(),
    })
}

/// OpenBao's provider has a default of its own, which serves where the store says nothing else.
fn audiences(chosen: Option<String>, claim: &Claim) -> Vec<String> {
    let both = claim.audience.is_none() && chosen.as_deref() == Some(DEFAULT_AUDIENCE);
    chosen
        .into_iter()
        .chain(both.then(|| "openbao".to_owned()))
        .collect()
}

fn check_grants(
    claim: &Claim,
    name: &str,
    spec: &VaultStoreSpec,
    namespace: &str,
) -> Result<(), Problem> {
    let mut here = spec
        .grants
        .iter()
        .filter(|grant| matches_any(&grant.namespaces, namespace))
        .peekable();
    if here.peek().is_none() {
        return Err(Problem::not_granted(format!(
            "VaultStore {name} grants nothing to namespace {namespace}; have it listed in the store's spec.grants"
        )));
    }
    if here.any(|grant| matches_any(&grant.roles, &claim.role)) {
        return Ok(());
    }
    Err(Problem::not_granted(format!(
        "VaultStore {name} does not grant role {} to namespace {namespace}; use another role, or have it listed in the store's spec.grants",
        claim.role
    )))
}

/// How the server is reached.
pub(crate) fn settings(
    spec: &VaultStoreSpec,
    namespace: Option<String>,
) -> Result<Settings, String> {
    let addresses = spec.addresses.iter().enumerate().map(|(index, address)| {
        let parsed: Result<Address, _> = address.parse();
        parsed.map_err(|error| format!("spec.addresses[{index}] is {error}"))
    });
    let mut settings = Settings::new(addresses.collect::<Result<_, _>>()?);
    settings.namespace = namespace;
    settings.request_timeout = REQUEST_TIMEOUT;
    settings.tls.verify = !spec.tls.insecure_skip_verify;
    settings.tls.server_name.clone_from(&spec.tls.server_name);
    if let Some(ca) = &spec.tls.ca {
        settings.tls.roots = Roots::Bytes(ca.clone().into_bytes());
    }
    Ok(settings)
}

/// What is wrong with a setting that [`settings`] made, as the field that it comes from.
pub(crate) fn unusable(error: &SettingError) -> String {
    let SettingError { name, text } = error;
    match name.as_str() {
        "VAULT_CACERT_BYTES" => format!("spec.tls.ca {text}"),
        // No file is ever named, so it is about the system's own.
        "VAULT_CACERT" => "spec.tls.ca is missing, and this image and node bring no CA certificates; put in the authority that \
             signed the server's certificate"
            .to_owned(),
        "VAULT_NAMESPACE" => format!("the server's namespace {text}"),
        _ => format!("spec.addresses: {text}"),
    }
}

// === impl Access ===

impl Access {
    /// Whether `path` may be written to.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check_write(&self, entry: &str, path: &str) -> Result<(), Problem> {
        if matches_any(&self.writes, path) {
            return Ok(());
        }
        Err(Problem::not_granted(format!(
            "{entry}: VaultStore {} does not allow writing to {path}; have the path listed in the store's spec.allow.writes",
            self.store
        )))
    }
}

/// Which store it is, down to its latest change.
pub(crate) fn version(store: &VaultStore) -> (Option<String>, Option<i64>) {
    (store.uid(), store.metadata.generation)
}

/// Whether a pattern is `text`, or ends in `*` and begins it.
fn matches_any(patterns: &[String], text: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => pattern == text,
        })
}

/// Whether two PEM documents hold the same, whatever their line breaks.
fn same_certificates(one: &str, other: &str) -> bool {
    let letters = |pem: &str| {
        pem.chars()
            .filter(|letter| !letter.is_whitespace())
            .collect::<String>()
    };
    letters(one) == letters(other)
}
