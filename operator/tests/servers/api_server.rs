//! An API server that refuses, breaks off, hangs and forgets, by a proxy before the real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use envlatch_test_support::{Answer, Request, ScriptedServer, eventually};
use serde_json::{Value, json};

use crate::bed::{Bed, SECRETS, SOON};
use crate::leases::{bundle, database, username};

/// How long something is broken.
const WHILE: Duration = Duration::from_secs(10);

/// A switch that a script asks.
#[derive(Clone, Default)]
struct Broken(Arc<AtomicBool>);

// === impl Broken ===

impl Broken {
    fn set(&self, broken: bool) {
        self.0.store(broken, Ordering::SeqCst);
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn status(code: u16, reason: &str, header: &str) -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {code} Scripted\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n",
        body.len()
    );
    Answer::Raw((head + &body).into_bytes())
}

fn is_write(request: &Request, plural: &str) -> bool {
    request.method != "GET" && request.path.contains(&format!("/{plural}"))
}

fn is_watch(request: &Request) -> bool {
    request.path.contains("watch=true")
}

fn count(proxy: &ScriptedServer, of: impl Fn(&Request) -> bool) -> usize {
    proxy
        .requests()
        .iter()
        .filter(|request| of(request))
        .count()
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn writes_that_are_refused_for_now_are_repeated_and_none_is_lost() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let turn = AtomicUsize::new(0);
    let proxy = bed.proxy(move |request| {
        if !is_write(request, "secrets") && !is_write(request, "secretbundles") {
            return None;
        }
        // Every other write fails, in one way or another.
        match turn.fetch_add(1, Ordering::SeqCst) % 8 {
            0 => Some(status(409, "Conflict", "")),
            2 => Some(status(429, "TooManyRequests", "retry-after: 1\r\n")),
            4 => Some(status(500, "InternalError", "")),
            6 => Some(Answer::Close),
            _ => None,
        }
    });
    let _operator = bed.operator("a");
    for n in 0..5 {
        bed.sync(
            &format!("app-{n}"),
            &format!("app-{n}"),
            &json!({}),
            &json!({}),
        );
    }
    for n in 0..5 {
        bed.until(&format!("app-{n}"), "Synced");
        bed.until_content(&format!("app-{n}"), &json!({"key": "one"}));
    }
    let writes = count(&proxy, |one| {
        is_write(one, "secrets") || is_write(one, "secretbundles")
    });
    assert!(writes < 150, "{writes} writes for 5 Secrets and 5 statuses");
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn an_api_server_that_takes_nothing_is_not_stormed() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let broken = Broken::default();
    let script = broken.clone();
    let proxy = bed.proxy(move |request| {
        let write = is_write(request, "secrets") || is_write(request, "secretbundles");
        (write && script.is()).then(|| status(500, "InternalError", ""))
    });
    let _operator = bed.operator("a");
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    broken.set(true);
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    let before = proxy.requests().len();
    sleep(WHILE);
    let asked = bed.asked("secret/data/app");
    let of_lease = |one: &Request| one.path.contains("/leases");
    let requests = proxy.requests()[before..]
        .iter()
        .filter(|one| !of_lease(one))
        .count();
    assert!(requests < 60, "{requests} requests in {WHILE:?}");
    assert!(asked < 12, "{asked} reads in {WHILE:?}");
    broken.set(false);
    bed.until_content("app", &json!({"key": "one"}));
    bed.until("app", "Synced");
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn what_happened_while_watches_were_gone_is_found_by_listing() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let broken = Broken::default();
    let script = broken.clone();
    let proxy = bed.proxy(move |request| {
        let expired = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version"}});
        (is_watch(request) && script.is()).then(|| {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
            Answer::Raw(format!("{head}{expired}\n").into_bytes())
        })
    });
    // Watches that run already are not ended by the proxy, so the operator is started while they break.
    bed.sync("app", "app", &json!({}), &json!({}));
    broken.set(true);
    let _operator = bed.operator("a");
    bed.until("app", "Synced");
    let before = proxy.requests().len();
    sleep(WHILE);
    let of_watches = |one: &Request| is_watch(one) || one.path.contains("limit=");
    let requests = proxy.requests()[before..]
        .iter()
        .filter(|one| of_watches(one))
        .count();
    assert!(
        requests < 90,
        "{requests} lists and watches of three kinds in {WHILE:?}"
    );
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    bed.sync("late", "late", &json!({}), &json!({}));
    bed.until_content("app", &json!({"key": "one"}));
    bed.until("late", "Synced");
    broken.set(false);
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    bed.until_content("app", &json!({"key": "one"}));
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_write_that_hangs_holds_up_nobody_else_and_is_repeated() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let broken = Broken::default();
    broken.set(true);
    let script = broken.clone();
    let _proxy = bed.proxy(move |request| {
        let hangs = is_write(request, "secrets")
            && String::from_utf8_lossy(&request.body).contains("\"name\":\"slow\"");
        (hangs && script.is()).then(|| Answer::Stall(Vec::new()))
    });
    let _operator = bed.operator("a");
    bed.sync("slow", "slow", &json!({}), &json!({}));
    sleep(Duration::from_secs(1));
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    bed.until("slow", "ApiServerUnreachable");
    broken.set(false);
    bed.until("slow", "Synced");
    bed.until_content("slow", &json!({"key": "one"}));
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn what_was_issued_when_the_operator_died_before_the_secret_was_written_is_what_is_written() {
    let bed = Bed::new();
    let postgres = database(&bed, "10m", "1h");
    let broken = Broken::default();
    broken.set(true);
    let script = broken.clone();
    let _proxy = bed.proxy(move |request| {
        let hangs = is_write(request, "secrets") && !request.path.contains("/namespaces/envlatch/");
        (hangs && script.is()).then(|| Answer::Stall(Vec::new()))
    });
    let operator = bed.operator("a");
    bundle(&bed, "db");
    let path = format!("{}/db", crate::bed::BUNDLES);
    eventually("the lease to be journalled", SOON, || {
        let found = bed.kubernetes.api("GET", &path, &Value::Null);
        found["status"]["leases"].is_array().then_some(())
    });
    operator.kill();
    assert_eq!(bed.content("db"), None);
    let issued = postgres.issued();
    broken.set(false);
    let _operator = bed.operator("a");
    bed.until("db", "Synced");
    assert_eq!([username(&bed, "db").unwrap()], *issued);
    assert_eq!(bed.asked("database/creds/app"), 1);
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn what_was_issued_when_the_operator_died_before_the_journal_ends_with_its_token() {
    let bed = Bed::new();
    bed.role("app", &json!({"token_ttl": "45s"}));
    let postgres = database(&bed, "10m", "1h");
    let broken = Broken::default();
    broken.set(true);
    let script = broken.clone();
    let _proxy = bed.proxy(move |request| {
        let hangs = request.method == "PATCH" && request.path.contains("/status");
        (hangs && script.is()).then(|| Answer::Stall(Vec::new()))
    });
    let operator = bed.operator("a");
    bundle(&bed, "db");
    eventually("a credential", SOON, || {
        (postgres.issued().len() == 1).then_some(())
    });
    sleep(Duration::from_secs(1));
    operator.kill();
    assert_eq!(
        bed.content("db"),
        None,
        "nothing is published that is not journalled"
    );
    broken.set(false);
    let _operator = bed.operator("a");
    bed.until("db", "Synced");
    let second = username(&bed, "db").unwrap();
    eventually("the first credential to end", SOON, || {
        (postgres.issued() == std::slice::from_ref(&second)).then_some(())
    });
    assert_eq!(bed.asked("database/creds/app"), 2);
}
