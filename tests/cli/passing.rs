//! What passes untouched, and what is removed.

use crate::run;

#[test]
fn ordinary_values_that_look_like_references_pass_byte_for_byte() {
    for value in [
        "file:./dev.db",                         // Prisma
        "file:/config/,optional:file:/etc/app/", // Spring
        "classpath:/application.yaml",           // Spring
        "$${env:LOG_LEVEL:-info}",               // log4j
        "${env:X}",                              // log4j
        "$${date:yyyy-MM-dd}",                   // log4j
        "${spring.datasource.password}",         // Spring
        "redis://:pw@vault:6379#0",              // a host called vault
        "https://vault:8200/v1/secret#fragment", // the same
        "{\"a\":{\"b\":\"${HOME}\"}}",           // JSON
        "vaulty:a#b",                            // another scheme
        "see bao: the docs # here",              // prose
        "$$ $ ${ } ${}",
        "",
    ] {
        let report = run(&[]).env("A", value).run().success().report();
        assert_eq!(report.env("A").unwrap(), value);
    }
}

#[test]
fn an_escape_gives_the_text_of_a_reference() {
    let report = run(&[])
        .env("A", "$${vault:secret/data/app#k}")
        .env("B", "$${file:x}")
        .run()
        .success()
        .report();
    assert_eq!(
        report.environ,
        ["A=${vault:secret/data/app#k}", "B=$${file:x}"]
    );
}

#[test]
fn without_a_server_only_credentials_and_our_settings_are_removed() {
    let program = run(&[])
        .env("VAULT_TOKEN", "t")
        .env("BAO_TOKEN", "t")
        .env("VAULT_SECRET_ID", "s")
        .env("VAULT_ADDR", "https://vault:8200")
        .env("VAULT_ROLE", "app")
        .env("VAULT_OF_THE_APP", "x")
        .env("ENVLATCH_LOG_LEVEL", "warn")
        .env("ENVLATCH_PORT_8080_TCP", "tcp://10.0.0.1:8080");
    assert_eq!(
        program.run().success().report().names(),
        [
            "ENVLATCH_PORT_8080_TCP",
            "VAULT_ADDR",
            "VAULT_OF_THE_APP",
            "VAULT_ROLE"
        ]
    );
    let passed = program.env("ENVLATCH_PASS", "VAULT_TOKEN\nENVLATCH_*");
    let expected = [
        "ENVLATCH_LOG_LEVEL",
        "ENVLATCH_PASS",
        "ENVLATCH_PORT_8080_TCP",
        "VAULT_ADDR",
        "VAULT_OF_THE_APP",
        "VAULT_ROLE",
        "VAULT_TOKEN",
    ];
    assert_eq!(passed.run().success().report().names(), expected);
}

#[test]
fn unknown_settings_are_no_errors_and_slips_are_mentioned() {
    run(&[])
        .env("ENVLATCH_SERVICE_HOST", "10.0.0.1")
        .run()
        .success()
        .stderr_lacks("ENVLATCH_SERVICE_HOST");
    run(&[])
        .env("ENVLATCH_NAME", "upper")
        .run()
        .success()
        .stderr_has("ENVLATCH_NAME is no setting and is ignored; did you mean ENVLATCH_NAMES?");
}

#[test]
fn a_build_that_cannot_stay_refuses_to_and_log_servers_are_ignored() {
    #[cfg(not(feature = "stay"))]
    for (name, value) in [
        ("ENVLATCH_ON_CHANGE", "restart"),
        ("VAULT_ENV_DAEMON", "true"),
        ("SECRET_INIT_DAEMON", "1"),
        ("VAULT_ENV_RESTART_ON_SECRET_CHANGE", "watch-for-lease"),
    ] {
        run(&[])
            .env(name, value)
            .run()
            .expect_code(78)
            .stderr_has(name)
            .stderr_has("this envlatch was built without that; use the full build");
    }
    let harmless = run(&[])
        .env("VAULT_ENV_DAEMON", "false")
        .env("VAULT_ENV_RESTART_ON_SECRET_CHANGE", "none");
    harmless.run().success().silent();
    run(&[])
        .env("VAULT_ENV_LOG_SERVER", "log:514")
        .run()
        .success()
        .stderr_has("VAULT_ENV_LOG_SERVER is ignored");
}
