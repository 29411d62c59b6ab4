//! What each kind of answer becomes.

use envlatch_test_support::{Answer, ScriptedServer, assert_no_canary};
use envlatch_vault::{Class, Value};

use crate::bed::{TOKEN, impatient, nobody, raw, session, soon};

/// The error of reading from a server that answers so.
async fn error_of(answer: Answer) -> envlatch_vault::Error {
    let server = ScriptedServer::http(move |_| answer.clone());
    let session = impatient(&[&server.url()]);
    session.read("kv/app", None, soon()).await.unwrap_err()
}

#[tokio::test]
async fn statuses() {
    let sealed = r#"{"errors":["Vault is sealed"]}"#;
    let lost = r#"{"errors":["local node not active but active cluster node not found"]}"#;
    for (status, body, class, text) in [
        (
            400,
            r#"{"errors":["bad ttl"]}"#,
            Class::Rejected,
            "refused the request: bad ttl (status 400)",
        ),
        (401, "", Class::Denied, "permission denied (status 401)"),
        (
            403,
            r#"{"errors":["permission denied"]}"#,
            Class::Denied,
            "as the given token: permission denied (status 403)",
        ),
        (
            404,
            r#"{"errors":[]}"#,
            Class::NotFound,
            "nothing at this path",
        ),
        (
            405,
            r#"{"errors":["unsupported operation"]}"#,
            Class::Rejected,
            "unsupported operation",
        ),
        (412, "", Class::Standby, "lags behind"),
        (429, "", Class::RateLimited, "too many requests"),
        (472, "", Class::Standby, "standby"),
        (473, "", Class::Standby, "standby"),
        (500, "oops", Class::ServerError, "see the server's log"),
        (500, lost, Class::Standby, "active cluster node not found"),
        (501, "", Class::ServerError, "(status 501)"),
        (502, "<html>", Class::ServerError, "(status 502)"),
        (503, sealed, Class::Sealed, "unseal the server"),
        (
            503,
            r#"{"errors":["overloaded"]}"#,
            Class::ServerError,
            "overloaded",
        ),
        (504, "", Class::ServerError, "(status 504)"),
    ] {
        let error = error_of(Answer::json(status, body)).await;
        assert_eq!(error.class(), class, "{status}: {error}");
        let shown = error.to_string();
        assert!(
            shown.contains(text) && shown.starts_with("cannot read kv/app at http://127.0.0.1:"),
            "{status}: {shown}"
        );
        assert_eq!(error.status(), Some(status));
    }
}

