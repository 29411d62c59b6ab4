//! Settings from an environment that is passed, and from no other.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::Command;

use envlatch_test_support::assert_no_canary;
use envlatch_vault::{
    Auth, Client, Configuration, Roots, SettingError, Source, Treatment, VARIABLES,
    from_environment,
};

fn configured(variables: &[(&str, &str)]) -> Result<Configuration, Vec<SettingError>> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    from_environment(&|name| variables.get(name).map(OsString::from))
}

fn identity(variables: &[(&str, &str)]) -> String {
    format!("{:?}", configured(variables).unwrap().auth)
}

#[test]
fn nothing_set_is_the_default_of_the_official_clients_in_kubernetes() {
    let Configuration { settings, auth } = configured(&[]).unwrap();
    assert_eq!(
        format!("{:?}", settings.addresses),
        "[https://127.0.0.1:8200]"
    );
    assert_eq!(settings.tls.roots, Roots::System);
    assert!(settings.tls.verify && settings.follow_redirects);
    assert!(
        matches!(auth, Auth::Kubernetes { mount, role, jwt } if mount == "kubernetes" && role == "default" && matches!(&jwt, Source::File(path) if path.ends_with("serviceaccount/token")))
    );
}

#[test]
fn identities() {
    let plain =
        "AppRole { mount: \"approle\", role_id: [REDACTED], secret_id: Plain(Value([REDACTED])) }";
    let wrapped =
        "AppRole { mount: \"approle\", role_id: [REDACTED], secret_id: Wrapped(File(\"/w\")) }";
    for (variables, expected) in [
        (
            &[("VAULT_TOKEN", " s.x\n"), ("VAULT_ROLE_ID", "r")][..],
            "Token([REDACTED])",
        ),
        (
            &[("VAULT_TOKEN", "vault:login"), ("VAULT_TOKEN_FILE", "/t")],
            "TokenFile(\"/t\")",
        ),
        (
            &[("VAULT_TOKEN", "bao:login"), ("VAULT_TOKEN_PATH", "/t")],
            "TokenFile(\"/t\")",
        ),
        (
            &[
                ("VAULT_TOKEN", "secrets-store:login"),
                ("VAULT_ROLE_ID", "r"),
                ("VAULT_SECRET_ID", "s"),
            ],
            plain,
        ),
        (
            &[
                ("VAULT_ROLE_ID", "r"),
                ("VAULT_SECRET_ID_FILE", "/w"),
                ("VAULT_SECRET_ID_WRAPPED", "1"),
            ],
            wrapped,
        ),
        (
            &[
                ("BAO_ROLE", "b"),
                ("VAULT_ROLE", "v"),
                ("VAULT_PATH", "auth/k8s/"),
            ],
            "Kubernetes { mount: \"k8s\", role: \"b\", jwt: File(\"/var/run/secrets/kubernetes.io/serviceaccount/token\") }",
        ),
        (
            &[("VAULT_AUTH_METHOD", "jwt"), ("VAULT_JWT_FILE", "/j")],
            "Jwt { mount: \"kubernetes\", role: Some(\"default\"), jwt: File(\"/j\") }",
        ),
        (
            &[
                ("VAULT_JWT_FILE", "/j"),
                ("KUBERNETES_SERVICE_ACCOUNT_TOKEN", "/k"),
            ],
            "Kubernetes { mount: \"kubernetes\", role: \"default\", jwt: File(\"/k\") }",
        ),
        (
            &[
                ("VAULT_AUTH_METHOD", "cert"),
                ("VAULT_CLIENT_CERT", "/c"),
                ("VAULT_CLIENT_KEY", "/k"),
            ],
            "Cert { mount: \"cert\", role: None }",
        ),
        (
            &[("VAULT_USERNAME", "u"), ("VAULT_PASSWORD", "p")],
            "Userpass { mount: \"userpass\", username: \"u\", password: Value([REDACTED]) }",
        ),
    ] {
        assert_eq!(identity(variables), expected, "{variables:?}");
    }
}

