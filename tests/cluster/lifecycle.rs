//! The cluster itself, when parts of it die or are left behind. These have a cluster of their own, beside the shared one.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use envlatch_test_support::{Cluster, eventually, pids_of};

/// How long the end of a process may take.
const SOON: Duration = Duration::from_secs(120);

/// Every program that `up` starts.
const PARTS: [&str; 9] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "vault",
    "containerd",
    "kubelet",
    "kube-proxy",
    "coredns",
];

/// A cluster that is gone when the test ends, however it ends.
struct Own(&'static str);

// === impl Own ===

impl Own {
    #[track_caller]
    fn succeeds(&self, words: &[&str]) -> Output {
        let output = Cluster::script_for(self.0, words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    fn pids(&self, part: &str) -> Vec<i32> {
        pids_of(&Cluster::script_for(self.0, &["pid", part]))
    }

    fn kill(&self, part: &str) {
        for pid in self.pids(part) {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    }

    /// A pod that does nothing, so that there are containers, their mounts and control groups.
    fn pod_runs(&self) {
        self.succeeds(&["kubectl", "run", "idle", "--image=envlatch.test/pause:1"]);
        self.pod_is_ready();
    }

    fn pod_is_ready(&self) {
        self.succeeds(&[
            "kubectl",
            "wait",
            "--for=condition=Ready",
            "pod/idle",
            "--timeout=180s",
        ]);
    }

    /// The first process of its namespaces.
    fn init(&self) -> Option<i32> {
        let name = format!("envlatch-cluster-{} -P", self.0);
        let output = Command::new("pgrep")
            .args(["--full", "--exact", &name])
            .output()
            .unwrap();
        pids_of(&output).first().copied()
    }

    fn leaves_nothing(&self) {
        assert_eq!(self.init(), None);
        let folder = Path::new("/var/cache/envlatch-cluster").join(self.0);
        assert!(!folder.exists(), "{} is left", folder.display());
        let groups = Command::new("find")
            .args(["/sys/fs/cgroup", "-name", &format!("envlatch-{}", self.0)])
            .output()
            .unwrap();
        assert!(
            groups.stdout.is_empty(),
            "control groups are left: {groups:?}"
        );
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&format!("envlatch-cluster/{}", self.0)));
        let processes = Command::new("pgrep")
            .args(["--full", &format!("envlatch-cluster/{}/", self.0)])
            .output()
            .unwrap();
        assert!(
            processes.stdout.is_empty(),
            "processes are left: {processes:?}"
        );
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = Cluster::script_for(self.0, &["down"]);
    }
}

#[test]
#[ignore = "needs the cluster"]
fn up_heals_what_was_killed_and_down_leaves_nothing() {
    let cluster = Own("faults");
    cluster.succeeds(&["up"]);
    let before = PARTS.map(|part| cluster.pids(part));
    assert!(before.iter().all(|pids| pids.len() == 1), "{before:?}");
    cluster.succeeds(&["up"]);
    assert_eq!(
        PARTS.map(|part| cluster.pids(part)),
        before,
        "a second `up` starts nothing"
    );

    cluster.pod_runs();
    // Every part at once: data directories stay locked, sockets stay behind.
    for part in PARTS {
        cluster.kill(part);
    }
    for part in PARTS {
        eventually(&format!("{part} to end"), SOON, || {
            cluster.pids(part).is_empty().then_some(())
        });
    }
    let status = Cluster::script_for(cluster.0, &["status"]);
    let shown = String::from_utf8_lossy(&status.stdout).into_owned();
    assert_eq!(
        shown.matches("down; start it again").count(),
        PARTS.len(),
        "{shown}"
    );
    cluster.succeeds(&["up"]);
    for (part, pids) in PARTS.iter().zip(&before) {
        let now = cluster.pids(part);
        assert!(now.len() == 1 && now != *pids, "{part}: {now:?}");
    }
    cluster.succeeds(&["kubectl", "get", "node", "node-1"]);
    cluster.succeeds(&["vault", "kv", "get", "secret/app"]);
    cluster.pod_is_ready();
    let restarts = "--output=jsonpath={.status.containerStatuses[0].restartCount}";
    let restarts = cluster.succeeds(&["kubectl", "get", "pod", "idle", restarts]);
    assert_eq!(restarts.stdout, b"0", "containers outlive the parts");
    cluster.succeeds(&["down"]);
    cluster.leaves_nothing();
    cluster.succeeds(&["down"]);
}

/// As after a crash of everything: files are there, and nothing else.
#[test]
#[ignore = "needs the cluster"]
fn what_a_crash_left_is_in_nobodys_way() {
    let cluster = Own("crash");
    cluster.succeeds(&["up"]);
    cluster.pod_runs();
    let init = cluster.init().unwrap();
    let pid = nix::unistd::Pid::from_raw(init);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    while cluster.init().is_some() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = Cluster::script_for(cluster.0, &["status"]);
    assert!(!status.status.success());
    let asked = Cluster::script_for(cluster.0, &["kubectl", "get", "nodes"]);
    let text = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(
        !asked.status.success() && text.contains("cluster crash does not run; start it"),
        "{asked:?}"
    );
    cluster.succeeds(&["up"]);
    cluster.succeeds(&["kubectl", "get", "node", "node-1"]);
    cluster.pod_runs();
    let pid = nix::unistd::Pid::from_raw(cluster.init().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    cluster.succeeds(&["down"]);
    cluster.leaves_nothing();
}

#[test]
#[ignore = "needs the cluster"]
fn without_root_it_says_why_root_is_needed() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster");
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "bash",
        ])
        // The checkout may be where only its owner may look.
        .args([
            "-c",
            &std::fs::read_to_string(script).unwrap(),
            "cluster",
            "up",
        ])
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("needs root"),
        "{output:?}"
    );
}
