//! The chart as Helm renders it, without a cluster. Every case is ignored by plain `cargo test` and run by `scripts/test chart`.
//!
//! What is rendered is compared with the files in `golden`; `ENVLATCH_BLESS=1 scripts/test chart` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env::var_os;
use std::fs;
use std::path::Path;
use std::process::Output;

use envlatch_test_support::{ExampleChart, chart, helm};

/// Every value at something else than its default.
const ALL_VALUES: [&str; 7] = [
    "image.registry=registry.example.com:5000/tools",
    "image.tag=1.2.3",
    "image.pullPolicy=Always",
    "imagePullSecrets[0].name=pull",
    "launcher.image=envlatch-launcher",
    "launcher.mountPath=/launcher",
    "launcher.resources=null",
];

fn set(values: &[&str]) -> Vec<String> {
    let flags = values.iter().map(|value| format!("--set={value}"));
    flags.collect()
}

/// `helm template` of a chart as release `demo`.
fn template(chart: &Path, options: &[String]) -> Output {
    let mut words = vec!["template", "demo", chart.to_str().unwrap()];
    words.extend(options.iter().map(String::as_str));
    helm(&words)
}

#[track_caller]
fn success(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn golden(name: &str, rendered: &str) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/chart/golden/{name}.yaml"));
    if var_os("ENVLATCH_BLESS").is_some() {
        fs::write(&file, rendered).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == rendered,
        "{} differs; if it should, ENVLATCH_BLESS=1 scripts/test chart\n{rendered}",
        file.display()
    );
}

#[test]
#[ignore = "needs helm"]
fn the_charts_pass_lint() {
    success(&helm(&["lint", "--strict", chart().to_str().unwrap()]));
    let example = ExampleChart::new();
    success(&helm(&[
        "lint",
        "--strict",
        example.path().to_str().unwrap(),
    ]));
}

#[test]
#[ignore = "needs helm"]
fn the_chart_renders_as_before() {
    let rendered = success(&template(&chart(), &[]));
    golden("defaults", &rendered);
    let rendered = success(&template(&chart(), &set(&ALL_VALUES)));
    golden("all-values", &rendered);
}

#[test]
#[ignore = "needs helm"]
fn the_services_render_as_before() {
    let csi = ["csi.enabled=true"];
    // Every value of the plugin at something else than its default.
    let csi_all_values = [
        "csi.enabled=true",
        "csi.image=secrets",
        "csi.driverNames={csi.envlatch.io,secrets-store.csi.k8s.io}",
        "csi.tokenAudiences={vault,openbao}",
        "csi.crds=false",
        "csi.kubeletDir=/data/kubelet",
        "csi.refresh=1h",
        "csi.allowWritable=true",
        "csi.podStatus=true",
        "csi.budget.node=1GiB",
        "csi.budget.namespace=128MiB",
        "csi.limits.volumeSize=8MiB",
        "csi.limits.volumeFiles=2000000",
        "csi.limits.stateSize=32MiB",
        "csi.limits.publishTimeout=30s",
        "csi.logLevel=debug",
        "csi.logFormat=json",
        "csi.maxUnavailable=2",
        "csi.tolerations[0].key=team",
        "csi.nodeSelector.team=a",
        "csi.podAnnotations.team=a",
        "csi.resources.limits.memory=2Gi",
    ];
    let operator = [
        "operator.enabled=true",
        "operator.namespaces[0].name=shop",
        "operator.namespaces[0].serviceAccounts={app}",
    ];
    let everywhere = [
        "operator.enabled=true",
        "operator.allNamespaces=true",
        "operator.replicas=3",
        "operator.shards=3",
        "operator.crds=false",
    ];
    for (name, values) in [
        ("csi", &csi[..]),
        ("csi-all-values", &csi_all_values),
        ("operator", &operator),
        ("operator-everywhere", &everywhere),
    ] {
        let mut options = set(values);
        // What depends on the cluster's version is there from this one on.
        options.push("--kube-version=1.36.0".to_owned());
        golden(name, &success(&template(&chart(), &options)));
    }
}

/// The files of all volumes, and what is remembered about them, are charged to the plugin.
#[test]
#[ignore = "needs helm"]
fn a_memory_limit_below_the_budget_is_refused() {
    for (limit, state, fits) in [
        ("128Mi", "16MiB", false),
        ("319Mi", "16MiB", false),
        ("320Mi", "16MiB", true),
        ("320Mi", "17MiB", false),
        ("1Gi", "17MiB", true),
    ] {
        let limit = format!("csi.resources.limits.memory={limit}");
        let state = format!("csi.limits.stateSize={state}");
        let output = template(&chart(), &set(&["csi.enabled=true", &limit, &state]));
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), fits, "{limit} {state}: {text}");
        assert!(fits || text.contains("csi.budget.node"), "{limit}: {text}");
    }
}

/// What is printed when the chart is installed, without a cluster.
fn notes(values: &[&str]) -> String {
    let chart = chart();
    let mut words = vec!["install", "demo", "--dry-run=client", "--namespace=ns"];
    let values = set(values);
    words.push(chart.to_str().unwrap());
    words.extend(values.iter().map(String::as_str));
    let text = success(&helm(&words));
    let (_, notes) = text.split_once("\nNOTES:\n").unwrap();
    notes.to_owned()
}

