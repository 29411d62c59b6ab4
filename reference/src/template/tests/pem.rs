//! PEM and chains of real certificates.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::*;

/// Leaf, intermediate, root and the leaf's key, as PEM.
fn issued() -> [String; 4] {
    let params = |name: &str, ca: bool| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    };
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(params("root", true), key()).unwrap();
    let between = CertifiedIssuer::signed_by(params("between", true), key(), &root).unwrap();
    let own = key();
    let leaf = params("leaf", false).signed_by(&own, &between).unwrap();
    [leaf.pem(), between.pem(), root.pem(), own.serialize_pem()]
        .map(|pem| pem.replace("\r\n", "\n"))
}

fn applied(text: &str, pem: &str) -> Result<String, TemplateError> {
    let secret = Value::Object(vec![("pem".to_owned(), Value::String(pem.into()))]);
    let output = Template::parse(text).unwrap().render(&secret)?;
    Ok(output.expose_str().unwrap().to_owned())
}

#[test]
fn a_bundle_is_taken_apart() {
    let [leaf, between, root, key] = issued();
    let bundle = format!("{key}{leaf}some words\n{between}");
    assert_eq!(
        applied("${filterPEM \"PRIVATE KEY\" .pem}", &bundle),
        Ok(key)
    );
    assert_eq!(
        applied("${.pem | filterPEM \"CERTIFICATE\"}", &bundle),
        Ok(format!("{leaf}{between}"))
    );
    // In whatever order they came.
    for pem in [
        [&leaf, &between, &root],
        [&root, &between, &leaf],
        [&between, &leaf, &root],
    ] {
        let pem = pem.map(String::as_str).concat();
        for (part, wanted) in [("leaf", &leaf), ("intermediate", &between), ("root", &root)] {
            let text = format!("${{filterCertChain \"{part}\" .pem}}");
            assert_eq!(applied(&text, &pem).as_ref(), Ok(wanted), "{part}");
        }
    }
    let without_root = format!("{between}{leaf}");
    assert_eq!(
        applied("${filterCertChain \"root\" .pem}", &without_root),
        Ok(String::new())
    );
    assert_eq!(applied("${filterCertChain \"leaf\" .pem}", &root), Ok(root));
}

#[test]
fn what_is_no_chain_is_an_error() {
    let [leaf, between, root, _] = issued();
    let [other, ..] = issued();
    let many = leaf.repeat(65);
    for (pem, expected) in [
        (format!("{leaf}{root}"), "form one chain"),
        (format!("{leaf}{between}{other}{other}"), "form one chain"),
        (many, "at most 64 certificates"),
        (leaf.replace("MII", "AAA"), "certificates as PEM"),
        (leaf.replace('M', "?"), "certificates as PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".to_owned(),
            "certificates as PEM",
        ),
    ] {
        let error = applied("${filterCertChain \"leaf\" .pem}", &pem).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
