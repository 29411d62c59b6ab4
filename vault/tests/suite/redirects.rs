//! Where a token follows a redirect, and where not.

use envlatch_test_support::{Answer, Request, ScriptedServer};
use envlatch_vault::{Class, Settings, Value};

use crate::bed::{TOKEN, raw, secret, session_with, settings, soon};

/// A server that sends everything on to `target`.
fn redirecting(status: u16, target: String) -> ScriptedServer {
    ScriptedServer::http(move |request: &Request| {
        let location = format!(
            "location: {target}{}\r\ncontent-length: 0\r\n",
            request.path
        );
        raw(status, &location, "")
    })
}

#[tokio::test]
async fn listed_servers_are_followed_with_token_and_body() {
    let active = ScriptedServer::http(|_| secret());
    let standby = redirecting(307, active.url());
    let listed = settings(&[&standby.url(), &active.url()]);
    let by_host = Settings {
        redirect_hosts: vec!["127.0.0.1".to_owned()],
        ..settings(&[&standby.url()])
    };
    for settings in [listed, by_host] {
        let session = session_with(settings);
        let arguments = Value::parse(b"{\"a\":\"b\"}").unwrap();
        session.write("kv/app", &arguments, soon()).await.unwrap();
        let request = active.requests().pop().unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/v1/kv/app")
        );
        assert_eq!(request.body, b"{\"a\":\"b\"}");
        assert_eq!(request.header("x-vault-token"), Some(TOKEN));
    }
}

#[tokio::test]
async fn strangers_get_nothing() {
    let stranger = ScriptedServer::http(|_| secret());
    let standby = redirecting(307, stranger.url());
    let elsewhere = Settings {
        redirect_hosts: vec!["vault.internal".to_owned(), "127.0.0.1:1".to_owned()],
        ..settings(&[&standby.url()])
    };
    let disabled = Settings {
        follow_redirects: false,
        ..settings(&[&standby.url(), &stranger.url()])
    };
    for (settings, shown) in [
        (elsewhere, "no listed address"),
        (disabled, "redirects are disabled"),
    ] {
        let mut settings = settings;
        settings.addresses.truncate(1);
        let error = session_with(settings)
            .read("kv/app", None, soon())
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Redirected);
        let text = error.to_string();
        for part in [shown, &standby.url(), &stranger.url()] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(stranger.requests().is_empty());
}

#[tokio::test]
async fn only_307_keeps_a_write_what_it_is() {
    for status in [301, 302, 308] {
        let active = ScriptedServer::http(|_| secret());
        let standby = redirecting(status, active.url());
        let by_host = Settings {
            redirect_hosts: vec!["127.0.0.1".to_owned()],
            ..settings(&[&standby.url()])
        };
        let session = session_with(by_host);
        session.read("kv/app", None, soon()).await.unwrap();
        let error = session
            .write("kv/app", &Value::Null, soon())
            .await
            .unwrap_err();
        assert_eq!(
            (error.class(), error.ambiguous()),
            (Class::Redirected, false),
            "{status}"
        );
        assert_eq!(active.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn circles_end() {
    let standby = ScriptedServer::http(|request| {
        raw(
            307,
            &format!("location: {}\r\ncontent-length: 0\r\n", request.path),
            "",
        )
    });
    let error = session_with(settings(&[&standby.url()]))
        .read("kv/app", None, soon())
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Redirected, "{error}");
    assert_eq!(standby.requests().len(), 4);
}

#[tokio::test]
async fn a_standby_without_an_active_server_is_waited_for() {
    let server = ScriptedServer::http(Answer::in_turn(vec![
        raw(307, "content-length: 0\r\n", ""),
        secret(),
    ]));
    session_with(settings(&[&server.url()]))
        .read("kv/app", None, soon())
        .await
        .unwrap();
    assert_eq!(server.requests().len(), 2);
}
