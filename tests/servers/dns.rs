//! Names from a DNS server, in an empty root: search domains, `ndots`, and a text for each way to fail.

use std::net::UdpSocket;

use envlatch_test_support::{Program, Vault};

use crate::empty_root::{empty_root, succeeds, write};

/// An address of the loopback network that nothing else listens on; resolv.conf knows port 53 only.
const NAMESERVER: &str = "127.77.53.1";

/// Answers for as long as the test process lives: `vault.svc.internal` is 127.0.0.1, names that begin with `broken` are
/// SERVFAIL, with `silent` get no answer, and all others do not exist.
fn nameserver() {
    static STARTED: std::sync::Once = std::sync::Once::new();
    STARTED.call_once(|| {
        let socket = UdpSocket::bind((NAMESERVER, 53))
            .expect("port 53 of a loopback address is free, and this is root");
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                if let Some(answer) = answer(&packet[..length]) {
                    let _client_may_be_gone = socket.send_to(&answer, client);
                }
            }
        });
    });
}

/// An answer to one question (RFC 1035, 4.1), without what the client said beyond it.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let mut name = Vec::new();
    let mut position = HEADER;
    while query[position] > 0 {
        let end = position + 1 + usize::from(query[position]);
        name.push(String::from_utf8_lossy(&query[position + 1..end]).to_lowercase());
        position = end;
    }
    let question = &query[HEADER..position + 5];
    let is_a = query[position + 2] == 1;
    let name = name.join(".");
    let (code, found) = match name.as_str() {
        "vault.svc.internal" => (0, is_a),
        _ if name.starts_with("silent") => return None,
        _ if name.starts_with("broken") => (2, false),
        _ => (3, false),
    };
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
    answer.extend(question);
    if found {
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

fn asking(host: &str) -> (envlatch_test_support::TempDir, Program) {
    nameserver();
    let vault = Vault::shared_dev();
    let port = vault.address().rsplit(':').next().unwrap();
    let (root, program) = empty_root(vault);
    let options = "options ndots:5 timeout:1 attempts:1";
    write(
        &root,
        "etc/resolv.conf",
        &format!("nameserver {NAMESERVER}\nsearch ns.internal svc.internal\n{options}\n"),
    );
    (
        root,
        program.env("VAULT_ADDR", format!("http://{host}:{port}")),
    )
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn names_are_completed_by_the_search_domains() {
    for host in ["vault", "vault.svc.internal", "vault.svc.internal."] {
        let (_root, program) = asking(host);
        succeeds(&program);
    }
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f05_each_failure_of_dns_has_its_text() {
    for (host, text) in [
        ("absent", "NXDOMAIN"),
        ("broken", "failed to resolve"),
        ("silent", "no name server answered"),
    ] {
        let (_root, program) = asking(host);
        program
            .run()
            .expect_code(69)
            .stderr_has(host)
            .stderr_has(text);
    }
}