#[test]
fn refusals_name_the_variable_and_never_the_value() {
    for (name, value, text) in [
        ("VAULT_ADDR", "vault:8200/canary-7", "without its scheme"),
        (
            "VAULT_ADDR",
            "https://u:canary-7@vault",
            "user name or password",
        ),
        ("BAO_ADDR", "https://v,ftp://canary-7", "scheme is not"),
        ("VAULT_ADDR", ",", "no address given"),
        ("VAULT_SKIP_VERIFY", "canary-7", "not a boolean"),
        ("VAULT_DISABLE_REDIRECTS", "canary-7", "not a boolean"),
        (
            "VAULT_CLIENT_TIMEOUT",
            "canary-7",
            "not a positive duration",
        ),
        ("VAULT_CLIENT_TIMEOUT", "0s", "not a positive duration"),
        ("VAULT_MAX_RETRIES", "-1", "not a whole number"),
        ("VAULT_TOKEN", "canary 7", "unprintable"),
        ("VAULT_TOKEN", " \n", "empty"),
        ("VAULT_PROXY_ADDR", "file:///canary-7", "HTTP proxy"),
        ("VAULT_AUTH_METHOD", "canary-7", "not a supported method"),
        ("VAULT_AUTH_METHOD", "token", "VAULT_TOKEN: is needed"),
        ("VAULT_AUTH_METHOD", "approle", "VAULT_ROLE_ID: is needed"),
        ("VAULT_AUTH_METHOD", "userpass", "VAULT_PASSWORD: is needed"),
        ("VAULT_AUTH_METHOD", "cert", "VAULT_CLIENT_CERT: is needed"),
        (
            "VAULT_CLIENT_CERT",
            "/canary-7",
            "VAULT_CLIENT_KEY: is needed",
        ),
        ("VAULT_MFA", "canary-7", "second factor"),
        ("VAULT_WRAP_TTL", "5m", "not supported"),
        ("BAO_SRV_LOOKUP", "true", "VAULT_ADDR"),
    ] {
        let problems = configured(&[(name, value)]).unwrap_err();
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let shown = shown.join("\n");
        assert!(shown.contains(text), "{name}={value}: {shown}");
        assert!(
            text.contains(": is needed") || shown.contains(name),
            "{name}: {shown}"
        );
        assert_no_canary(&[("text", &shown)], &["canary-7"]);
    }
    assert!(configured(&[("VAULT_SRV_LOOKUP", "false")]).is_ok());
}

#[test]
fn every_problem_is_reported_at_once() {
    let variables = [
        ("VAULT_ADDR", "x"),
        ("VAULT_SKIP_VERIFY", "x"),
        ("VAULT_TOKEN", "a b"),
        ("VAULT_MFA", "x"),
    ];
    assert_eq!(configured(&variables).unwrap_err().len(), 4);
}