#[test]
#[ignore = "needs helm"]
fn the_notes_say_what_runs_and_what_comes_next() {
    const NOTHING: &str = "Nothing runs";
    const CSI: &str = "--namespace ns rollout status daemonset/demo-csi";
    const OPERATOR: &str = "--namespace ns rollout status deployment/demo-operator";
    let (csi, operator) = ("csi.enabled=true", "operator.enabled=true");
    for (values, expected) in [
        (&[][..], &[NOTHING][..]),
        (&[csi], &[CSI]),
        (&["operator.allNamespaces=true", operator], &[OPERATOR]),
        (
            &["operator.allNamespaces=true", operator, csi],
            &[CSI, OPERATOR],
        ),
    ] {
        let notes = notes(values);
        for text in [NOTHING, CSI, OPERATOR] {
            assert_eq!(
                notes.contains(text),
                expected.contains(&text),
                "{values:?}: {notes}"
            );
        }
        assert!(notes.contains("helm test demo --namespace ns"), "{notes}");
    }
}

#[test]
#[ignore = "needs helm"]
fn the_api_servers_own_audience_is_warned_of() {
    for (values, warns) in [
        (
            &["csi.enabled=true", "csi.tokenAudiences={vault}"][..],
            false,
        ),
        (&["csi.enabled=true", "csi.tokenAudiences={vault,}"], true),
        (&["csi.enabled=true", "csi.tokenAudiences[0]="], true),
        (&["csi.tokenAudiences[0]="], false),
    ] {
        let notes = notes(values);
        let warned = notes.contains("WARNING: csi.tokenAudiences");
        assert_eq!(warned, warns, "{values:?}: {notes}");
    }
}

#[test]
#[ignore = "needs helm"]
fn the_example_of_a_users_chart_renders_as_before() {
    let example = ExampleChart::new();
    golden("example", &success(&template(&example.path(), &[])));
    let values: Vec<String> = ALL_VALUES
        .iter()
        .map(|value| format!("--set=envlatch.{value}"))
        .collect();
    golden(
        "example-all-values",
        &success(&template(&example.path(), &values)),
    );
}

#[test]
#[ignore = "needs helm"]
fn a_wrong_value_is_refused_by_name() {
    let cases = [
        ("image.tagg=1", "tagg"),
        ("image.tag=a b", "/image/tag"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.registry=", "/image/registry"),
        ("image.registry=registry.example.com/", "/image/registry"),
        ("launcher.image=Envlatch", "/launcher/image"),
        ("launcher.mountPath=envlatch", "/launcher/mountPath"),
        // A file in the launcher's image: the container that copies could not start.
        ("launcher.mountPath=/envlatch", "/launcher/mountPath"),
        ("launcher.resources=16Mi", "/launcher/resources"),
        ("imagePullSecrets[0]=pull", "/imagePullSecrets/0"),
        ("webhook.enabled=true", "webhook"),
        ("csi.driverNames={-a}", "/csi/driverNames/0"),
        ("csi.kubeletDir=kubelet", "/csi/kubeletDir"),
        ("csi.budget.node=64MB", "/csi/budget/node"),
        ("csi.limits.volumeSize=4M", "/csi/limits/volumeSize"),
        ("csi.limits.volumeFiles=0", "/csi/limits/volumeFiles"),
        ("csi.limits.stateSize=0MiB", "/csi/limits/stateSize"),
        // Less than one attempt takes, and as much as kubelet waits.
        ("csi.limits.publishTimeout=9s", "/csi/limits/publishTimeout"),
        (
            "csi.limits.publishTimeout=120s",
            "/csi/limits/publishTimeout",
        ),
        ("csi.maxUnavailable=0", "/csi/maxUnavailable"),
    ];
    for (value, place) in cases {
        let output = template(&chart(), &set(&[value]));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{value} was accepted");
        assert!(text.contains(place), "{value}: no {place} in {text}");
    }
}

#[test]
#[ignore = "needs helm"]
fn a_chart_that_forgot_the_dependency_is_told() {
    let example = ExampleChart::new();
    let templates = chart().join("templates/_launcher.tpl");
    let folder = example.path();
    fs::copy(templates, folder.join("templates/_launcher.tpl")).unwrap();
    fs::remove_dir_all(folder.join("charts")).unwrap();
    fs::write(
        folder.join("Chart.yaml"),
        "{apiVersion: v2, name: example, version: 0.1.0}",
    )
    .unwrap();
    fs::write(folder.join("values.yaml"), "{}").unwrap();
    let output = template(&example.path(), &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("dependencies"),
        "{text}"
    );
}

/// A value without a comment is a value that nobody can set without reading templates.
#[test]
fn every_value_has_a_comment() {
    let text = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut values = 0;
    for pair in lines.windows(2) {
        let (before, line) = (pair[0].trim(), pair[1].trim());
        let is_key = !line.starts_with('#') && line.contains(':');
        let is_group = line.ends_with(':');
        // `resources` is an object of Kubernetes; its comment is at its head.
        let is_within = pair[1].starts_with("    ");
        if is_key && !is_group && !is_within {
            assert!(before.starts_with('#'), "no comment before: {line}");
            values += 1;
        }
    }
    assert!(values >= 6, "only {values} values were found");
}
