//! `envlatch exec` in pods: probes and `kubectl exec` get the environment of the program, and nobody else does.

use envlatch_test_support::{Cluster, Namespace, Pod, assert_no_canary, canary};
use serde_json::{Value, json};

use crate::{ENVLATCH, SHELL, launcher_mount, launcher_volume, password_from_vault, variable};

const PRINT: [&str; 6] = [ENVLATCH, "exec", "--", "sh", "-c", ECHO];

const ECHO: &str = "echo \"$DB_PASSWORD\"";

/// Tries the environment of every process that there is.
const TRY_ALL: &str = "for process in /proc/[0-9]*; do /opt/envlatch/envlatch exec --pid ${process#/proc/} -- env; done; true";

/// Asks for the process beside which a launcher stays, by the launcher's name.
const PRINT_BY_NAME: &str = "launcher=$(grep -l ^envlatch: /proc/[0-9]*/comm); launcher=${launcher#/proc/}; \
    exec /opt/envlatch/envlatch exec --pid ${launcher%/comm} -- sh -c 'echo \"$DB_PASSWORD\"'";

/// A namespace whose Vault has a password that no test prints.
fn namespace(hint: &str) -> (Namespace, String) {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace(hint);
    let password = canary();
    namespace.put(cluster.vault(), "db", &json!({"password": password}));
    (namespace, password)
}

/// A pod with a program behind the launcher in the container `app`, and in `other` one without secrets; `pod` adds to the
/// specification of the pod and `other` to that of the second container.
fn pod<'a>(
    namespace: &'a Namespace,
    name: &str,
    on_change: &str,
    pod: &Value,
    other: &Value,
) -> Pod<'a> {
    let on_change = format!("--on-change={on_change}");
    let script = "echo ready; while :; do sleep 0.2; done";
    let container = |name: &str, command: &[&str]| {
        json!({
            "name": name,
            "image": SHELL,
            "command": command,
            "volumeMounts": [launcher_mount()],
        })
    };
    let mut app = container(
        "app",
        &[ENVLATCH, "run", &on_change, "--", "sh", "-c", script],
    );
    app["env"] = json!(password_from_vault(namespace));
    let mut second = container("other", &["sleep", "3600"]);
    extend(&mut second, other);
    let mut spec = json!({
        "containers": [app, second],
        "volumes": [launcher_volume()],
    });
    extend(&mut spec, pod);
    let pod = namespace.pod(name, &spec);
    pod.says("ready");
    pod.runs();
    pod
}

fn extend(object: &mut Value, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
}

#[test]
#[ignore = "needs the cluster"]
fn a_command_in_the_container_has_the_programs_environment() {
    let (namespace, password) = namespace("exec");
    for on_change in ["none", "restart"] {
        let pod = pod(&namespace, on_change, on_change, &json!({}), &json!({}));
        let plain = pod.exec(&["sh", "-c", ECHO]);
        assert!(
            plain.stdout.starts_with(b"vault:secret/data/"),
            "what the manifest says is no value"
        );
        let output = pod.exec(&PRINT);
        assert!(output.status.success(), "{:?}", output.status);
        assert_eq!(output.stdout, format!("{password}\n").into_bytes());
        let output = pod.exec(&[ENVLATCH, "exec", "--", "sh", "-c", "exit 9"]);
        assert_eq!(output.status.code(), Some(9), "the command's own code");
    }
}

#[test]
#[ignore = "needs the cluster"]
fn a_probe_has_the_programs_environment() {
    let (namespace, password) = namespace("probe");
    let check = format!("[ ${{#DB_PASSWORD}} = {} ]", password.len());
    let pod = namespace.pod(
        "app",
        &json!({
            "containers": [{
                "name": "app",
                "image": SHELL,
                "command": [ENVLATCH, "run", "--", "sh", "-c", "sleep 3600"],
                "env": password_from_vault(&namespace),
                "volumeMounts": [launcher_mount()],
                "readinessProbe": {
                    "exec": {"command": [ENVLATCH, "exec", "--", "sh", "-c", check]},
                    "periodSeconds": 1,
                },
            }],
            "volumes": [launcher_volume()],
        }),
    );
    pod.until("is ready", |pod| {
        (pod["status"]["containerStatuses"][0]["ready"] == true).then_some(())
    });
}

