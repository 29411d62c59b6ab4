//! What kubelet does: makes a pod's directories, calls the plugin over its socket, and looks at the mount.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use envlatch_csi::proto::csi::identity_client::IdentityClient;
use envlatch_csi::proto::csi::node_client::NodeClient;
use envlatch_csi::proto::csi::volume_capability::{AccessType, MountVolume};
use envlatch_csi::proto::csi::{
    NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, NodePublishVolumeRequest,
    NodeUnpublishVolumeRequest, ProbeRequest, VolumeCapability,
};
use hyper_util::rt::TokioIo;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::script::Script;

/// Generous: nothing here takes a second.
const DEADLINE: Duration = Duration::from_secs(30);

/// The variable with the directory of the script, for the plugin of these tests.
pub const SCRIPT: &str = "ENVLATCH_TEST_SCRIPT";

/// A node without its plugin.
#[derive(Debug)]
pub struct Node {
    root: TempDir,
    /// For the plugins that are started, besides what tells them where they are
    environment: Vec<(String, OsString)>,
}

/// The plugin, running.
#[derive(Debug)]
pub struct Plugin {
    child: Child,
    /// Process ID of the mounter.
    pub mounter: i32,
}

/// A volume of a pod.
#[derive(Clone, Debug)]
pub struct VolumeOf {
    /// UID of the pod.
    pub pod_uid: String,
    /// Kubelet's ID of it.
    pub id: String,
    /// Where kubelet wants it.
    pub target: PathBuf,
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod's `fsGroup`.
    pub fs_group: Option<u32>,
}

/// Kubelet's connection.
#[derive(Clone, Debug)]
pub struct Call(Channel);

// === impl Node ===

