//! What is asked again, where, and when not.

use std::time::{Duration, Instant};

use envlatch_test_support::{Answer, ScriptedServer, eventually};
use envlatch_vault::{Class, Settings, Value};

use crate::bed::{SOON, nobody, raw, secret, session, session_with, settings, soon};

fn arguments() -> Value {
    Value::parse(b"{\"ttl\":\"1h\"}").unwrap()
}

#[tokio::test]
async fn passing_troubles_of_a_read_are_waited_out() {
    for status in [412, 429, 472, 473, 500, 502, 503, 504] {
        let answers = vec![Answer::json(status, ""), Answer::json(status, ""), secret()];
        let server = ScriptedServer::http(Answer::in_turn(answers));
        let session = session(&[&server.url()]);
        assert!(
            session.read("kv/app", None, soon()).await.is_ok(),
            "{status}"
        );
        assert_eq!(server.requests().len(), 3, "{status}");
    }
}

#[tokio::test]
async fn final_answers_are_not_asked_for_again() {
    for status in [400, 404, 405] {
        let server = ScriptedServer::http(move |_| Answer::json(status, ""));
        let session = session(&[&server.url()]);
        assert!(session.read("sys/x/data/y", None, soon()).await.is_err());
        assert_eq!(server.requests().len(), 1, "{status}");
    }
    let server = ScriptedServer::http(|_| Answer::json(500, ""));
    assert!(
        session(&[&server.url()])
            .read("kv/app", None, soon())
            .await
            .is_err()
    );
    assert_eq!(server.requests().len(), 5, "a server that keeps failing");
}

