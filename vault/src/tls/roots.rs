//! The certificate authorities: those that were named, or the system's.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::load_certs_from_paths;

use super::file_error;
use crate::settings::{Roots, SettingError};

/// Where distributions keep all CA certificates in one file, the commonest first (the list of Go's crypto/x509).
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where they keep them one by one.
const DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

const NO_ROOTS: &str =
    "no CA certificates found in the system's usual places; set VAULT_CACERT or VAULT_CACERT_BYTES";

pub(super) fn load(roots: &Roots) -> Result<RootCertStore, SettingError> {
    match roots {
        Roots::Bytes(pem) => {
            let certificates = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_pem| SettingError::new("VAULT_CACERT_BYTES", "not a PEM document"))?;
            store(certificates).ok_or_else(|| {
                SettingError::new("VAULT_CACERT_BYTES", "holds no usable certificate (PEM)")
            })
        }
        Roots::File(path) => named("VAULT_CACERT", Some(path), &[]),
        Roots::Directory(path) => named("VAULT_CAPATH", None, std::slice::from_ref(path)),
        Roots::Named { file, directories } => {
            let name = if file.is_some() {
                "SSL_CERT_FILE"
            } else {
                "SSL_CERT_DIR"
            };
            named(name, file.as_deref(), directories)
        }
        Roots::System => system(&BUNDLES, &DIRECTORIES),
    }
}

/// What was named must be there, be readable and hold a certificate.
fn named(
    name: &str,
    file: Option<&Path>,
    directories: &[PathBuf],
) -> Result<RootCertStore, SettingError> {
    let paths = file.map(|file| (Some(file), None)).into_iter();
    let paths = paths.chain(
        directories
            .iter()
            .map(|directory| (None, Some(directory.as_path()))),
    );
    let mut certificates = Vec::new();
    for (file, directory) in paths {
        let loaded = load_certs_from_paths(file, directory);
        if let Some(path) = file.or(directory)
            && let Some(cause) = loaded.errors.first()
            && loaded.certs.is_empty()
        {
            return Err(file_error(name, path, &cause_of(cause)));
        }
        certificates.extend(loaded.certs);
    }
    let place = file.or(directories.first().map(PathBuf::as_path));
    store(certificates).ok_or_else(|| {
        let place = place
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        SettingError::new(name, format!("{place} holds no usable certificate (PEM)"))
    })
}

/// The first bundle that holds something, else everything in the directories.
fn system(bundles: &[&str], directories: &[&str]) -> Result<RootCertStore, SettingError> {
    let bundles = bundles.iter().map(|path| (Some(Path::new(path)), None));
    let directories = directories.iter().map(|path| (None, Some(Path::new(path))));
    bundles
        .chain(directories)
        .filter(|(file, directory)| file.or(*directory).is_some_and(Path::exists))
        .find_map(|(file, directory)| store(load_certs_from_paths(file, directory).certs))
        .ok_or_else(|| SettingError::new("VAULT_CACERT", NO_ROOTS))
}

/// Certificates that cannot serve as a root are skipped, as bundles of distributions have some; `None` when none is left.
fn store(certificates: Vec<CertificateDer<'static>>) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    (!store.is_empty()).then_some(store)
}

/// The text of a loading error without the path, which the setting's error names itself.
fn cause_of(error: &rustls_native_certs::Error) -> String {
    match &error.kind {
        rustls_native_certs::ErrorKind::Io { inner, .. } => inner.to_string(),
        _ => "not a PEM document".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_holds_something_counts() {
        let key = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (empty, full) = (path("empty.pem"), path("full.pem"));
        std::fs::write(&empty, "# nothing").unwrap();
        std::fs::write(&full, key.cert.pem()).unwrap();
        let place = directory.path().to_str().unwrap();
        for (bundles, directories, found) in [
            (vec!["/nowhere", &empty, &full], vec![], true),
            (vec![empty.as_str()], vec!["/nowhere", place], true),
            (vec![empty.as_str()], vec!["/nowhere"], false),
        ] {
            let outcome = system(&bundles, &directories);
            assert_eq!(outcome.is_ok(), found, "{bundles:?} {directories:?}");
            if let Err(problem) = outcome {
                assert!(
                    problem.to_string().contains("no CA certificates found"),
                    "{problem}"
                );
            }
        }
    }
}
