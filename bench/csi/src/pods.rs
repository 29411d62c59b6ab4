//! The real cluster with the plugin in it, and many pods at once.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use envlatch_bench_report::Report;
use envlatch_test_support::plugin::{self, DRIVER, SHELL};
use envlatch_test_support::{Cluster, Namespace, cpu_seconds, eventually, memory_kib};
use serde_json::{Value, json};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);
/// How long the plugin has to become quiet.
const SETTLE: Duration = Duration::from_secs(3);
const IMAGE: &str = "envlatch.test/csi:dev";

/// The cluster, with the plugin as users install it.
pub(crate) fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| {
        plugin::install(cluster, &[]);
        cluster.store("shared", cluster.vault(), &json!({"default": true}));
    });
    cluster
}

/// Size of the plugin's image, as the node keeps it.
pub(crate) fn image(report: &mut Report) {
    // Kubelet reports an image a moment after it has come.
    let bytes = eventually("the node knows the plugin's image", DEADLINE, || {
        let nodes = cluster().request("GET", "/api/v1/nodes", &Value::Null);
        let images = nodes["items"][0]["status"]["images"].as_array()?;
        let named = |image: &&Value| {
            let names = image["names"].as_array().into_iter().flatten();
            names.into_iter().any(|name| name == IMAGE)
        };
        images.iter().find(named)?["sizeBytes"].as_f64()
    });
    report.section("the image");
    report.figure("image_bytes", "bytes of the image on a node", bytes, 0);
}

/// A volume of the bundle `app`.
pub(crate) fn volume() -> Value {
    plugin::volume_of(DRIVER, "secrets", &json!({"bundle": "app"}))
}

/// Five secrets at five paths, and a bundle of them.
pub(crate) fn five_paths(namespace: &Namespace) {
    let paths = crate::publish::paths();
    for path in &paths {
        namespace.put(cluster().vault(), path, &json!({"value": path}));
    }
    let references: Vec<String> = paths.iter().map(|path| format!("{path}#value")).collect();
    let entries = paths.iter().zip(&references);
    let entries: Vec<_> = entries
        .map(|(path, reference)| (path.as_str(), reference.as_str()))
        .collect();
    plugin::bundle(namespace, "app", &entries, &json!({"refresh": "24h"}));
}

/// Creates this many pods, with a volume or without, and waits until all of them run. Seconds from the first request on.
pub(crate) fn start(namespace: &Namespace, count: usize, volume: Option<&Value>) -> f64 {
    let mut container = json!({"name": "app", "image": SHELL, "command": ["sleep", "3600"]});
    let mut spec = json!({});
    if let Some(volume) = volume {
        let mount = json!({"name": volume["name"], "mountPath": "/mnt/secrets", "readOnly": true});
        container["volumeMounts"] = json!([mount]);
        spec["volumes"] = json!([volume]);
    }
    spec["containers"] = json!([container]);
    let begin = Instant::now();
    for index in 0..count {
        namespace.pod(&format!("app-{index}"), &spec);
    }
    let all_run =
        || (list(namespace).iter().filter(|pod| runs(pod)).count() == count).then_some(());
    eventually("all pods run", DEADLINE, all_run);
    begin.elapsed().as_secs_f64()
}

/// Deletes all pods of a namespace.
pub(crate) fn end(namespace: &Namespace) {
    let options = json!({"gracePeriodSeconds": 1});
    cluster().request("DELETE", &pods(namespace), &options);
    eventually("all pods are gone", DEADLINE, || {
        list(namespace).is_empty().then_some(())
    });
}

/// Waits until nothing is left on the node of pods that have gone: kubelet removes their sandboxes once a minute, which costs
/// a burst that falls into it a tenth.
pub(crate) fn quiet() {
    eventually("the sandboxes of earlier pods are gone", DEADLINE, || {
        sleep(Duration::from_millis(500));
        let pods = cluster().request("GET", "/api/v1/pods", &Value::Null);
        let pods = pods["items"].as_array().map_or(0, Vec::len);
        (sandboxes() <= pods).then_some(())
    });
}

/// How many pods the container runtime has files of.
fn sandboxes() -> usize {
    let containerd = cluster().pids("containerd");
    let containerd = containerd.first().expect("containerd runs");
    let folder = "run/containerd/io.containerd.grpc.v1.cri/sandboxes";
    let folder = fs::read_dir(format!("/proc/{containerd}/root/{folder}"));
    folder.expect("containerd keeps it").count()
}

fn pods(namespace: &Namespace) -> String {
    format!("/api/v1/namespaces/{}/pods", namespace.name())
}

fn list(namespace: &Namespace) -> Vec<Value> {
    // Often enough to be exact to a hundredth of what is measured, and seldom enough to take nothing from the pods.
    sleep(Duration::from_millis(60));
    let list = cluster().request("GET", &pods(namespace), &Value::Null);
    list["items"].as_array().cloned().unwrap_or_default()
}

fn runs(pod: &Value) -> bool {
    !pod["status"]["containerStatuses"][0]["state"]["running"].is_null()
}

/// How often the plugin logged in, and read below this namespace's part of `secret/`.
pub(crate) fn asked(namespace: &Namespace) -> (usize, usize) {
    let audit = cluster().vault().audit();
    let count = |begins: &str| {
        let of_it = audit.iter().filter(|(_, path)| path.starts_with(begins));
        of_it.count()
    };
    let reads = format!("secret/data/{}/", namespace.name());
    (count("auth/kubernetes/login"), count(&reads))
}

/// A plugin that has seen nothing yet.
pub(crate) fn restart() {
    plugin::restart(cluster());
    sleep(SETTLE);
}

/// Processor time of the plugin so far, in milliseconds.
pub(crate) fn cpu_ms() -> f64 {
    let pids = plugin::pids(cluster());
    pids.into_iter().map(cpu_seconds).sum::<f64>() * 1e3
}

/// Records resident memory of both processes, and beside it the files that the kernel charges their container for.
pub(crate) fn memory(report: &mut Report, volumes: &str) -> Result<()> {
    sleep(SETTLE);
    let pids = plugin::pids(cluster());
    let rss: u64 = pids.iter().map(|pid| memory_kib(*pid, "VmRSS")).sum();
    let first = pids.first().context("the plugin runs")?;
    let shmem = shmem_kib(*first)?;
    report.figure(
        &format!("rss_{volumes}_kib"),
        &format!("memory of both processes, {volumes}, KiB"),
        rss as f64,
        0,
    );
    report.figure(
        &format!("shmem_{volumes}_kib"),
        "files charged to the container, KiB",
        shmem,
        0,
    );
    Ok(())
}

fn shmem_kib(pid: i32) -> Result<f64> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    // Version 1 has a line of its own for memory, version 2 has one line.
    let group = groups
        .lines()
        .find_map(|line| Some(("memory", line.split_once(":memory:")?.1)))
        .or_else(|| {
            groups
                .lines()
                .find_map(|line| Some(("", line.strip_prefix("0::")?)))
        });
    let (folder, group) = group.context("the plugin is in a control group")?;
    let path = Path::new("/sys/fs/cgroup")
        .join(folder)
        .join(group.trim_start_matches('/'))
        .join("memory.stat");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("shmem "));
    let bytes: f64 = line.context("shmem is counted")?.parse()?;
    Ok(bytes / 1024.0)
}