#[tokio::test]
async fn the_next_server_is_asked() {
    let nobody = nobody();
    let sealed = ScriptedServer::http(|_| Answer::json(503, r#"{"errors":["Vault is sealed"]}"#));
    let silent = ScriptedServer::http(|_| Answer::Stall(Vec::new()));
    let cut = ScriptedServer::http(|_| Answer::Close);
    for first in [nobody, sealed.url(), silent.url(), cut.url()] {
        let good = ScriptedServer::http(|_| secret());
        let session = session_with(Settings {
            request_timeout: Duration::from_secs(5),
            ..settings(&[&first, &good.url()])
        });
        session.read("kv/app", None, soon()).await.unwrap();
        session.read("kv/app", None, soon()).await.unwrap();
        assert_eq!(
            good.requests().len(),
            2,
            "the server that answered stays preferred"
        );
    }
}

#[tokio::test]
async fn an_error_names_what_happened_at_each_server() {
    let sealed = ScriptedServer::http(|_| Answer::json(503, r#"{"errors":["Vault is sealed"]}"#));
    let (nobody, sealed_url) = (nobody(), sealed.url());
    let session = session_with(Settings {
        max_retries: Some(1),
        ..settings(&[&nobody, &sealed_url])
    });
    let error = session.read("kv/app", None, soon()).await.unwrap_err();
    assert_eq!(error.class(), Class::Sealed);
    let expected = format!(
        "cannot read kv/app at {sealed_url}: the server is sealed or unavailable (Vault is sealed) (status 503), after 4 attempts; {nobody}: connection refused; unseal the server, or wait until it is"
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn the_server_says_when_to_come_back() {
    let wait = || raw(429, "retry-after: 1\r\ncontent-length: 0\r\n", "");
    let server = ScriptedServer::http(Answer::in_turn(vec![wait(), secret()]));
    let started = Instant::now();
    session(&[&server.url()])
        .read("kv/app", None, soon())
        .await
        .unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));

    for (after, deadline) in [
        ("3600", SOON),
        ("18446744073709551615", SOON),
        // Too large to be understood, so it is asked again as if nothing had been said.
        ("99999999999999999999", Duration::from_secs(5)),
    ] {
        let answer = raw(
            429,
            &format!("retry-after: {after}\r\ncontent-length: 0\r\n"),
            "",
        );
        let server = ScriptedServer::http(move |_| answer.clone());
        let started = Instant::now();
        let error = session(&[&server.url()])
            .read("kv/app", None, started + deadline)
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::RateLimited);
        assert!(started.elapsed() < SOON / 2, "{after}");
    }
}

#[tokio::test]
async fn the_deadline_holds() {
    let stalled = || Answer::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec());
    let silent = ScriptedServer::http(move |_| stalled());
    let started = Instant::now();
    let error = session(&[&silent.url()])
        .read("kv/app", None, started + Duration::from_millis(300))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Unreachable, "{error}");
    assert!(started.elapsed() < Duration::from_secs(15));

    // A request that hangs is given up and sent again.
    let answers = vec![stalled(), stalled(), secret()];
    let server = ScriptedServer::http(Answer::in_turn(answers));
    let session = session_with(Settings {
        request_timeout: Duration::from_secs(1),
        ..settings(&[&server.url()])
    });
    session.read("kv/app", None, soon()).await.unwrap();
}

#[tokio::test]
async fn a_request_that_the_end_of_the_time_cuts_off_hides_no_answer() {
    let sealed = || Answer::json(503, r#"{"errors":["Vault is sealed"]}"#);
    let cut = raw(200, "content-length: 100\r\n", "{");
    let silent = || Answer::Stall(Vec::new());
    let in_turn = |answers: Vec<Answer>| ScriptedServer::http(Answer::in_turn(answers));
    let server = in_turn(vec![sealed(), silent()]);
    let server_of_writes = in_turn(vec![sealed(), silent()]);
    let cutting = in_turn(vec![cut, silent()]);
    let (first, second) = (in_turn(vec![sealed()]), in_turn(vec![silent()]));

    let url = server.url();
    let sessions = [
        session(&[&url]),
        session(&[&server_of_writes.url()]),
        session(&[&cutting.url()]),
        session(&[&first.url(), &second.url()]),
    ];
    // Each takes all of the time, so they take it at once.
    let arguments = arguments();
    let end = Instant::now() + Duration::from_secs(10);
    let (alone, written, cut, elsewhere) = tokio::join!(
        sessions[0].read("kv/app", None, end),
        sessions[1].write("pki/issue/app", &arguments, end),
        sessions[2].read("kv/app", None, end),
        sessions[3].read("kv/app", None, end),
    );

    let error = alone.unwrap_err();
    assert_eq!(error.class(), Class::Sealed);
    let expected = format!(
        "cannot read kv/app at {url}: the server is sealed or unavailable (Vault is sealed) (status 503), after 2 attempts; {url}: no reply in time; unseal the server, or wait until it is"
    );
    assert_eq!(error.to_string(), expected);

    // Of what may have been carried out, that is the news.
    let error = written.unwrap_err();
    assert_eq!(
        (error.class(), error.ambiguous()),
        (Class::Unreachable, true)
    );

    for (outcome, class) in [(cut, Class::Malformed), (elsewhere, Class::Sealed)] {
        let error = outcome.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
}

#[tokio::test]
async fn nothing_is_sent_when_no_time_is_left() {
    let server = ScriptedServer::http(|_| secret());
    let session = session(&[&server.url()]);
    let error = session
        .write("kv/app", &arguments(), Instant::now())
        .await
        .unwrap_err();
    assert_eq!(
        (error.class(), error.ambiguous()),
        (Class::Unreachable, false)
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_http_address_of_a_tls_port_is_a_wrong_setting() {
    let go = "Client sent an HTTP request to an HTTPS server.\n";
    let server = ScriptedServer::http(move |_| raw(400, "", go));
    let error = session(&[&server.url()])
        .read("kv/app", None, soon())
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Setting);
    assert!(error.to_string().contains("write https://"), "{error}");
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_not_sent_again() {
    const SILENCE: &str = "silence";
    for (name, answer) in [
        ("cut before the reply", Answer::Close),
        ("cut in the reply", raw(200, "content-length: 100\r\n", "{")),
        (SILENCE, Answer::Stall(Vec::new())),
        ("500", Answer::json(500, "")),
        ("502", Answer::json(502, "")),
        ("504", Answer::json(504, "")),
        ("web page", Answer::json(200, "<html>")),
    ] {
        let server = ScriptedServer::http(move |_| answer.clone());
        let request_timeout = Duration::from_secs(if name == SILENCE { 2 } else { 60 });
        let session = session_with(Settings {
            request_timeout,
            ..settings(&[&server.url()])
        });
        let written = session
            .write("pki/issue/app", &arguments(), soon())
            .await
            .unwrap_err();
        let minted = session
            .read("database/creds/app", None, soon())
            .await
            .unwrap_err();
        assert!(
            written.ambiguous() && minted.ambiguous(),
            "{name}: {written} {minted}"
        );
        assert!(
            written.to_string().contains("may have been carried out"),
            "{name}: {written}"
        );
        eventually("both requests have arrived", SOON, || {
            (server.requests().len() >= 2).then_some(())
        });
        assert_eq!(server.requests().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn what_was_certainly_not_carried_out_is_sent_again() {
    for status in [429, 472, 473, 503] {
        let answers = vec![Answer::json(status, ""), Answer::json(200, "")];
        let server = ScriptedServer::http(Answer::in_turn(answers));
        let session = session(&[&nobody(), &server.url()]);
        let reply = session
            .write("pki/issue/app", &arguments(), soon())
            .await
            .unwrap();
        assert_eq!(reply.data, Value::Null);
        assert_eq!(server.requests().len(), 2, "{status}");
    }
    let server = ScriptedServer::http(|_| Answer::json(400, ""));
    let error = session(&[&server.url()])
        .write("a/b", &arguments(), soon())
        .await
        .unwrap_err();
    assert!(!error.ambiguous(), "{error}");
}
