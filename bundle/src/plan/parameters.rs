//! From a SecretProviderClass: `spec.parameters` as the providers `vault` and `openbao` define them.
//!
//! What they accept and ignore is refused here when it could mean something (an unknown parameter, both spellings of the mount)
//! and ignored when it cannot (two parameters that they stopped reading long ago). What says whom to trust is no longer the
//! tenant's: it becomes a demand that the store answers.

use std::collections::BTreeMap;

use envlatch_api::SecretProviderClassSpec;
use envlatch_reference::nearest;

use super::{Plan, objects};
use crate::Problem;
use crate::store::{Claim, Demand, StoreChoice};

/// Names that are the same with every provider's prefix.
const PREFIXED: [&str; 13] = [
    "RoleName",
    "Address",
    "Namespace",
    "KubernetesMountPath",
    "AuthMountPath",
    "SkipTLSVerify",
    "CACert",
    "CACertPath",
    "CADirectory",
    "TLSServerName",
    "TLSClientCertPath",
    "TLSClientKeyPath",
    "CAPem",
];

/// Names without a prefix.
const PLAIN: [&str; 4] = [
    "roleName",
    "audience",
    "objects",
    "kubernetesServiceAccountPath",
];

/// The parameters of a class, and which of them were looked at.
struct Parameters<'a> {
    given: &'a BTreeMap<String, String>,
    /// The prefixes of the provider, the preferred first
    prefixes: &'static [&'static str],
}

/// The plan of a SecretProviderClass.
///
/// # Errors
/// What is wrong with it, by parameter.
pub fn from_class(spec: &SecretProviderClassSpec) -> Result<Plan, Problem> {
    let provider = spec.provider.as_deref().unwrap_or_default();
    let prefixes: &[&str] = match provider {
        "vault" => &["vault"],
        "openbao" => &["bao", "openbao", "vault"],
        "" => {
            return Err(Problem::invalid(
                "spec.provider is missing; set it to vault or openbao",
            ));
        }
        _ => {
            return Err(Problem::invalid(
                "spec.provider is neither vault nor openbao; classes of other providers need the Secrets Store CSI Driver itself",
            ));
        }
    };
    let none = BTreeMap::new();
    let parameters = Parameters {
        given: spec.parameters.as_ref().unwrap_or(&none),
        prefixes,
    };
    parameters.refuse_unknown()?;
    let objects = parameters.given.get("objects").map_or("", String::as_str);
    Ok(Plan {
        claim: parameters.claim()?,
        refresh: None,
        default_mode: None,
        entries: objects::parse(objects)?,
        templates: Vec::new(),
    })
}

// === impl Parameters ===

impl<'a> Parameters<'a> {
    /// The parameter in the first of the provider's spellings, and how it is spelled.
    fn get(&self, name: &str) -> Option<(String, &'a str)> {
        self.prefixes.iter().find_map(|prefix| {
            let spelled = format!("{prefix}{name}");
            let value = self.given.get(&spelled)?.trim();
            (!value.is_empty()).then_some((spelled, value))
        })
    }

    fn plain(&self, name: &str) -> Option<&'a str> {
        self.given
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    fn refuse_unknown(&self) -> Result<(), Problem> {
        let known = self.known();
        let unknown = self.given.keys().find(|name| !known.contains(name));
        let Some(name) = unknown else { return Ok(()) };
        let hint = match nearest(name, known.iter().map(String::as_str)) {
            Some(similar) => format!("did you mean {similar}?"),
            None => "remove it".to_owned(),
        };
        Err(Problem::invalid(format!(
            "spec.parameters: {name} is no parameter of this provider; {hint}"
        )))
    }

    fn known(&self) -> Vec<String> {
        let prefixed = self
            .prefixes
            .iter()
            .flat_map(|prefix| PREFIXED.map(|name| format!("{prefix}{name}")));
        prefixed.chain(PLAIN.map(str::to_owned)).collect()
    }

    fn claim(&self) -> Result<Claim, Problem> {
        let role = self
            .plain("roleName")
            .or_else(|| Some(self.get("RoleName")?.1));
        let Some(role) = role else {
            return Err(Problem::invalid(
                "spec.parameters: roleName is missing; set it to the role to log in with",
            ));
        };
        Ok(Claim {
            store: self
                .get("Address")
                .map_or(StoreChoice::Default, |(_, address)| {
                    StoreChoice::Address(address.to_owned())
                }),
            role: role.to_owned(),
            server_namespace: self
                .get("Namespace")
                .map(|(_, namespace)| namespace.to_owned()),
            auth_mount: self.auth_mount()?,
            audience: self.plain("audience").map(str::to_owned),
            demands: self.demands()?,
        })
    }

    fn auth_mount(&self) -> Result<Option<String>, Problem> {
        match (self.get("KubernetesMountPath"), self.get("AuthMountPath")) {
            (Some((one, _)), Some((other, _))) => Err(Problem::invalid(format!(
                "spec.parameters: {one} and {other} are both set; remove one of them"
            ))),
            (Some((_, mount)), None) | (None, Some((_, mount))) => {
                Ok(Some(mount.trim_matches('/').to_owned()))
            }
            (None, None) => Ok(None),
        }
    }

    fn demands(&self) -> Result<Vec<Demand>, Problem> {
        let mut demands = Vec::new();
        if let Some((name, pem)) = self.get("CACert") {
            demands.push(Demand::ca(name, pem));
        }
        if let Some((name, server_name)) = self.get("TLSServerName") {
            demands.push(Demand::server_name(name, server_name));
        }
        for name in [
            "CACertPath",
            "CADirectory",
            "TLSClientCertPath",
            "TLSClientKeyPath",
        ] {
            demands.extend(self.get(name).map(|(name, _)| Demand::file(name)));
        }
        if let Some((name, text)) = self.get("SkipTLSVerify") {
            match text {
                "true" | "1" | "t" | "T" | "TRUE" | "True" => {
                    demands.push(Demand::skip_verify(name))
                }
                "false" | "0" | "f" | "F" | "FALSE" | "False" => {}
                _ => {
                    let text = format!("spec.parameters: {name} is neither \"true\" nor \"false\"");
                    return Err(Problem::invalid(text));
                }
            }
        }
        Ok(demands)
    }
}
