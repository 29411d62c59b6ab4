//! An operator for each test, installed from the chart for the test's own namespace alone, so that tests share neither its log nor its
//! rights.

use std::sync::OnceLock;
use std::time::Duration;

use data_encoding::BASE64;
use envlatch_test_support::{Cluster, Namespace, chart, eventually, helm, pids_of};
use serde_json::{Value, json};

/// An image of `scripts/images`.
pub(crate) const SHELL: &str = "envlatch.test/shell:dev";

/// The VaultStore of the shared Vault. It has a name of its own and is not the default one, because the node plugin's tests, which run at
/// the same time, have theirs.
const STORE: &str = "operator";

/// How long anything may take; it takes a tenth of this on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(180);

/// Longer than any reaction that must not come would take.
pub(crate) const QUIET: Duration = Duration::from_secs(4);

/// An operator and the namespace that it is in; uninstalled with the value.
pub(crate) struct Operator {
    release: String,
    home: Namespace,
    cluster: &'static Cluster,
}

/// The cluster with our definitions in it and a store for the shared Vault that lets every namespace use every role.
pub(crate) fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| {
        let crds = chart().join("files/crds.yaml");
        cluster.apply_file(&crds, "helm");
        cluster.store(STORE, cluster.vault(), &json!({}));
    });
    cluster
}

/// A namespace whose accounts may read `db` in the shared Vault.
pub(crate) fn team(hint: &str, data: &Value) -> Namespace {
    let cluster = cluster();
    let namespace = cluster.namespace(hint);
    namespace.put(cluster.vault(), "db", data);
    namespace
}

/// A SecretBundle of every key of `db` in the role of the namespace, with `spec` and `sync` beside what is needed.
pub(crate) fn bundle(namespace: &Namespace, name: &str, spec: &Value, sync: &Value) {
    let mut whole = json!({
        "store": STORE,
        "role": namespace.name(),
        "refresh": "24h",
        "entries": [{
            "name": "all",
            "path": format!("secret/data/{}/db", namespace.name()),
            "allKeys": true,
        }],
        "sync": {"serviceAccount": "default", "secretName": name},
    });
    extend(&mut whole, spec);
    extend(&mut whole["sync"], sync);
    namespace.apply(json!({
        "apiVersion": "envlatch.io/v1alpha1",
        "kind": "SecretBundle",
        "metadata": {"name": name},
        "spec": whole,
    }));
}

fn extend(object: &mut Value, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
}

/// Where the objects of a kind are.
pub(crate) fn path(namespace: &Namespace, kind: &str, name: &str) -> String {
    let group = match kind {
        "secretbundles" => "apis/envlatch.io/v1alpha1",
        "deployments" => "apis/apps/v1",
        "leases" => "apis/coordination.k8s.io/v1",
        _ => "api/v1",
    };
    format!("/{group}/namespaces/{}/{kind}/{name}", namespace.name())
}

/// An object; null when there is none.
pub(crate) fn get(namespace: &Namespace, kind: &str, name: &str) -> Value {
    let (status, object) = cluster().try_request("GET", &path(namespace, kind, name), &Value::Null);
    if status == 200 { object } else { Value::Null }
}

/// Deletes an object, which must be there.
pub(crate) fn delete(namespace: &Namespace, kind: &str, name: &str) {
    cluster().request("DELETE", &path(namespace, kind, name), &Value::Null);
}

/// What a Secret holds; null when there is none.
pub(crate) fn content(namespace: &Namespace, name: &str) -> Value {
    let secret = get(namespace, "secrets", name);
    let text = |value: &Value| {
        String::from_utf8(BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()).unwrap()
    };
    let data = secret["data"].as_object();
    data.map_or(Value::Null, |data| {
        let texts = data.iter().map(|(key, value)| (key.clone(), text(value)));
        json!(texts.collect::<std::collections::BTreeMap<_, _>>())
    })
}

/// Waits until a Secret holds this.
#[track_caller]
pub(crate) fn until_content(namespace: &Namespace, name: &str, wanted: &Value) {
    eventually(&format!("Secret {name} to hold {wanted}"), SOON, || {
        (content(namespace, name) == *wanted).then_some(())
    });
}

