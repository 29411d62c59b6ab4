//! Logins: one however many ask, a second one after a denial, and what stays secret.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envlatch_test_support::{Answer, Request, ScriptedServer, assert_no_canary};
use envlatch_vault::{Auth, Class, Client, SecretId, Session, Source, Value};
use tokio::join;

use crate::bed::{SOON, approle, denied, logged_in, paths, secret, settings, soon};

const LOGIN: &str = "/v1/auth/approle/login";

fn session_as(auth: Auth, server: &ScriptedServer) -> Session {
    Session::new(Client::new(settings(&[&server.url()])).unwrap(), auth)
}

/// A server that gives out `token-1`, `token-2` and so on, and answers the rest by `script`.
fn with_logins(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> ScriptedServer {
    let logins = AtomicUsize::new(0);
    ScriptedServer::http(move |request| {
        if request.path.contains("/login") {
            let number = 1 + logins.fetch_add(1, Ordering::SeqCst);
            return logged_in(&format!("token-{number}"));
        }
        script(request)
    })
}

fn logins(server: &ScriptedServer) -> usize {
    paths(server)
        .iter()
        .filter(|path| path.contains("/login"))
        .count()
}

/// Eight reads at once.
async fn eight(session: &Session) -> [Result<envlatch_vault::Reply, envlatch_vault::Error>; 8] {
    let read = |path: &'static str| session.read(path, None, soon());
    let (a, b, c, d, e, f, g, h) = join!(
        read("kv/1"),
        read("kv/2"),
        read("kv/3"),
        read("kv/4"),
        read("kv/5"),
        read("kv/6"),
        read("kv/7"),
        read("kv/8")
    );
    [a, b, c, d, e, f, g, h]
}

#[test]
fn a_service_may_run_every_operation_on_any_thread() {
    fn on_any_thread<T: Send>(_: T) {}
    let session = crate::bed::session(&["http://127.0.0.1:1"]);
    on_any_thread(session.read("kv/app", None, soon()));
    on_any_thread(session.write("kv/app", &Value::Null, soon()));
    on_any_thread(session.token(soon()));
    on_any_thread(session.decrypt("transit", "key", &[], 1, soon()));
    on_any_thread(session.revoke(Duration::ZERO));
}

#[tokio::test]
async fn reads_that_start_together_share_one_login() {
    let server = with_logins(|_| secret());
    let session = session_as(approle(), &server);
    assert!(!session.owns_token());
    assert!(eight(&session).await.iter().all(Result::is_ok));
    assert_eq!(logins(&server), 1);
    assert!(session.owns_token());
    assert_eq!(session.token(soon()).await.unwrap(), "token-1".into());
}

#[tokio::test]
async fn reads_that_start_together_share_a_failed_login() {
    let server =
        ScriptedServer::http(|_| Answer::json(400, r#"{"errors":["invalid role or secret ID"]}"#));
    let session = session_as(approle(), &server);
    let errors = eight(&session).await.map(Result::unwrap_err);
    assert_eq!(paths(&server), [LOGIN]);
    for error in &errors {
        assert_eq!(error.class(), Class::Denied);
    }
    let shown = errors[0].to_string();
    assert!(
        shown.contains("as the AppRole on auth/approle: ")
            && shown.contains("invalid role or secret ID"),
        "{shown}"
    );
    // A later one tries anew.
    assert!(session.read("kv/app", None, soon()).await.is_err());
    assert_eq!(paths(&server).len(), 2);
}

#[tokio::test]
async fn a_denial_leads_to_exactly_one_login() {
    let server = with_logins(|request| match request.header("x-vault-token") {
        Some("token-2") => secret(),
        _ => denied(),
    });
    let session = session_as(approle(), &server);
    session.read("kv/data/app", None, soon()).await.unwrap();
    assert_eq!(
        paths(&server),
        [LOGIN, "/v1/kv/data/app", LOGIN, "/v1/kv/data/app"]
    );

    let server = with_logins(|_| denied());
    let session = session_as(approle(), &server);
    let error = session.read("kv/data/app", None, soon()).await.unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    assert_eq!(logins(&server), 2);
    session
        .read("kv/data/other", None, soon())
        .await
        .unwrap_err();
    assert_eq!(
        logins(&server),
        2,
        "a new token that is denied is not replaced at once"
    );
}

#[tokio::test]
async fn denials_that_come_together_share_one_login() {
    let server = with_logins(|request| match request.header("x-vault-token") {
        Some("token-2") => secret(),
        _ => denied(),
    });
    assert!(
        eight(&session_as(approle(), &server))
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(logins(&server), 2);
}

#[tokio::test]
async fn a_token_file_is_read_again_when_it_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "old\n").unwrap();
    let server = ScriptedServer::http(|request| match request.header("x-vault-token") {
        Some("new") => secret(),
        _ => denied(),
    });
    let session = session_as(Auth::TokenFile(file.clone()), &server);
    let error = session.read("kv/data/app", None, soon()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("as the token in {}", file.display())),
        "{error}"
    );
    assert_eq!(
        server.requests().len(),
        1,
        "the same token is not tried again"
    );
    std::fs::write(&file, " new\r\n").unwrap();
    session.read("kv/data/app", None, soon()).await.unwrap();
    assert!(!session.owns_token());
}

#[tokio::test]
async fn credential_files_that_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let server = ScriptedServer::http(|_| secret());
    for (content, text) in [
        (None, "cannot read the JWT from"),
        (Some("\n"), "is empty or with"),
        (Some("a\0b"), "is empty or with"),
        (Some("canary-5 two"), "is empty or with"),
    ] {
        let file = directory.path().join("jwt");
        let _absent = std::fs::remove_file(&file);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let auth = Auth::Kubernetes {
            mount: "kubernetes".to_owned(),
            role: "app".to_owned(),
            jwt: Source::File(file.clone()),
        };
        let error = session_as(auth, &server)
            .read("kv/app", None, soon())
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Setting);
        let shown = error.to_string();
        assert!(
            shown.contains(text) && shown.contains(&file.display().to_string()),
            "{shown}"
        );
        assert_no_canary(&[("text", &shown)], &["canary-5"]);
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn login_requests_as_the_servers_read_them() {
    let directory = tempfile::tempdir().unwrap();
    let jwt = directory.path().join("jwt");
    std::fs::write(&jwt, "a.b.c\n").unwrap();
    let app = || "app".to_owned();
    let kubernetes = Auth::Kubernetes {
        mount: "k8s/east".to_owned(),
        role: app(),
        jwt: Source::File(jwt.clone()),
    };
    let token = Auth::Jwt {
        mount: "jwt".to_owned(),
        role: Some(app()),
        jwt: Source::File(jwt),
    };
    let cert = Auth::Cert {
        mount: "cert".to_owned(),
        role: Some(app()),
    };
    let userpass = Auth::Userpass {
        mount: "userpass".to_owned(),
        username: app(),
        password: Source::Value("pass word".into()),
    };
    for (auth, path, body) in [
        (
            kubernetes,
            "/v1/auth/k8s/east/login",
            r#"{"role":"app","jwt":"a.b.c"}"#,
        ),
        (
            token,
            "/v1/auth/jwt/login",
            r#"{"jwt":"a.b.c","role":"app"}"#,
        ),
        (
            approle(),
            LOGIN,
            r#"{"role_id":"role-id-canary-2","secret_id":"secret-id-canary-3"}"#,
        ),
        (cert, "/v1/auth/cert/login", r#"{"name":"app"}"#),
        (
            userpass,
            "/v1/auth/userpass/login/app",
            r#"{"password":"pass word"}"#,
        ),
    ] {
        let server = with_logins(|_| secret());
        session_as(auth, &server).token(soon()).await.unwrap();
        let request = server.requests().remove(0);
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", path)
        );
        assert_eq!(String::from_utf8(request.body.clone()).unwrap(), body);
        assert_eq!(request.header("x-vault-token"), None);
    }
}

#[tokio::test]
async fn a_login_without_a_token_in_its_reply() {
    for body in [
        "{}",
        r#"{"auth":null}"#,
        r#"{"auth":{"client_token":""}}"#,
        "",
    ] {
        let server = ScriptedServer::http(move |_| Answer::json(200, body));
        let error = session_as(approle(), &server)
            .token(soon())
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Malformed, "{body}");
        assert!(error.to_string().contains("holds no token"), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_no_panic() {
    let server = ScriptedServer::http(|_| logged_in("a\\nb"));
    let error = session_as(approle(), &server)
        .read("kv/app", None, soon())
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Setting, "{error}");
}

#[tokio::test]
async fn a_wrapped_secret_id_is_unwrapped_once_and_only_from_its_own_mount() {
    let wrapped = || Auth::AppRole {
        mount: "approle".to_owned(),
        role_id: "role".into(),
        secret_id: SecretId::Wrapped(Source::Value("wrapping-canary-6".into())),
    };
    for (created_at, accepted) in [
        ("auth/approle/role/app/secret-id", true),
        ("auth/approle/role/app/custom-secret-id", true),
        ("auth/other/role/app/secret-id", false),
        ("sys/wrapping/wrap", false),
        ("auth/approle/role/app/secret-id/../x", false),
    ] {
        let server = with_logins(move |request| match request.path.as_str() {
            "/v1/sys/wrapping/lookup" => Answer::json(
                200,
                &format!(r#"{{"data":{{"creation_path":"{created_at}"}}}}"#),
            ),
            "/v1/sys/wrapping/unwrap" => Answer::json(200, r#"{"data":{"secret_id":"inner"}}"#),
            _ => denied(),
        });
        let session = session_as(wrapped(), &server);
        let outcome = session.read("kv/data/app", None, soon()).await;
        let error = outcome.unwrap_err();
        assert_no_canary(&[("text", error.to_string())], &["wrapping-canary-6"]);
        let unwrapped = paths(&server)
            .iter()
            .filter(|path| path.ends_with("unwrap"))
            .count();
        assert_eq!(
            (unwrapped, logins(&server)),
            if accepted { (1, 2) } else { (0, 0) },
            "{created_at}"
        );
    }
}

#[tokio::test]
async fn a_revoked_token_is_not_used_again() {
    let server = with_logins(|request| match request.path.as_str() {
        "/v1/auth/token/revoke-self" => Answer::json(204, ""),
        _ => secret(),
    });
    let session = session_as(approle(), &server);
    assert!(session.revoke(SOON).await);
    assert!(server.requests().is_empty(), "nothing to revoke");
    session.read("kv/app", None, soon()).await.unwrap();
    assert!(session.revoke(SOON).await);
    assert!(!session.owns_token());
    session.read("kv/app", None, soon()).await.unwrap();
    let tokens: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.header("x-vault-token").map(str::to_owned))
        .collect();
    let token = |text: &str| Some(text.to_owned());
    assert_eq!(
        tokens,
        [
            None,
            token("token-1"),
            token("token-1"),
            None,
            token("token-2")
        ]
    );
}

#[tokio::test]
async fn a_token_that_was_replaced_is_revoked_as_well() {
    let server =
        with_logins(
            |request| match (request.path.as_str(), request.header("x-vault-token")) {
                ("/v1/auth/token/revoke-self", _) => Answer::json(204, ""),
                (_, Some("token-2")) => secret(),
                _ => denied(),
            },
        );
    let session = session_as(approle(), &server);
    session.read("kv/data/app", None, soon()).await.unwrap();
    assert!(session.revoke(SOON).await);
    assert_eq!(
        paths(&server)
            .iter()
            .filter(|path| path.ends_with("revoke-self"))
            .count(),
        2
    );
}

#[tokio::test]
async fn replies_hold_what_engines_say_about_them() {
    let server = ScriptedServer::http(|request| {
        Answer::json(
            200,
            match request.path.as_str() {
                "/v1/kv/data/app" => {
                    r#"{"data":{"data":{"k":1.50},"metadata":{"created_time":"t","version":7}},"warnings":["w"]}"#
                }
                "/v1/db/creds/app" => {
                    r#"{"lease_id":"db/creds/app/x","lease_duration":60,"renewable":true,"data":{"username":"u"}}"#
                }
                "/v1/pki/issue/app" => r#"{"data":{"certificate":"c","expiration":1800000000}}"#,
                _ => r#"{"auth":{"client_token":"t"},"data":null}"#,
            },
        )
    });
    let session = crate::bed::session(&[&server.url()]);
    let kv = session.read("kv/data/app", None, soon()).await.unwrap();
    assert_eq!(
        (kv.version, kv.warnings.as_slice()),
        (Some(7), &["w".to_owned()][..])
    );
    assert_eq!(kv.data.to_json(), r#"{"k":1.50}"#.into());
    let lease = session
        .read("db/creds/app", None, soon())
        .await
        .unwrap()
        .lease
        .unwrap();
    assert_eq!(
        (lease.id.as_str(), lease.duration, lease.renewable),
        ("db/creds/app/x", Duration::from_secs(60), true)
    );
    let none = Value::Object(Vec::new());
    let issued = session.write("pki/issue/app", &none, soon()).await.unwrap();
    assert_eq!(issued.expiration, Some(1_800_000_000));
    let token = session
        .write("auth/token/create", &none, soon())
        .await
        .unwrap();
    assert!(token.data.get("client_token").is_some());
}

#[tokio::test]
async fn ciphertexts_are_decrypted_in_pages() {
    let server = ScriptedServer::http(|request| {
        let count = String::from_utf8_lossy(&request.body)
            .matches("ciphertext")
            .count();
        let results = vec![r#"{"plaintext":"AP8="}"#; count].join(",");
        Answer::json(
            200,
            &format!(r#"{{"data":{{"batch_results":[{results}]}}}}"#),
        )
    });
    let session = crate::bed::session(&[&server.url()]);
    let ciphertexts = vec!["vault:v1:x".into(); 5];
    let plaintexts = session
        .decrypt("transit", "key", &ciphertexts, 2, soon())
        .await
        .unwrap();
    assert_eq!(
        plaintexts,
        vec![envlatch_vault::Secret::new(vec![0, 255]); 5]
    );
    assert_eq!(paths(&server), ["/v1/transit/decrypt/key"; 3]);
    assert!(
        session
            .decrypt("transit", "key", &ciphertexts, 0, soon())
            .await
            .is_ok(),
        "a page of none is a page of one"
    );

    for body in [
        "{}",
        r#"{"data":{"batch_results":[]}}"#,
        r#"{"data":{"batch_results":[{"plaintext":"%"}]}}"#,
        r#"{"data":{"batch_results":[{"error":"e"}]}}"#,
    ] {
        let server = ScriptedServer::http(move |_| Answer::json(200, body));
        let session = crate::bed::session(&[&server.url()]);
        assert!(
            session
                .decrypt("transit", "key", &ciphertexts[..1], 9, soon())
                .await
                .is_err(),
            "{body}"
        );
    }
}