#[test]
fn trust_is_taken_from_the_first_that_is_set() {
    let all = [
        ("VAULT_CACERT_BYTES", "pem"),
        ("VAULT_CACERT", "/f"),
        ("VAULT_CAPATH", "/d"),
        ("SSL_CERT_FILE", "/s"),
        ("SSL_CERT_DIR", "/a:/b"),
    ];
    let roots = |from: usize| configured(&all[from..]).unwrap().settings.tls.roots;
    let named = |file: Option<&str>| Roots::Named {
        file: file.map(Into::into),
        directories: vec!["/a".into(), "/b".into()],
    };
    for (from, expected) in [
        Roots::Bytes(b"pem".to_vec()),
        Roots::File("/f".into()),
        Roots::Directory("/d".into()),
        named(Some("/s")),
        named(None),
        Roots::System,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(roots(from), expected);
    }
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    for (variables, text) in [
        (
            &[("VAULT_CACERT", "/nowhere.pem")][..],
            "VAULT_CACERT: cannot read /nowhere.pem",
        ),
        (&[("VAULT_CACERT", empty)], "holds no usable certificate"),
        (
            &[("VAULT_CACERT_BYTES", "hunter2")],
            "VAULT_CACERT_BYTES: holds no usable certificate",
        ),
        (
            &[("VAULT_CAPATH", "/nowhere")],
            "VAULT_CAPATH: cannot read /nowhere",
        ),
        (
            &[("SSL_CERT_FILE", "/nowhere.pem")],
            "SSL_CERT_FILE: cannot read /nowhere.pem",
        ),
        (
            &[
                ("VAULT_SKIP_VERIFY", "1"),
                ("VAULT_CLIENT_CERT", empty),
                ("VAULT_CLIENT_KEY", empty),
            ],
            "VAULT_CLIENT_CERT: holds no certificate",
        ),
    ] {
        let settings = configured(variables).unwrap().settings;
        let problems = Client::new(settings).unwrap_err();
        assert!(
            problems[0].to_string().contains(text),
            "{text}: {problems:?}"
        );
    }
    let plain = configured(&[
        ("VAULT_ADDR", "http://127.0.0.1:1"),
        ("VAULT_CACERT", "/nowhere.pem"),
    ])
    .unwrap();
    assert!(
        Client::new(plain.settings).is_ok(),
        "certificates are needed for https only"
    );
}

#[test]
fn debug_output_shows_no_credential() {
    let configuration = configured(&[
        ("VAULT_ROLE_ID", "canary-8"),
        ("VAULT_SECRET_ID", "canary-8"),
        ("VAULT_CLIENT_CERT_BYTES", "canary-8"),
        ("VAULT_CLIENT_KEY_BYTES", "canary-8"),
        ("HTTPS_PROXY", "http://u:canary-8@proxy"),
    ]);
    let shown = format!("{:?} {:#?}", configuration, configuration);
    assert_no_canary(&[("text", &shown)], &["canary-8"]);
}

#[test]
fn the_table_is_consistent() {
    for variable in VARIABLES {
        assert!(
            !variable.help.is_empty() && variable.help.len() < 200,
            "{}",
            variable.name
        );
        let same = VARIABLES.iter().filter(|other| other.name == variable.name);
        assert_eq!(same.count(), 1, "{}", variable.name);
        if variable.treatment == Treatment::Refused {
            let problems = configured(&[(variable.name, "true")]).unwrap_err();
            assert!(
                problems.iter().any(|problem| problem.name == variable.name),
                "{}",
                variable.name
            );
        }
    }
}

/// What this process is started with by the next test must not be seen by settings or clients.
#[test]
fn the_environment_of_the_process_is_not_read() {
    const CHILD: &str = "ENVLATCH_TEST_HOSTILE";
    if std::env::var_os(CHILD).is_some() {
        return in_a_hostile_environment();
    }
    let hostile = VARIABLES.iter().flat_map(|variable| variable.spellings());
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "environment::the_environment_of_the_process_is_not_read",
        ])
        .envs(hostile.map(|name| (name, "http://127.0.0.1:1/hostile")))
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .env(CHILD, "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && shown.contains("1 passed"),
        "{shown}"
    );
}

fn in_a_hostile_environment() {
    let server = envlatch_test_support::ScriptedServer::http(|_| crate::bed::secret());
    let url = server.url();
    let configuration = configured(&[("VAULT_ADDR", &url), ("VAULT_TOKEN", "mine")]).unwrap();
    let session = envlatch_vault::Session::new(
        Client::new(configuration.settings).unwrap(),
        configuration.auth,
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(session.read("kv/app", None, crate::bed::soon()))
        .unwrap();
    let request = server.requests().remove(0);
    assert_eq!(request.header("x-vault-token"), Some("mine"));
    assert_eq!(request.header("x-vault-namespace"), None);
    let secure = configured(&[]).unwrap().settings;
    // The system's authorities are used, if it has any, and not those of SSL_CERT_FILE.
    if let Err(problems) = Client::new(secure) {
        assert_eq!(problems[0].name, "VAULT_CACERT", "{problems:?}");
    }
}
