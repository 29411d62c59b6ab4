//! What a server can answer, as the user of a volume or a bundle reads it.

use std::sync::RwLock;

use envlatch_test_support::{Answer, Authority, Identity, Request as Received, ScriptedServer};
use envlatch_vault::{Secret, SettingError};
use serde_json::{Value, json};

use super::*;
use crate::shared::auth;
use crate::store::{Claim, grant};

const LOGIN: &str = "/v1/auth/kubernetes/login";

/// What came of one read at a store with these addresses, which is asked once.
async fn read(addresses: &[String], tls: Value) -> Problem {
    let store = json!({
        "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore", "metadata": {"name": "main", "uid": "u"},
        "spec": {
            "addresses": addresses, "tls": tls,
            "grants": [{"namespaces": ["*"], "roles": ["*"]}],
        },
    });
    let store = serde_json::from_value(store).unwrap();
    let mut access = grant(&Claim::default(), &store, "team").unwrap();
    access.settings.max_retries = Some(0);
    let server = match Servers::default().get(&access) {
        Ok(server) => server,
        Err(problem) => return problem,
    };
    let jwt = Arc::new(RwLock::new(Secret::from("a.b.c".to_owned())));
    let session = Session::new(server.client.clone(), auth(&access, &jwt));
    let ask = Ask {
        path: "secret/data/app".to_owned(),
        query: Vec::new(),
        arguments: None,
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let outcome = server.ask(&session, &ask, Urgency::FirstMount, deadline, "role app");
    outcome.await.unwrap_err()
}

/// A server that takes every login and answers everything else so.
fn answering(answer: Answer) -> ScriptedServer {
    ScriptedServer::http(move |request| match logged_in(request) {
        Some(login) => login,
        None => answer.clone(),
    })
}

fn logged_in(request: &Received) -> Option<Answer> {
    (request.path == LOGIN).then(|| Answer::json(200, r#"{"auth":{"client_token":"t"}}"#))
}

/// The problem has this reason and says this, who asked, and nothing that only a launcher could be told.
fn check(problem: &Problem, reason: &str, says: &str) {
    let Problem {
        reason: found,
        message,
        ..
    } = problem;
    assert_eq!(*found, reason, "{message}");
    assert!(message.contains(says), "{says:?} is not in {message}");
    assert!(message.contains("[role app]"), "{message}");
    assert!(!message.contains("VAULT_"), "{message}");
}

#[tokio::test]
async fn each_answer_has_its_reason_and_a_remedy_for_stores() {
    let elsewhere = "HTTP/1.1 307 Scripted\r\nlocation: https://vault-1.example/v1/x\r\ncontent-length: 0\r\n\r\n";
    for (answer, reason, says) in [
        (
            Answer::json(503, r#"{"errors":["Vault is sealed"]}"#),
            "VaultSealed",
            "unseal the server",
        ),
        (
            Answer::json(473, ""),
            "VaultStandby",
            "further addresses in the VaultStore's spec.addresses",
        ),
        (Answer::json(429, ""), "VaultRateLimited", "quota"),
        (Answer::json(500, ""), "VaultFailed", "see the server's log"),
        (
            Answer::json(403, r#"{"errors":["permission denied"]}"#),
            "VaultPermissionDenied",
            "check its policies",
        ),
        (Answer::json(404, ""), "PathNotFound", "check the path"),
        (
            Answer::json(400, r#"{"errors":["missing ttl"]}"#),
            "VaultRequestRejected",
            "missing ttl",
        ),
        (
            Answer::json(200, "<html>"),
            "VaultMalformedReply",
            "check that the VaultStore's spec.addresses leads to the server itself",
        ),
        (
            Answer::json(200, "[]"),
            "VaultMalformedReply",
            "not an object",
        ),
        (
            Answer::KeepAlive(elsewhere.into()),
            "VaultRedirected",
            "put the other host into the VaultStore's spec.addresses",
        ),
        (
            Answer::Close,
            "VaultUnreachable",
            "check the VaultStore's spec.addresses",
        ),
    ] {
        let server = answering(answer);
        check(&read(&[server.url()], json!({})).await, reason, says);
    }
}

#[tokio::test]
async fn a_login_without_a_token_is_a_malformed_reply() {
    for body in [r#"{"data":{}}"#, r#"{"auth":{}}"#, "", "{"] {
        let server = ScriptedServer::http(move |_| Answer::json(200, body));
        check(
            &read(&[server.url()], json!({})).await,
            "VaultMalformedReply",
            "log in at auth/kubernetes/login",
        );
    }
}

#[tokio::test]
async fn tls_that_fails_names_the_field_of_the_store() {
    let authority = Authority::new();
    let show = |identity: &Identity| {
        ScriptedServer::https(identity, |_| Answer::json(200, r#"{"data":{}}"#))
    };
    let trusting = |ca: &Authority| json!({"ca": ca.pem()});
    let good = show(&authority.issue(&["127.0.0.1"]));
    let problem = read(&[good.url()], trusting(&Authority::new())).await;
    check(&problem, "TLSUnknownCA", "set the VaultStore's spec.tls.ca");
    let other = show(&authority.issue(&["vault.example"]));
    let problem = read(&[other.url()], trusting(&authority)).await;
    check(&problem, "TLSWrongName", "or set its spec.tls.serverName");
    let expired = show(&authority.issue_expired(&["127.0.0.1"]));
    let problem = read(&[expired.url()], trusting(&authority)).await;
    check(&problem, "TLSExpired", "renew it");
    let silent = answering(Answer::Close);
    let address = silent.url().replace("http:", "https:");
    let problem = read(&[address], trusting(&authority)).await;
    check(&problem, "TLSFailed", "check for a proxy or firewall");
}

#[test]
fn a_setting_that_cannot_be_used_is_named_as_the_field() {
    let of = |name: &str| {
        unusable(&SettingError {
            name: name.to_owned(),
            text: "is wrong".to_owned(),
        })
    };
    assert_eq!(of("VAULT_CACERT_BYTES"), "spec.tls.ca is wrong");
    assert!(of("VAULT_CACERT").starts_with("spec.tls.ca is missing"));
    assert_eq!(of("VAULT_NAMESPACE"), "the server's namespace is wrong");
    assert_eq!(of("VAULT_ADDR"), "spec.addresses: is wrong");
}
