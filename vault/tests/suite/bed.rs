//! What every case needs: a session on a scripted server, and answers.

use std::time::{Duration, Instant};

use envlatch_test_support::{Answer, Request, ScriptedServer, free_port};
use envlatch_vault::{Auth, Client, Session, Settings, Severity};

pub(crate) const TOKEN: &str = "hvs.token-canary-1";

/// So long that only a hanging case takes it.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) fn soon() -> Instant {
    Instant::now() + SOON
}

pub(crate) fn settings(urls: &[&str]) -> Settings {
    let addresses = urls.iter().map(|url| url.parse().unwrap()).collect();
    Settings {
        report: kept,
        ..Settings::new(addresses)
    }
}

/// Every message of this process, whichever test caused it.
pub(crate) static MESSAGES: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());

fn kept(severity: Severity, message: std::fmt::Arguments<'_>) {
    *MESSAGES.lock().unwrap() += &format!("{severity:?}: {message}\n");
}

pub(crate) fn session_with(settings: Settings) -> Session {
    Session::new(Client::new(settings).unwrap(), Auth::Token(TOKEN.into()))
}

pub(crate) fn session(urls: &[&str]) -> Session {
    session_with(settings(urls))
}

/// A session that asks once.
pub(crate) fn impatient(urls: &[&str]) -> Session {
    session_with(Settings {
        max_retries: Some(0),
        ..settings(urls)
    })
}

pub(crate) fn approle() -> Auth {
    Auth::AppRole {
        mount: "approle".to_owned(),
        role_id: "role-id-canary-2".into(),
        secret_id: envlatch_vault::SecretId::Plain(envlatch_vault::Source::Value(
            "secret-id-canary-3".into(),
        )),
    }
}

/// An answer with these header lines, and the end of the connection.
pub(crate) fn raw(status: u16, headers: &str, body: &str) -> Answer {
    Answer::Raw(
        format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n{headers}\r\n{body}")
            .into_bytes(),
    )
}

pub(crate) fn secret() -> Answer {
    Answer::json(200, r#"{"data":{"key":"value"}}"#)
}

pub(crate) fn denied() -> Answer {
    Answer::json(403, r#"{"errors":["permission denied"]}"#)
}

pub(crate) fn logged_in(token: &str) -> Answer {
    Answer::json(200, &format!(r#"{{"auth":{{"client_token":"{token}"}}}}"#))
}

/// The paths of the requests so far.
pub(crate) fn paths(server: &ScriptedServer) -> Vec<String> {
    let requests: Vec<Request> = server.requests();
    requests.into_iter().map(|request| request.path).collect()
}

/// An address where nothing listens.
pub(crate) fn nobody() -> String {
    format!("http://127.0.0.1:{}", free_port("127.0.0.1"))
}