#[tokio::test]
async fn replies_that_are_none() {
    let deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let large = " ".repeat(4 * 1024 * 1024 + 1);
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    for (name, answer, text) in [
        (
            "compressed",
            raw(200, "content-encoding: gzip\r\ncontent-length: 2\r\n", "{}"),
            "compressed",
        ),
        (
            "announced too large",
            raw(200, "content-length: 99999999\r\n", ""),
            "larger than 4 MiB",
        ),
        (
            "turns out too large",
            raw(200, "transfer-encoding: chunked\r\n", &chunk),
            "larger than 4 MiB",
        ),
        (
            "cut off",
            raw(200, "content-length: 100\r\n", r#"{"data":"#),
            "cut off",
        ),
        (
            "web page",
            Answer::json(200, "\n<!DOCTYPE html><p>Log in"),
            "a web page",
        ),
        ("empty 200", Answer::json(200, ""), "is empty"),
        ("204", raw(204, "", ""), "is empty"),
        ("array", Answer::json(200, "[1]"), "a JSON array"),
        (
            "no data",
            Answer::json(200, r#"{"lease_id":""}"#),
            "no data",
        ),
        (
            "null data",
            Answer::json(200, r#"{"data":null}"#),
            "no data",
        ),
        (
            "broken",
            Answer::json(200, r#"{"data":{"key":"hunter2"#),
            "not valid JSON",
        ),
        (
            "twice",
            Answer::json(200, r#"{"data":1,"data":2}"#),
            "given twice",
        ),
        ("deep", Answer::json(200, &deep), "nested deeper"),
    ] {
        let error = error_of(answer).await;
        assert_eq!(error.class(), Class::Malformed, "{name}: {error}");
        let shown = error.to_string();
        assert!(
            shown.contains(text) && !shown.contains("hunter2"),
            "{name}: {shown}"
        );
    }
}

#[tokio::test]
async fn unreachable_servers() {
    let session = impatient(&[&nobody()]);
    let error = session.read("kv/app", None, soon()).await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable);
    assert!(error.to_string().contains("connection refused"), "{error}");

    let session = impatient(&["unix:///nowhere/agent.sock"]);
    let error = session.read("kv/app", None, soon()).await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable);
    assert!(
        error.to_string().contains("at unix:///nowhere/agent.sock"),
        "{error}"
    );
}

#[tokio::test]
async fn a_socket_is_spoken_to() {
    use std::io::{Read, Write};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let body = r#"{"data":{"key":"value"}}"#;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let session = session(&[&format!("unix://{}", path.display())]);
    assert!(session.read("kv/app", None, soon()).await.is_ok());
    let request = served.join().unwrap();
    assert!(
        request.starts_with("GET /v1/kv/app HTTP/1.1\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn what_a_server_repeats_of_ours_is_not_shown() {
    let server = ScriptedServer::http(|request| {
        let token = request.header("x-vault-token").unwrap_or_default();
        let body = String::from_utf8_lossy(&request.body).replace(['"', '{', '}'], " ");
        Answer::json(
            400,
            &format!(r#"{{"errors":["token {token} body {body}"]}}"#),
        )
    });
    let session = impatient(&[&server.url()]);
    let arguments = Value::parse(br#"{"list":[{"password":"written-canary-4"}]}"#).unwrap();
    let error = session
        .write("kv/app", &arguments, soon())
        .await
        .unwrap_err();
    for shown in [
        error.to_string(),
        format!("{error:?} {error:#?} {session:?} {session:#?}"),
    ] {
        assert!(
            shown.contains("REDACTED") || shown.contains("Session"),
            "{shown}"
        );
        for canary in [TOKEN, "written-canary-4"] {
            assert_no_canary(&[("text", &shown)], &[canary]);
        }
    }
}

#[tokio::test]
async fn paths_that_would_leave_their_place_are_not_asked_for() {
    let server = ScriptedServer::http(|_| Answer::json(200, "{}"));
    let session = impatient(&[&server.url()]);
    for path in ["", "/", "a//b", "a/../sys/seal", ".", "a/b\n"] {
        let error = session.read(path, None, soon()).await.unwrap_err();
        assert_eq!(error.class(), Class::Rejected, "{path:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn paths_are_encoded_and_versions_asked_for_only_when_wanted() {
    let server = ScriptedServer::http(|_| crate::bed::secret());
    let session = session(&[&format!("{}/proxied", server.url())]);
    for (path, version, sent) in [
        ("/kv/app", None, "/proxied/v1/kv/app"),
        (
            "kv/data/a b?#%",
            Some(3),
            "/proxied/v1/kv/data/a%20b%3F%23%25?version=3",
        ),
        ("kv/\u{e9}", None, "/proxied/v1/kv/%C3%A9"),
    ] {
        session.read(path, version, soon()).await.unwrap();
        let request = server.requests().pop().unwrap();
        assert_eq!(request.path, sent);
        assert_eq!(request.header("x-vault-request"), Some("true"));
        assert_eq!(request.header("x-vault-token"), Some(TOKEN));
    }
}

#[tokio::test]
async fn a_version_that_is_gone_and_a_path_without_data() {
    let gone = r#"{"data":{"data":null,"metadata":{"created_time":"t","deletion_time":"2024-05-06T07:08:09Z","destroyed":false,"version":2}}}"#;
    let destroyed = gone.replace("false", "true");
    for (body, text) in [
        (gone, "version 2 was deleted at 2024-05-06T07:08:09Z"),
        (&destroyed, "version 2 was destroyed"),
    ] {
        let error = error_of(Answer::json(404, body)).await;
        assert_eq!(error.class(), Class::NotFound);
        assert!(error.to_string().contains(text), "{error}");
    }

    for status in [403, 404] {
        let server = ScriptedServer::http(move |request| match request.path.as_str() {
            "/v1/sys/internal/ui/mounts/team/kv/app" => Answer::json(
                200,
                r#"{"data":{"path":"team/kv/","type":"kv","options":{"version":"2"}}}"#,
            ),
            _ => Answer::json(status, r#"{"errors":[]}"#),
        });
        let session = impatient(&[&server.url()]);
        // What was meant is asked for, but not for long.
        let mut text = String::new();
        for _attempt in 0..5 {
            let error = session.read("team/kv/app", None, soon()).await.unwrap_err();
            text = error.to_string();
            if text.contains("did you mean") {
                break;
            }
        }
        assert!(text.ends_with("did you mean team/kv/data/app"), "{text}");
    }
}
