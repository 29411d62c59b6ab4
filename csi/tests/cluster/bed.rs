//! The plugin installed once for all tests of this process, and pods with its volumes.

use std::sync::OnceLock;
use std::time::Duration;

use envlatch_test_support::{Cluster, Namespace, Pod, Vault, eventually, plugin};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

pub(crate) use envlatch_test_support::plugin::{
    DRIVER, SHELL, bundle, log as plugin_log, metrics as plugin_metrics, pids as plugin_pids,
    refresh, shell, volume_of,
};

/// How long something may take that a pod has to start for, or to end.
pub(crate) const SOON: Duration = Duration::from_secs(180);

/// An image of `scripts/images`.
pub(crate) const APP_WITH_LAUNCHER: &str = "envlatch.test/app-with-launcher:dev";

/// The VaultStore of the shared Vault.
pub(crate) const STORE: &str = "shared";

/// The cluster with the plugin in it and a store for the shared Vault that lets every namespace use every role.
pub(crate) fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| {
        cluster.foreign_crds();
        install(&[]);
        store(cluster, STORE, &json!({"default": true}));
    });
    cluster
}

/// Installs or upgrades the chart with the plugin at its most talkative, which serves the names of other drivers as well, and
/// waits until it is ready.
pub(crate) fn install(values: &[&str]) {
    let everything = [
        "csi.podStatus=true",
        "csi.logLevel=trace",
        "csi.tokenAudiences={vault,somebody-else}",
        "csi.driverNames={csi.envlatch.io,secrets-store.csi.k8s.io,secrets-store.csi.deckhouse.io}",
    ];
    plugin::install(Cluster::shared(), &[&everything, values].concat());
}

/// A VaultStore for the shared Vault with `more` in its spec.
pub(crate) fn store(cluster: &Cluster, name: &str, more: &Value) {
    store_of(cluster, name, cluster.vault(), more);
}

/// A VaultStore for a Vault with `more` in its spec.
pub(crate) fn store_of(cluster: &Cluster, name: &str, vault: &Vault, more: &Value) {
    cluster.store(name, vault, more);
}

/// A class `app` of the Secrets Store CSI Driver in the role that has the namespace's name, with these `objects`.
pub(crate) fn class(namespace: &Namespace, objects: &str) {
    let address = cluster().vault().address();
    let parameters =
        json!({"vaultAddress": address, "roleName": namespace.name(), "objects": objects});
    namespace.apply(json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": "app"},
        "spec": {"provider": "vault", "parameters": parameters},
    }));
}

/// A volume of the class `app` under the name of the Secrets Store CSI Driver.
pub(crate) fn volume_of_class() -> Value {
    let attributes = json!({"secretProviderClass": "app"});
    volume_of("secrets-store.csi.k8s.io", "secrets", &attributes)
}

/// A volume of our driver with these attributes.
pub(crate) fn volume(name: &str, attributes: &Value) -> Value {
    volume_of(DRIVER, name, attributes)
}

/// A pod with the bundle `app` that says its `password`, whenever there is another one, and `broken` when there is none.
pub(crate) fn reader<'a>(namespace: &'a Namespace, name: &str) -> Pod<'a> {
    // A generation that is replaced between the steps of one look is gone for it, so a look is repeated once.
    let script = "look() { now=$(cat /mnt/secrets/password) && [ -n \"$now\" ]; }; while :; do \
        look || look || echo broken; \
        [ \"$now\" = \"$last\" ] || { echo \"now $now\"; last=$now; }; \
        sleep 0.1; done";
    let pod = shell(
        namespace,
        name,
        volume("secrets", &json!({"bundle": "app"})),
        script,
    );
    pod.says("now ");
    pod
}

/// Waits for an event of `FailedMount` about this pod that has all these texts, and returns its message.
#[track_caller]
pub(crate) fn warned(namespace: &Namespace, pod: &str, texts: &[&str]) -> String {
    let what = format!("an event about {pod} that says {texts:?}");
    eventually(&what, SOON, || {
        let begins = format!("FailedMount {pod} ");
        let told = |event: &String| {
            event.starts_with(&begins) && texts.iter().all(|text| event.contains(text))
        };
        namespace.events().into_iter().find(told)
    })
}

/// Kills the plugin; kubelet starts it again.
pub(crate) fn kill_plugin(cluster: &Cluster) {
    for pid in plugin_pids(cluster) {
        // One of its processes takes the other along.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Where volumes of CSI drivers are mounted on the node, sorted; a target occurs once for each mount on it.
pub(crate) fn mounts(cluster: &Cluster) -> Vec<String> {
    let mut targets: Vec<String> = mount_table(cluster)
        .iter()
        .filter_map(|line| line.split(' ').nth(4))
        .map(str::to_owned)
        .collect();
    targets.sort();
    targets
}

/// What the node's mount table says of a pod's volumes of CSI drivers. A mount has a number that no later one gets while it is there.
pub(crate) fn mount_lines(cluster: &Cluster, pod: &Pod<'_>) -> Vec<String> {
    let uid = pod.uid();
    let mut lines = mount_table(cluster);
    lines.retain(|line| line.contains(&uid));
    lines
}

fn mount_table(cluster: &Cluster) -> Vec<String> {
    let table = cluster.script(&["enter", "cat", "/proc/self/mountinfo"]);
    let text = String::from_utf8(table.stdout).unwrap();
    let volumes = text
        .lines()
        .filter(|line| line.contains("kubernetes.io~csi"));
    volumes.map(str::to_owned).collect()
}
