//! Renewing and giving back, and tokens that are lent from one session to the next.

use std::time::Duration;

use envlatch_test_support::{Answer, ScriptedServer};
use envlatch_vault::{Class, Client, Session, Term, Value};

use crate::bed::{SOON, approle, denied, paths, secret, session, settings, soon};

const LENT: &str = "hvs.lent-canary-4";

fn login(seconds: u64) -> Answer {
    let auth =
        format!(r#"{{"client_token":"hvs.new","lease_duration":{seconds},"renewable":true}}"#);
    Answer::json(200, &format!(r#"{{"auth":{auth}}}"#))
}

fn approle_session(server: &ScriptedServer) -> Session {
    Session::new(Client::new(settings(&[&server.url()])).unwrap(), approle())
}

fn token_of(server: &ScriptedServer, index: usize) -> String {
    let request = server.requests().remove(index);
    let header = request
        .headers
        .iter()
        .find(|(name, _)| name == "x-vault-token");
    header.map(|(_, token)| token.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_login_says_how_long_its_token_lives() {
    let server = ScriptedServer::http(Answer::in_turn(vec![login(60), secret()]));
    let session = approle_session(&server);
    assert!(session.held().is_none());
    session.read("kv/app", None, soon()).await.unwrap();
    let minute = Term {
        duration: Duration::from_secs(60),
        renewable: true,
    };
    assert_eq!(session.held().unwrap().term, Some(minute));
    assert!(session.can_log_in_again());
}

#[tokio::test]
async fn tokens_and_leases_are_renewed() {
    let lease = r#"{"lease_id":"database/creds/app/x","lease_duration":30,"renewable":true}"#;
    let answers = vec![login(120), Answer::json(200, lease)];
    let server = ScriptedServer::http(Answer::in_turn(answers));
    let session = session(&[&server.url()]);
    let term = session.renew_token(soon()).await.unwrap();
    assert_eq!(term.duration, Duration::from_secs(120));
    let minute = Duration::from_secs(60);
    let renewed = session
        .renew_lease("database/creds/app/x", minute, soon())
        .await
        .unwrap();
    assert_eq!(
        (renewed.duration, renewed.renewable),
        (Duration::from_secs(30), true)
    );
    assert_eq!(
        paths(&server),
        ["/v1/auth/token/renew-self", "/v1/sys/leases/renew"]
    );
    let body = Value::parse(&server.requests()[1].body).unwrap();
    assert_eq!(
        body,
        Value::parse(br#"{"lease_id":"database/creds/app/x","increment":60}"#).unwrap()
    );
}

#[tokio::test]
async fn a_reply_without_times_is_malformed_and_a_refusal_is_final() {
    for (answer, class) in [
        (Answer::json(200, "{}"), Class::Malformed),
        (
            Answer::json(400, r#"{"errors":["lease not found"]}"#),
            Class::Rejected,
        ),
        (denied(), Class::Denied),
    ] {
        let server = ScriptedServer::http(move |_| answer.clone());
        let session = session(&[&server.url()]);
        assert_eq!(
            session.renew_token(soon()).await.unwrap_err().class(),
            class
        );
        let renewed = session.renew_lease("a/b", Duration::ZERO, soon()).await;
        assert_eq!(renewed.unwrap_err().class(), class);
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_lent_token_is_used_and_never_revoked() {
    let server = ScriptedServer::http(|_| secret());
    let session = approle_session(&server);
    session.borrow(LENT.into());
    session.read("kv/app", None, soon()).await.unwrap();
    assert_eq!(
        (paths(&server).len(), token_of(&server, 0)),
        (1, LENT.to_owned())
    );
    assert!(!session.revoke(SOON).await);
    assert_eq!(paths(&server).len(), 1);
}

/// The login that replaced it is this session's, and is revoked alone.
#[tokio::test]
async fn a_lent_token_that_is_refused_is_replaced() {
    let answers = vec![denied(), login(60), secret(), Answer::json(204, "")];
    let server = ScriptedServer::http(Answer::in_turn(answers));
    let session = approle_session(&server);
    session.borrow(LENT.into());
    session.read("kv/app", None, soon()).await.unwrap();
    session.revoke(SOON).await;
    let asked = [
        "/v1/kv/app",
        "/v1/auth/approle/login",
        "/v1/kv/app",
        "/v1/auth/token/revoke-self",
    ];
    assert_eq!(paths(&server), asked);
    assert_eq!(
        (token_of(&server, 2), token_of(&server, 3)),
        ("hvs.new".to_owned(), "hvs.new".to_owned())
    );
}

#[tokio::test]
async fn what_was_lent_is_given_back_on_demand() {
    let server = ScriptedServer::http(|_| Answer::json(204, ""));
    let session = approle_session(&server);
    assert!(session.give_back(LENT.into(), SOON).await);
    assert_eq!(paths(&server), ["/v1/auth/token/revoke-self"]);
    assert_eq!(token_of(&server, 0), LENT);
    session.borrow(LENT.into());
    session.revoke_lease("a/b", soon()).await.unwrap();
    assert_eq!(paths(&server)[1], "/v1/sys/leases/revoke");
}
