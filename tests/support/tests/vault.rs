//! The servers of the harness do what other tests rely on.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use envlatch_test_support::{Key, Program, Vault, VaultCluster, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn secrets_policies_and_tokens_work_over_tls() {
    let vault = Vault::shared_tls();
    vault.put_kv2("app/db", &json!({"password": "one"}));
    vault.put_kv1("app/db", &json!({"password": "two"}));
    let read = vault.api("GET", "secret/data/app/db", &Value::Null);
    assert_eq!(read["data"]["data"]["password"], "one");
    let read = vault.api("GET", "kv/app/db", &Value::Null);
    assert_eq!(read["data"]["password"], "two");
    let list = vault.api("LIST", "secret/metadata/app", &Value::Null);
    assert_eq!(list["data"]["keys"], json!(["db"]));

    vault.policy(
        "reader",
        r#"path "secret/data/app/*" { capabilities = ["read"] }"#,
    );
    let token = vault.token(&["reader"], "1h");
    assert!(vault.accepts(&token));
    vault.api("POST", "auth/token/revoke", &json!({ "token": token }));
    assert!(!vault.accepts(&token));
    assert!(vault.address().starts_with("https://"));
    assert_eq!(
        std::fs::read_to_string(vault.ca_file()).unwrap(),
        vault.ca_pem()
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn the_audit_shows_the_program_under_test_alone() {
    let vault = Vault::dev();
    vault.put_kv2("app", &json!({"key": "value"}));
    assert_eq!(vault.audit(), []);
    let address = vault.address().strip_prefix("http://").unwrap();
    let get = |token: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET /v1/secret/data/app HTTP/1.0\r\nX-Vault-Token: {token}\r\n\r\n"
        )
        .unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert!(get(vault.root_token()).contains(r#""key":"value""#));
    assert!(get("wrong").contains("permission denied"));
    let read = || ("read".to_owned(), "secret/data/app".to_owned());
    assert_eq!(vault.audit(), [read(), read()]);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn keys_log_in_by_jwt() {
    let vault = Vault::shared_dev();
    let key = Key::generate();
    vault.api("POST", "sys/auth/jwt", &json!({"type": "jwt"}));
    vault.api(
        "POST",
        "auth/jwt/config",
        &json!({"jwt_validation_pubkeys": [key.public_pem()]}),
    );
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["envlatch"], "policies": "default"});
    vault.api("POST", "auth/jwt/role/app", &role);
    let login = |key: &Key| {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let claims = json!({"sub": "pod", "aud": "envlatch", "iat": now, "exp": now + 600});
        vault
            .try_api(
                "POST",
                "auth/jwt/login",
                &json!({"role": "app", "jwt": key.sign(&claims)}),
            )
            .0
    };
    assert_eq!(login(&key), 200);
    assert_eq!(login(&Key::generate()), 400);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn faults_come_and_go() {
    let vault = Vault::dev();
    vault.put_kv2("app", &json!({"key": "value"}));
    let status = || vault.try_api("GET", "secret/data/app", &Value::Null).0;
    vault.seal();
    assert_eq!(status(), 503);
    vault.unseal();
    assert_eq!(status(), 200);
    vault.freeze();
    let address = vault.address().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    stream
        .write_all(b"GET /v1/sys/health HTTP/1.0\r\n\r\n")
        .unwrap();
    let mut byte = [0];
    assert_eq!(
        stream.read(&mut byte).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    vault.thaw();
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(stream.read(&mut byte).unwrap(), 1);
    assert_eq!(status(), 200);
    vault.stop();
    assert_eq!(status(), 0);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn clusters_change_their_active_node() {
    let cluster = VaultCluster::start(2);
    assert_eq!(cluster.standbys().len(), 1);
    cluster.put_kv2("app", &json!({"key": "value"}));
    cluster.step_down();
    let read = |node: &Vault| node.try_api("GET", "secret/data/app", &Value::Null).0 == 200;
    assert_eq!(cluster.audit(), []);
    eventually("both nodes serve reads", SOON, || {
        cluster.nodes().iter().all(read).then_some(())
    });
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn three_nodes_survive_the_end_of_one() {
    let cluster = VaultCluster::start(3);
    cluster.put_kv2("app", &json!({"key": "value"}));
    let old = cluster.active();
    old.stop();
    assert_ne!(cluster.active().address(), old.address());
    cluster.active().api("GET", "secret/data/app", &Value::Null);
}

/// A server in a static is never dropped: the kernel ends it with the test process. The test starts itself once more,
/// as the process that is killed.
#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_shared_server_ends_with_the_test_process() {
    const INNER: &str = "ENVLATCH_TEST_INNER";
    if std::env::var_os(INNER).is_some() {
        println!("{}", Vault::shared_dev().address());
        std::thread::sleep(Duration::from_secs(600));
    }
    let mut program = Program::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--nocapture",
            "--exact",
            "a_shared_server_ends_with_the_test_process",
        ])
        .env(INNER, "1");
    for name in ["ENVLATCH_VAULT", "ENVLATCH_CACHE", "XDG_CACHE_HOME", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            program = program.env(name, value);
        }
    }
    let mut inner = program.deadline(2 * SOON).spawn();
    inner.wait_for_stdout("http://127.0.0.1:");
    let output = String::from_utf8(inner.stdout_so_far()).unwrap();
    let address = output
        .lines()
        .find_map(|line| line.split_once("http://"))
        .unwrap()
        .1
        .to_owned();
    assert!(TcpStream::connect(&address).is_ok());
    inner.kill(nix::sys::signal::Signal::SIGKILL);
    eventually("the server is gone", SOON, || {
        TcpStream::connect(&address).is_err().then_some(())
    });
}
