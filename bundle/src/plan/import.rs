//! From Deckhouse's SecretsStoreImport.

use envlatch_api::{Encoding, SecretsStoreImportSpec};
use envlatch_reference::Selector;

use super::{Ask, Entry, Plan, Take, path};
use crate::Problem;
use crate::store::{Claim, Demand, StoreChoice};

/// The plan of a SecretsStoreImport.
///
/// # Errors
/// What is wrong with it, by field.
pub fn from_import(spec: &SecretsStoreImportSpec) -> Result<Plan, Problem> {
    if spec.files.is_empty() {
        return Err(Problem::invalid(
            "spec.files is empty; name at least one file",
        ));
    }
    let entries = spec.files.iter().map(|file| {
        let (path, query) = path::parse(
            &format!("file {}: source.path", file.name),
            &file.source.path,
        )?;
        Ok(Entry {
            name: file.name.clone(),
            ask: Ask {
                path,
                query,
                arguments: None,
            },
            take: Take::Key(Selector::of_key(&file.source.key)),
            encoding: if file.decode_base64 {
                Encoding::Base64
            } else {
                Encoding::Utf8
            },
            mode: None,
            optional: false,
        })
    });
    let skip_verify = spec.skip_tls_verify.unwrap_or_default();
    let demands = [
        spec.ca_cert.clone().map(|pem| Demand::ca("caCert", pem)),
        skip_verify.then(|| Demand::skip_verify("skipTLSVerify")),
    ];
    Ok(Plan {
        claim: Claim {
            store: spec
                .address
                .clone()
                .map_or(StoreChoice::Default, StoreChoice::Address),
            role: spec.role.clone(),
            server_namespace: spec.namespace.clone(),
            auth_mount: spec.auth_path.clone(),
            // Empty is unset; to kubelet it would be the audience of the API server.
            audience: spec
                .audience
                .clone()
                .filter(|audience| !audience.is_empty()),
            demands: demands.into_iter().flatten().collect(),
        },
        refresh: None,
        default_mode: None,
        entries: entries.collect::<Result<_, Problem>>()?,
        templates: Vec::new(),
    })
}
