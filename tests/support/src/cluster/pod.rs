//! A pod, and what can be expected of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Namespace, soon};
use crate::report::Report;

/// A pod of a test's namespace.
pub struct Pod<'a> {
    namespace: &'a Namespace,
    name: String,
}

/// How a container ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; 128 and the signal's number when one ended it
    pub code: i64,
    /// What it wrote to its termination log
    pub message: String,
}

// === impl Pod ===

impl<'a> Pod<'a> {
    pub(super) fn new(namespace: &'a Namespace, name: &str) -> Self {
        Self {
            namespace,
            name: name.to_owned(),
        }
    }

    /// The object as it is now.
    #[track_caller]
    #[must_use]
    pub fn object(&self) -> Value {
        self.try_object()
            .unwrap_or_else(|| panic!("pod {} is gone", self.name))
    }

    /// The object's uid.
    #[track_caller]
    #[must_use]
    pub fn uid(&self) -> String {
        let uid = self.object()["metadata"]["uid"].clone();
        uid.as_str().expect("objects have uids").to_owned()
    }

    fn try_object(&self) -> Option<Value> {
        let path = self.namespace.path(&format!("pods/{}", self.name));
        let cluster = self.namespace.cluster;
        let (status, object) = cluster.try_request("GET", &path, &Value::Null);
        (status == 200).then_some(object)
    }

    /// Waits until all its containers run.
    #[track_caller]
    pub fn runs(&self) -> &Self {
        self.until("runs", |pod| {
            let statuses = pod["status"]["containerStatuses"].as_array()?;
            statuses
                .iter()
                .all(|container| !container["state"]["running"].is_null())
                .then_some(())
        });
        self
    }

    /// Waits until its first container has ended, the first time if it is restarted.
    #[track_caller]
    pub fn ended(&self) -> Ended {
        self.until("ends", |pod| ended(&pod["status"]["containerStatuses"][0]))
    }

    /// Waits until `probe` finds in the object what it looks for.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut probe: impl FnMut(&Value) -> Option<T>) -> T {
        let what = format!("pod {} {what}", self.name);
        soon(&what, || self.try_object().and_then(|pod| probe(&pod)))
    }

    /// Waits until it is gone from the API server.
    #[track_caller]
    pub fn is_gone(&self) {
        let what = format!("pod {} is gone", self.name);
        soon(&what, || self.try_object().is_none().then_some(()));
    }

    /// What its container has written so far; nothing before it has started. `container` may be empty when it has but one. Until kubelet
    /// answers, as after it was started again, the log is asked for anew.
    #[track_caller]
    #[must_use]
    pub fn log(&self, container: &str) -> Vec<u8> {
        let query = format!("pods/{}/log?container={container}", self.name);
        let path = self.namespace.path(&query);
        let api = &self.namespace.cluster.api;
        soon(&format!("pod {} has a log", self.name), || {
            match api.bytes("GET", &path, &Value::Null) {
                Ok((200, log)) => Some(log),
                Ok((204 | 400 | 404, _not_started)) => Some(Vec::new()),
                _ => None,
            }
        })
    }

    /// Waits until its first container has written `text`.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let what = format!("pod {} says {text:?}", self.name);
        let container = self.object()["spec"]["containers"][0]["name"].clone();
        let container = container.as_str().expect("containers have names");
        soon(&what, || {
            String::from_utf8_lossy(&self.log(container))
                .contains(text)
                .then_some(())
        });
    }

    /// What the test program of its only container reports. A container's log has no more than whole lines before it ends, and
    /// a report is none: a program that goes on prints an empty line after it.
    #[track_caller]
    #[must_use]
    pub fn report(&self) -> Report {
        let what = format!("pod {} reports", self.name);
        soon(&what, || {
            let log = self.log("");
            Report::parse(log.strip_suffix(b"\n").unwrap_or(&log))
        })
    }

    /// Runs a command in its first container, as `kubectl exec` does.
    #[must_use]
    pub fn exec(&self, command: &[&str]) -> Output {
        self.exec_with(&[], command)
    }

    /// The same in the container of this name.
    #[must_use]
    pub fn exec_in(&self, container: &str, command: &[&str]) -> Output {
        self.exec_with(&["--container", container], command)
    }

    fn exec_with(&self, options: &[&str], command: &[&str]) -> Output {
        let namespace = self.namespace.name();
        let words = ["exec", "--namespace", namespace, &self.name];
        let words = [&words, options, &["--"], command].concat();
        self.namespace.cluster.kubectl(&words)
    }

    /// Asks for its deletion with this grace period, and returns at once.
    pub fn delete(&self, grace: Duration) {
        let path = self.namespace.path(&format!("pods/{}", self.name));
        let options = json!({"gracePeriodSeconds": grace.as_secs()});
        self.namespace.cluster.request("DELETE", &path, &options);
    }

    /// The most memory that its containers ever had together, in bytes: everything that the kernel charges them for.
    #[track_caller]
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let group = self.memory_group();
        // Version 2, then version 1.
        let file = ["memory.peak", "memory.max_usage_in_bytes"]
            .iter()
            .map(|name| group.join(name))
            .find(|path| path.exists())
            .expect("the kernel counts memory");
        let text = fs::read_to_string(file).expect("the pod exists");
        text.trim().parse().expect("the kernel writes numbers")
    }

    /// The directory of the control group that all its containers are in.
    fn memory_group(&self) -> PathBuf {
        let uid = self.uid();
        let folders = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];
        folders
            .iter()
            .find_map(|folder| find(Path::new(folder), &format!("pod{uid}")))
            .expect("a pod has a control group")
    }
}

/// The directory called `name` below `folder`.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .find_map(|entry| {
            if entry.file_name() == name {
                Some(entry.path())
            } else {
                find(&entry.path(), name)
            }
        })
}

fn ended(container: &Value) -> Option<Ended> {
    let state = ["state", "lastState"]
        .iter()
        .map(|state| &container[*state]["terminated"])
        .find(|state| !state.is_null())?;
    Some(Ended {
        code: state["exitCode"].as_i64()?,
        message: state["message"].as_str().unwrap_or_default().to_owned(),
    })
}

/// `spec` of a pod, or of a controller's template, with everything that Pod Security `restricted` demands, images that are never pulled, and no restarts; what it
/// says itself is kept.
#[must_use]
pub fn restricted(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let default = |object: &mut Value, key: &str, value: Value| {
        if object[key].is_null() {
            object[key] = value;
        }
    };
    default(&mut spec, "restartPolicy", json!("Never"));
    default(&mut spec, "terminationGracePeriodSeconds", json!(1));
    default(&mut spec, "enableServiceLinks", json!(false));
    let identity = json!({
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    default(&mut spec, "securityContext", identity);
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let rights = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            });
            default(container, "securityContext", rights);
            default(container, "imagePullPolicy", json!("Never"));
        }
    }
    spec
}