/// Waits until the condition Ready of a bundle has this reason, for its present generation.
#[track_caller]
pub(crate) fn until(namespace: &Namespace, bundle: &str, reason: &str) -> Value {
    eventually(&format!("{bundle} to be {reason}"), SOON, || {
        let found = get(namespace, "secretbundles", bundle);
        let conditions = found["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|one| one["type"] == "Ready")?;
        let current = ready["observedGeneration"] == found["metadata"]["generation"];
        (current && ready["reason"] == reason).then_some(found.clone())
    })
}

// === impl Operator ===

impl Operator {
    /// Installs one for the bundles of `team` that log in as its account `default`.
    pub(crate) fn install(team: &Namespace, values: &[&str]) -> Self {
        let namespaces = [
            format!("operator.namespaces[0].name={}", team.name()),
            "operator.namespaces[0].serviceAccounts={default}".to_owned(),
        ];
        let namespaces = namespaces.iter().map(String::as_str);
        Self::install_as(
            &team.name().replace('.', "-"),
            &namespaces.chain(values.iter().copied()).collect::<Vec<_>>(),
        )
    }

    /// Installs one with these values, as a release of this name.
    pub(crate) fn install_as(release: &str, values: &[&str]) -> Self {
        let cluster = cluster();
        let operator = Self {
            release: release.to_owned(),
            home: cluster.namespace("operator"),
            cluster,
        };
        operator.upgrade(values);
        operator
    }

    /// Installs or upgrades the release, and waits until it is ready.
    pub(crate) fn upgrade(&self, values: &[&str]) {
        let fixed = [
            "image.registry=envlatch.test",
            "image.tag=dev",
            "image.pullPolicy=Never",
            "operator.enabled=true",
            "operator.image=operator",
            "operator.crds=false",
            "operator.logLevel=trace",
            // A program that is not optimised is larger.
            "operator.resources=null",
        ];
        let set = |value: &&str| format!("--set={value}");
        let values: Vec<String> = fixed.iter().chain(values).map(set).collect();
        let chart = chart();
        let namespace = format!("--namespace={}", self.home.name());
        let mut words = vec![
            "upgrade",
            "--install",
            &self.release,
            chart.to_str().unwrap(),
            &namespace,
        ];
        words.extend(["--wait", "--timeout=180s", "--take-ownership"]);
        words.extend(values.iter().map(String::as_str));
        let installed = helm(&words);
        assert!(
            installed.status.success(),
            "{}\n{installed:?}",
            self.home.story()
        );
    }

    /// Has so many replicas run, and waits until they do.
    #[track_caller]
    pub(crate) fn scale(&self, replicas: usize) {
        let deployment = format!("deployment/{}-operator", self.release);
        let number = format!("--replicas={replicas}");
        let words = ["scale", &deployment, &number, "--namespace", self.home()];
        let scaled = self.cluster.kubectl(&words);
        assert!(scaled.status.success(), "{scaled:?}");
        eventually(&format!("{replicas} replicas"), SOON, || {
            (self.pods().len() == replicas).then_some(())
        });
    }

    /// Uninstalls the release and waits until its pods are gone.
    #[track_caller]
    pub(crate) fn uninstall(&self) {
        let namespace = format!("--namespace={}", self.home.name());
        let gone = helm(&[
            "uninstall",
            &self.release,
            &namespace,
            "--wait",
            "--timeout=180s",
        ]);
        assert!(gone.status.success(), "{gone:?}");
    }

    /// The namespace that it is in.
    pub(crate) fn home(&self) -> &str {
        self.home.name()
    }

    /// The names of its pods.
    pub(crate) fn pods(&self) -> Vec<String> {
        self.home.pods("app.kubernetes.io/name=envlatch-operator")
    }

    /// The pod that has worked on something of `team`, among those that run.
    #[track_caller]
    pub(crate) fn worker(&self, team: &Namespace) -> String {
        eventually("a replica to work", SOON, || {
            let works = |pod: &String| {
                let log = self.home.existing_pod(pod).log("");
                String::from_utf8_lossy(&log).contains(&format!("{}/app: synced", team.name()))
            };
            self.pods().into_iter().find(works)
        })
    }

    /// Ends the process of one of its pods as `kill -9` does.
    pub(crate) fn kill(&self, pod: &str) {
        let object = get(&self.home, "pods", pod);
        let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
        let found = std::process::Command::new("pgrep")
            .args(["--full", "^/envlatch-operator"])
            .output()
            .unwrap();
        let of_pod = |pid: &i32| {
            std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
                .is_ok_and(|groups| groups.contains(&uid))
        };
        let pids: Vec<i32> = pids_of(&found).into_iter().filter(of_pod).collect();
        assert!(!pids.is_empty(), "{pod} does not run");
        for pid in pids {
            let killed = std::process::Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status()
                .unwrap();
            assert!(killed.success());
        }
    }

    /// What all of its pods have logged.
    pub(crate) fn log(&self) -> Vec<u8> {
        let pods = self.pods();
        pods.iter()
            .flat_map(|pod| self.home.existing_pod(pod).log(""))
            .collect()
    }

    /// What the metrics of one of its pods say.
    pub(crate) fn metrics(&self) -> String {
        let pod = self.pods().pop().unwrap();
        let path = path(&self.home, "pods", &format!("{pod}:9897/proxy/metrics"));
        let (status, text) = self.cluster.try_request("GET", &path, &Value::Null);
        assert_eq!(status, 200, "{text}");
        text.as_str().unwrap().to_owned()
    }

    /// A token of its own account.
    pub(crate) fn token(&self) -> String {
        self.cluster
            .token(self.home.name(), &format!("{}-operator", self.release), &[])
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = String::from_utf8_lossy(&self.log()).into_owned();
            let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
            eprintln!(
                "{}",
                warnings[warnings.len().saturating_sub(15)..].join("\n")
            );
        }
        let namespace = format!("--namespace={}", self.home.name());
        // Fails when the test has done it already, which is what is wanted.
        drop(helm(&["uninstall", &self.release, &namespace]));
    }
}