impl Node {
    /// A new node. This thread, and what it starts, is in a mount namespace of its own from now on; kubelet's directory
    /// of pods is a shared mount in it, as in a plugin's container.
    #[must_use]
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root, to mount"
        );
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let node = Self {
            root,
            environment: Vec::new(),
        };
        let kubelet = node.kubelet();
        fs::create_dir(&kubelet).unwrap();
        mount(
            Some("kubelet"),
            &kubelet,
            Some("tmpfs"),
            MsFlags::empty(),
            none,
        )
        .unwrap();
        mount(none, &kubelet, none, MsFlags::MS_SHARED, none).unwrap();
        for (directory, mode) in [
            ("pods", 0o750),
            ("plugins", 0o750),
            ("plugins_registry", 0o750),
        ] {
            fs::create_dir(kubelet.join(directory)).unwrap();
            fs::set_permissions(kubelet.join(directory), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(node.script()).unwrap();
        fs::write(node.script().join("log"), "").unwrap();
        chown(node.script().join("log"), Some(65532), Some(65532)).unwrap();
        fs::write(node.messages_file(), "").unwrap();
        Script::version(1).write(&node.script());
        node
    }

    /// Gives every plugin that is started from now on this variable.
    pub fn set_env(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Kubelet's root directory.
    #[must_use]
    pub fn kubelet(&self) -> PathBuf {
        self.root.path().join("kubelet")
    }

    /// Where the script and the log of the source are.
    #[must_use]
    pub fn script(&self) -> PathBuf {
        self.root.path().join("script")
    }

    /// What the source was asked for.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.script().join("log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }

    /// What the plugins that were started have printed.
    #[must_use]
    pub fn messages(&self) -> String {
        fs::read_to_string(self.messages_file()).unwrap()
    }

    fn messages_file(&self) -> PathBuf {
        self.script().join("messages")
    }

    /// Where kubelet finds the plugin under the name `driver`.
    #[must_use]
    pub fn registration(&self, driver: &str) -> PathBuf {
        self.kubelet()
            .join(format!("plugins_registry/{driver}-reg.sock"))
    }

    /// The socket of a driver.
    #[must_use]
    pub fn socket(&self, driver: &str) -> PathBuf {
        self.kubelet().join("plugins").join(driver).join("csi.sock")
    }

    /// Starts the plugin and waits until it serves.
    #[must_use]
    pub fn start(&self, plugin: &str, arguments: &[&str]) -> Plugin {
        let messages = File::options().append(true).open(self.messages_file());
        let child = self
            .command(plugin, arguments)
            .stderr(messages.unwrap())
            .spawn()
            .unwrap();
        let mounter = child_of(child.id());
        Plugin { child, mounter }
    }

    /// Runs a plugin that is expected to end by itself.
    #[must_use]
    pub fn run(&self, plugin: &str, arguments: &[&str]) -> Output {
        self.command(plugin, arguments).output().unwrap()
    }

    fn command(&self, plugin: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(plugin);
        command
            .env_clear()
            .env("ENVLATCH_NODE_NAME", "node-1")
            .env("ENVLATCH_METRICS_ADDRESS", "127.0.0.1:0")
            .env(SCRIPT, self.script())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .arg("--kubelet-dir")
            .arg(self.kubelet())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// A volume of a new pod, whose directory kubelet has made.
    #[must_use]
    pub fn volume(&self, name: &str) -> VolumeOf {
        let pod_uid = format!("{:032x}", fastrand::u128(..));
        let parent = self
            .kubelet()
            .join(format!("pods/{pod_uid}/volumes/kubernetes.io~csi/{name}"));
        fs::create_dir_all(&parent).unwrap();
        VolumeOf {
            id: format!("csi-{pod_uid}-{name}"),
            target: parent.join("mount"),
            namespace: "shop".to_owned(),
            fs_group: None,
            pod_uid,
        }
    }

    /// A published volume as a container has it that did not ask for `readOnly`.
    #[must_use]
    pub fn writable(&self, volume: &VolumeOf) -> PathBuf {
        let container = self.script().join(&volume.pod_uid);
        fs::create_dir(&container).unwrap();
        let none = None::<&str>;
        for (source, flags) in [
            (Some(&volume.target), MsFlags::MS_BIND),
            (None, MsFlags::MS_BIND | MsFlags::MS_REMOUNT),
        ] {
            mount(source, &container, none, flags, none).unwrap();
        }
        container
    }

    /// Connects as kubelet does, waiting for the socket.
    pub async fn connect(&self, driver: &str) -> Call {
        let socket = self.socket(driver);
        let begin = Instant::now();
        loop {
            match Call::connect(&socket).await {
                Ok(mut call) => match call.probe().await {
                    Ok(true) => return call,
                    other => assert!(begin.elapsed() < DEADLINE, "not ready: {other:?}"),
                },
                Err(error) => assert!(begin.elapsed() < DEADLINE, "cannot connect: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let messages = fs::read_to_string(self.messages_file());
            eprintln!("{}", messages.unwrap_or_default());
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until `parent` has forked.
fn child_of(parent: u32) -> i32 {
    let begin = Instant::now();
    let path = format!("/proc/{parent}/task/{parent}/children");
    loop {
        let children = fs::read_to_string(&path).unwrap_or_default();
        if let Some(child) = children.split_whitespace().next() {
            return child.parse().unwrap();
        }
        assert!(
            begin.elapsed() < DEADLINE,
            "the plugin makes no second process"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

// === impl Plugin ===

impl Plugin {
    /// Process ID of the worker.
    #[must_use]
    pub fn worker(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Kills one of the processes, and waits until both are gone.
    pub fn kill(mut self, process: i32) {
        let pid = nix::unistd::Pid::from_raw(process);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        self.wait_gone();
    }

    /// Sends SIGTERM and gives the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.begin_to_end();
        self.wait_gone()
    }

    /// Sends SIGTERM.
    pub fn begin_to_end(&self) {
        let pid = nix::unistd::Pid::from_raw(self.worker());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    /// Waits until both processes are gone, and gives the exit code.
    pub fn wait_gone(&mut self) -> Option<i32> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < DEADLINE, "the worker does not end");
            std::thread::sleep(Duration::from_millis(1));
        };
        while alive(self.mounter) {
            assert!(
                begin.elapsed() < DEADLINE,
                "the mounter outlives the worker"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        status.code()
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // Already dead is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn alive(process: i32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}

// === impl VolumeOf ===

impl VolumeOf {
    /// Kubelet's message.
    #[must_use]
    pub fn publish_request(&self) -> NodePublishVolumeRequest {
        let context = [
            ("csi.storage.k8s.io/pod.name", "app-0"),
            ("csi.storage.k8s.io/pod.namespace", &self.namespace),
            ("csi.storage.k8s.io/pod.uid", &self.pod_uid),
            ("csi.storage.k8s.io/serviceAccount.name", "app"),
            ("csi.storage.k8s.io/ephemeral", "true"),
            ("bundle", "app"),
        ];
        let context: HashMap<_, _> = context
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        NodePublishVolumeRequest {
            volume_id: self.id.clone(),
            target_path: path(&self.target),
            volume_capability: Some(VolumeCapability {
                access_type: Some(AccessType::Mount(MountVolume {
                    volume_mount_group: self
                        .fs_group
                        .map(|gid| gid.to_string())
                        .unwrap_or_default(),
                    ..Default::default()
                })),
                ..Default::default()
            }),
            readonly: true,
            volume_context: context,
            ..Default::default()
        }
    }
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

// === impl Call ===

impl Call {
    /// Connects once.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn connect(socket: &Path) -> Result<Self, tonic::transport::Error> {
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://kubelet")
            .connect_with_connector(connector)
            .await
            .map(Self)
    }

    /// Its channel, for other clients.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.0.clone()
    }

    /// `Probe`.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn probe(&mut self) -> Result<bool, Status> {
        let mut client = IdentityClient::new(self.0.clone());
        let reply = client.probe(ProbeRequest {}).await?;
        Ok(reply.into_inner().ready.unwrap_or(false))
    }

    /// `NodePublishVolume`.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn publish(&self, volume: &VolumeOf) -> Result<(), Status> {
        self.publish_as(volume.publish_request()).await
    }

    /// `NodePublishVolume` with a message of the test's own.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn publish_as(&self, request: NodePublishVolumeRequest) -> Result<(), Status> {
        let mut client = NodeClient::new(self.0.clone());
        client.node_publish_volume(request).await.map(drop)
    }

    /// `NodeUnpublishVolume`.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn unpublish(&self, volume: &VolumeOf) -> Result<(), Status> {
        let mut client = NodeClient::new(self.0.clone());
        let request = NodeUnpublishVolumeRequest {
            volume_id: volume.id.clone(),
            target_path: path(&volume.target),
        };
        client.node_unpublish_volume(request).await.map(drop)
    }

    /// `NodeGetVolumeStats`.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn statistics(
        &self,
        volume: &VolumeOf,
    ) -> Result<NodeGetVolumeStatsResponse, Status> {
        let mut client = NodeClient::new(self.0.clone());
        let request = NodeGetVolumeStatsRequest {
            volume_id: volume.id.clone(),
            volume_path: path(&volume.target),
            ..Default::default()
        };
        client
            .node_get_volume_stats(request)
            .await
            .map(tonic::Response::into_inner)
    }
}