/// A probe may come before the launcher has an answer of its server.
#[test]
#[ignore = "needs the cluster"]
fn before_the_program_there_is_nothing_to_be_had() {
    let (namespace, _) = namespace("early");
    for on_change in ["none", "restart"] {
        let mut variables = password_from_vault(&namespace);
        // Nobody listens there.
        variables.push(variable("ENVLATCH_ADDR", "https://10.99.0.1:9"));
        variables.push(variable("ENVLATCH_TIMEOUT", "1h"));
        variables.push(variable("ENVLATCH_ON_CHANGE", on_change));
        let pod = namespace.pod(
            on_change,
            &json!({
                "containers": [{
                    "name": "app",
                    "image": SHELL,
                    "command": [ENVLATCH, "run", "--", "sleep", "3600"],
                    "env": variables,
                    "volumeMounts": [launcher_mount()],
                }],
                "volumes": [launcher_volume()],
            }),
        );
        pod.says("trying again");
        let output = pod.exec(&[ENVLATCH, "exec", "--", "env"]);
        assert_eq!(output.status.code(), Some(66), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = "process 1 is a launcher that has not started its program yet";
        assert!(output.stdout.is_empty() && text.contains(told), "{text}");
    }
}

/// Neither a container beside the program nor another pod, both of the same user.
#[test]
#[ignore = "needs the cluster"]
fn other_containers_get_nothing() {
    let (namespace, password) = namespace("others");
    for on_change in ["none", "restart"] {
        let app = pod(&namespace, on_change, on_change, &json!({}), &json!({}));
        let stranger = namespace.pod(
            &format!("stranger-{on_change}"),
            &json!({
                "containers": [{
                    "name": "other",
                    "image": SHELL,
                    "command": ["sleep", "3600"],
                    "volumeMounts": [launcher_mount()],
                }],
                "volumes": [launcher_volume()],
            }),
        );
        stranger.runs();
        let own = app.exec(&["sh", "-c", TRY_ALL]);
        assert!(
            String::from_utf8_lossy(&own.stdout).contains(&password),
            "what is tried finds the value where it may be had"
        );
        for pod in [&app, &stranger] {
            let output = pod.exec_in("other", &PRINT);
            assert_eq!(
                output.stdout, b"\n",
                "its own first process has no password"
            );
            let absent = pod.exec_in("other", &[ENVLATCH, "exec", "--pid", "99999", "--", "env"]);
            assert_eq!(absent.status.code(), Some(66), "{absent:?}");
            assert!(
                String::from_utf8_lossy(&absent.stderr).contains("process 99999: there is none")
            );
            let all = pod.exec_in("other", &["sh", "-c", TRY_ALL]);
            assert!(
                all.stdout.windows(5).any(|part| part == b"PATH="),
                "{all:?}"
            );
            assert_no_canary(
                &[("output", &all.stdout), ("errors", &all.stderr)],
                &[&password],
            );
        }
    }
}

/// Where containers share their processes, the first one is nobody's program, and users are what is left between them.
#[test]
#[ignore = "needs the cluster"]
fn shared_processes_are_told_apart_by_their_users() {
    let (namespace, password) = namespace("shared");
    let another_user = json!({"securityContext": {
        "runAsUser": 65533,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    }});
    let shared = json!({"shareProcessNamespace": true});
    let pod = pod(&namespace, "app", "restart", &shared, &another_user);
    for container in ["app", "other"] {
        let output = pod.exec_in(container, &PRINT);
        assert_eq!(output.status.code(), Some(66), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            text.contains("process 1 is the pod's pause container"),
            "{text}"
        );
        assert!(text.contains("--pid"), "{text}");
    }
    let output = pod.exec(&["sh", "-c", PRINT_BY_NAME]);
    assert_eq!(output.stdout, format!("{password}\n").into_bytes());
    let output = pod.exec_in("other", &["sh", "-c", PRINT_BY_NAME]);
    assert_eq!(output.status.code(), Some(77), "{:?}", output.status);
    assert!(output.stdout.is_empty());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("its environment may not be read"), "{text}");
    let all = pod.exec_in("other", &["sh", "-c", TRY_ALL]);
    assert_no_canary(&[("output", &all.stdout)], &[&password]);
}
