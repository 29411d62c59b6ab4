//! Answers that no real server gives, and what the launcher makes of them. Scripted, hermetic.
#![cfg(feature = "vault")]

use std::time::Duration;

use envlatch_test_support::{
    Answer, Finished, Program, Request, ScriptedServer, eventually, launcher_at, test_child, within,
};
use nix::sys::signal::Signal;

/// Far more than anything here takes, also on a busy machine, and less than the launcher tries by itself.
const SOON: Duration = Duration::from_secs(20);

const SECRET: &str = r#"{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":{"k":"v"},
    "metadata":{"version":1,"created_time":"2026-01-01T00:00:00Z","deletion_time":"","destroyed":false}}}"#;

fn launcher(server: &ScriptedServer) -> Program {
    launcher_at(env!("CARGO_BIN_EXE_envlatch"))
        .args(["run", "--timeout", "60s", "--"])
        .arg(test_child())
        .arg("report")
        .env("VAULT_ADDR", server.url())
}

fn reading(server: &ScriptedServer) -> Program {
    launcher(server)
        .env("VAULT_TOKEN", "hvs.given")
        .env("A", "vault:secret/data/app#k")
}

fn raw(head: &str, body: &[u8]) -> Answer {
    Answer::Raw([format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat())
}

#[test]
fn f07_answers_that_are_none() {
    for (what, answer, code, text) in [
        (
            "truncated",
            raw("200 OK\r\ncontent-length: 1000", b"{\"data\""),
            65,
            "cut off",
        ),
        (
            "no JSON",
            raw("200 OK\r\ncontent-length: 6", b"<html>"),
            65,
            "JSON",
        ),
        (
            "empty",
            raw("200 OK\r\ncontent-length: 0", b""),
            65,
            "empty",
        ),
        ("no content", raw("204 No Content", b""), 65, "empty"),
        (
            "compressed",
            raw(
                "200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2",
                b"\x1f\x8b",
            ),
            65,
            "compressed",
        ),
        (
            "a key twice",
            Answer::json(200, r#"{"data":{"k":1,"k":2}}"#),
            65,
            "twice",
        ),
        ("no answer", Answer::Close, 69, "A: "),
    ] {
        let server = ScriptedServer::http(move |_| answer.clone());
        let refused = reading(&server).env("VAULT_MAX_RETRIES", "1").run();
        assert_eq!(
            refused.code,
            Some(code),
            "{what}: {}",
            refused.stderr_text()
        );
        refused.stderr_has(text).stderr_has("secret/data/app");
    }
}

#[test]
fn f07_a_login_without_a_token() {
    let server = ScriptedServer::http(|_| Answer::json(200, r#"{"data":{}}"#));
    let refused = launcher(&server)
        .env("VAULT_AUTH_METHOD", "userpass")
        .env("VAULT_USERNAME", "bob")
        .env("VAULT_PASSWORD", "hunter2")
        .env("A", "vault:secret/data/app#k")
        .run();
    refused
        .expect_code(65)
        .stderr_has("userpass")
        .stderr_lacks("hunter2");
}

#[test]
fn l22_a_reply_without_end() {
    let body = vec![b' '; 5 * 1024 * 1024];
    let answer = raw("200 OK\r\ncontent-length: 104857600", &body);
    let server = ScriptedServer::http(move |_| answer.clone());
    reading(&server).run().expect_code(65).stderr_has("4 MiB");
}

#[test]
fn l23_addresses_and_redirects_that_would_lose_the_token() {
    let server = ScriptedServer::http(|_| Answer::json(200, SECRET));
    for (address, text) in [
        ("http://user:hunter2@127.0.0.1:1", "VAULT_ADDR"),
        ("file:///etc/passwd", "VAULT_ADDR"),
        ("127.0.0.1:8200", "VAULT_ADDR"),
        ("http://127.0.0.1:1/?x=hunter2", "VAULT_ADDR"),
    ] {
        reading(&server)
            .env("VAULT_ADDR", address)
            .run()
            .expect_code(78)
            .stderr_has(text)
            .stderr_lacks("hunter2");
    }
    let stranger = ScriptedServer::http(|_| Answer::json(200, SECRET));
    let target = format!("{}/v1/secret/data/app", stranger.url());
    let redirecting = ScriptedServer::http(move |_| {
        raw(
            &format!("307 Temporary Redirect\r\nlocation: {target}\r\ncontent-length: 0"),
            b"",
        )
    });
    let refused = reading(&redirecting).run();
    assert_ne!(refused.code, Some(0));
    refused
        .stderr_has(&stranger.address().to_string())
        .stderr_has("redirect");
    assert!(
        stranger.requests().is_empty(),
        "the token went to a stranger"
    );
    let allowed = reading(&redirecting)
        .env("ENVLATCH_REDIRECT_HOSTS", stranger.address().to_string())
        .run();
    assert_eq!(allowed.success().report().environ, ["A=v"]);
    assert_eq!(
        stranger.requests()[0].header("x-vault-token"),
        Some("hvs.given")
    );
}

#[test]
fn a_server_that_echoes_the_token_does_not_make_us_print_it() {
    let server = ScriptedServer::http(|request: &Request| {
        let token = request.header("x-vault-token").unwrap_or_default();
        Answer::json(
            403,
            &format!(r#"{{"errors":["permission denied for {token}"]}}"#),
        )
    });
    reading(&server)
        .run()
        .expect_code(77)
        .stderr_has("permission denied")
        .stderr_lacks("hvs.given");
}

/// Whether a request that creates something was carried out is unknown: its token is revoked, which takes along whatever
/// was created, and it is sent anew only under a new login.
#[test]
fn an_ambiguous_creation_is_repeated_only_under_a_new_login() {
    // A token whose revocation is late is not known to be gone, and then nothing is sent anew.
    let report = (0..3).find_map(|_| {
        let (finished, told) = ambiguous_creation();
        let token = |number: usize| Some(format!("token-{number}"));
        let expected = [
            ("/v1/auth/userpass/login/bob", None),
            ("/v1/pki/issue/web", token(0)),
            ("/v1/auth/token/revoke-self", token(0)),
            ("/v1/auth/userpass/login/bob", None),
            ("/v1/pki/issue/web", token(1)),
            ("/v1/auth/token/revoke-self", token(1)),
        ];
        let expected = expected.map(|(path, token)| (path.to_owned(), token));
        assert_eq!(told, expected[..told.len().min(6)]);
        (told.len() == 6).then(|| finished.success().report())
    });
    assert_eq!(
        report.expect("one revocation in time").environ,
        ["CERT=cert"]
    );
}

/// A start whose first creation is cut off: its end, and what was asked with which token.
fn ambiguous_creation() -> (Finished, Vec<(String, Option<String>)>) {
    let issues = std::sync::atomic::AtomicUsize::new(0);
    let logins = std::sync::atomic::AtomicUsize::new(0);
    let one = std::sync::atomic::Ordering::SeqCst;
    let server = ScriptedServer::http(move |request: &Request| match request.path.as_str() {
        "/v1/auth/userpass/login/bob" => {
            let number = logins.fetch_add(1, one);
            Answer::json(
                200,
                &format!(
                    r#"{{"auth":{{"client_token":"token-{number}","lease_duration":60,"renewable":true}}}}"#
                ),
            )
        }
        "/v1/auth/token/revoke-self" => raw("204 No Content", b""),
        _ if issues.fetch_add(1, one) == 0 => Answer::Close,
        _ => Answer::json(200, r#"{"lease_id":"","data":{"certificate":"cert"}}"#),
    });
    let program = launcher(&server)
        .env("VAULT_AUTH_METHOD", "userpass")
        .env("VAULT_USERNAME", "bob")
        .env("VAULT_PASSWORD", "pw")
        .env(
            "CERT",
            ">>vault:pki/issue/web#certificate#{\"common_name\":\"a\"}",
        );
    let finished = program.run();
    let told = server
        .requests()
        .iter()
        .map(|request| {
            (
                request.path.clone(),
                request.header("x-vault-token").map(str::to_owned),
            )
        })
        .collect();
    (finished, told)
}

#[test]
fn with_a_given_token_an_ambiguous_creation_is_not_repeated() {
    let server = ScriptedServer::http(|_| Answer::Close);
    let program = launcher(&server)
        .env("VAULT_TOKEN", "hvs.given")
        .env("CERT", ">>vault:pki/issue/web#certificate");
    program
        .run()
        .expect_code(69)
        .stderr_has("CERT: ")
        .stderr_has("pki/issue/web");
    assert_eq!(server.requests().len(), 1);
}

/// The launcher that was told to end waits no more than a moment for the revocation, which on a busy machine may have been
/// too short for the request to leave.
#[test]
fn f06_sigterm_ends_a_start_at_once_and_revokes() {
    assert!((0..5).any(|_| sigterm_ends_a_start_and_revokes()));
}

/// Whether the token was revoked.
fn sigterm_ends_a_start_and_revokes() -> bool {
    let server = ScriptedServer::http(|request: &Request| match request.path.as_str() {
        "/v1/auth/userpass/login/bob" => Answer::json(
            200,
            r#"{"auth":{"client_token":"token-0","lease_duration":60,"renewable":true}}"#,
        ),
        "/v1/auth/token/revoke-self" => raw("204 No Content", b""),
        _ => Answer::Stall(b"HTTP/1.1 200 OK\r\n".to_vec()),
    });
    let waiting = launcher(&server)
        .env("VAULT_AUTH_METHOD", "userpass")
        .env("VAULT_USERNAME", "bob")
        .env("VAULT_PASSWORD", "pw")
        .env("A", "vault:secret/data/app#k")
        .spawn();
    let asked = |path: &str| {
        let requests = server.requests();
        requests.iter().any(|request| request.path == path)
    };
    eventually("a read", SOON, || {
        asked("/v1/secret/data/app").then_some(())
    });
    waiting.kill(Signal::SIGTERM);
    waiting.wait_within(SOON).expect_code(143);
    // What has left before the end is read soon.
    let revoked = || asked("/v1/auth/token/revoke-self").then_some(());
    within(Duration::from_secs(2), revoked).is_some()
}

/// As PID 1 the kernel drops a signal that has no handler.
#[test]
fn f06_as_pid_1_it_ends_too() {
    let server = ScriptedServer::http(|_| Answer::Stall(Vec::new()));
    let binary = launcher(&server).path().to_owned();
    let waiting = Program::new("/usr/bin/unshare")
        .args(["--map-root-user", "--pid", "--fork", "--kill-child"])
        .arg(binary)
        .args(["run", "--", "/bin/true"])
        .env("VAULT_ADDR", server.url())
        .env("VAULT_TOKEN", "t")
        .env("A", "vault:secret/data/app#k")
        .spawn();
    eventually("a read", SOON, || {
        (!server.requests().is_empty()).then_some(())
    });
    let unshare = waiting.pid().as_raw();
    let children =
        std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
    let launcher: i32 = children.trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(launcher), Signal::SIGTERM).unwrap();
    waiting.wait_within(SOON).expect_code(143);
}
