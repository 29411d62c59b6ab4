//! The two processes: what rights they have, who may call, and how they end together.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use envlatch_csi::proto::registration::InfoRequest;
use envlatch_csi::proto::registration::registration_client::RegistrationClient;
use envlatch_csi_tests::{Call, Node};
use envlatch_test_support::free_port;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::{DRIVER, PLUGIN, block_on, start};

fn status(process: i32) -> BTreeMap<String, String> {
    fs::read_to_string(format!("/proc/{process}/status"))
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once(":\t"))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

#[test]
#[ignore = "needs root"]
fn each_process_has_the_rights_that_it_needs() {
    let node = Node::new();
    let plugin = start(&node);
    block_on(node.connect(DRIVER));
    let sys_admin_and_chown = format!("{:016x}", (1_u64 << 21) | 1);
    let none = format!("{:016x}", 0);
    let cases = [
        (plugin.mounter, "0\t0\t0\t0", &sys_admin_and_chown, "2"),
        (plugin.worker(), "65532\t65532\t65532\t65532", &none, "0"),
    ];
    for (process, ids, capabilities, seccomp) in cases {
        let status = status(process);
        assert_eq!(status["Uid"], ids);
        assert_eq!(status["Gid"], ids);
        assert_eq!(status["Groups"], "");
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(&status[set], capabilities, "{set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(status[set], none, "{set}");
        }
        assert_eq!(status["NoNewPrivs"], "1");
        assert_eq!(status["Seccomp"], seccomp);
    }
    assert_eq!(status(plugin.mounter)["Threads"], "1");
    let network = |process| fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    assert_eq!(
        network(plugin.worker()),
        fs::read_link("/proc/self/ns/net").unwrap()
    );
    assert_ne!(network(plugin.mounter), network(plugin.worker()));
    let interfaces = fs::read_to_string(format!("/proc/{}/net/dev", plugin.mounter)).unwrap();
    assert_eq!(interfaces.lines().count(), 3, "only lo: {interfaces}");
}

#[test]
#[ignore = "needs root"]
fn the_worker_cannot_reach_what_is_roots() {
    let node = Node::new();
    let plugin = start(&node);
    block_on(node.connect(DRIVER));
    let descriptors = fs::read_dir(format!("/proc/{}/fd", plugin.worker())).unwrap();
    let open: Vec<String> = descriptors
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    let pods = node.kubelet().join("pods").display().to_string();
    assert!(!open.contains(&pods), "{open:?}");
}

#[test]
#[ignore = "needs root"]
fn sockets_are_roots_alone() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(node.connect(DRIVER));
    let socket = node.socket(DRIVER);
    let registration = node.registration(DRIVER);
    for path in [&socket, &registration] {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(
            (metadata.mode() & 0o777, metadata.uid()),
            (0o600, 0),
            "{}",
            path.display()
        );
    }
    // Even when somebody opens the socket and the way to it, another user gets nowhere.
    let script = node.script();
    for path in socket.ancestors().take(4).chain(script.parent()) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    assert!(!answer(&socket).is_empty(), "root gets an answer");
    let stranger = std::thread::spawn(move || {
        // Of this thread alone, unlike the C library's setresuid.
        let uid = rustix::thread::Uid::from_raw(1000);
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        answer(&socket)
    });
    assert_eq!(stranger.join().unwrap(), Vec::<u8>::new());
}

/// The first bytes of an answer to the beginning of HTTP/2, or nothing when the other end hangs up.
fn answer(socket: &Path) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    // Refused before it is written is as good.
    let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let mut answer = vec![0; 64];
    let length = stream.read(&mut answer).unwrap_or(0);
    answer.truncate(length);
    answer
}

#[test]
#[ignore = "needs root"]
fn kubelet_learns_the_endpoint() {
    let node = Node::new();
    let _plugin = node.start(
        PLUGIN,
        &[
            "--driver-name",
            DRIVER,
            "--driver-name",
            "secrets-store.csi.k8s.io",
        ],
    );
    block_on(async {
        for driver in [DRIVER, "secrets-store.csi.k8s.io"] {
            node.connect(driver).await;
            let socket = node.registration(driver);
            let call = Call::connect(&socket).await.unwrap();
            let mut client = RegistrationClient::new(call.channel());
            let info = client.get_info(InfoRequest {}).await.unwrap().into_inner();
            assert_eq!((&*info.r#type, &*info.name), ("CSIPlugin", driver));
            assert_eq!(info.endpoint, node.socket(driver).display().to_string());
            assert_eq!(info.supported_versions, ["1.0.0"]);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn the_end_of_either_process_is_the_end_of_both() {
    let node = Node::new();
    for of_the_mounter in [true, false] {
        let plugin = start(&node);
        block_on(node.connect(DRIVER));
        let victim = if of_the_mounter {
            plugin.mounter
        } else {
            plugin.worker()
        };
        plugin.kill(victim);
    }
}

#[test]
#[ignore = "needs root"]
fn a_second_plugin_does_not_start() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(node.connect(DRIVER));
    let output = node.run(PLUGIN, &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        errors.contains("another envlatch-csi is running"),
        "{errors}"
    );
}

#[test]
#[ignore = "needs root"]
fn metrics_are_served() {
    let node = Node::new();
    let address = format!("127.0.0.1:{}", free_port("127.0.0.1"));
    let _plugin = node.start(PLUGIN, &["--metrics-address", &address]);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        call.publish(&volume).await.unwrap();
        call.publish(&volume).await.unwrap();
    });
    let metrics = get(&address, "/metrics");
    for line in [
        "envlatch_csi_call_duration_seconds_count{method=\"NodePublishVolume\",code=\"Ok\"} 2",
        "envlatch_csi_mount_duration_seconds_count{code=\"Ok\"} 1",
        "envlatch_csi_refresh_duration_seconds_count{outcome=\"unchanged\"} 1",
        "envlatch_csi_volumes 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing from:\n{metrics}");
    }
}

/// Without a descriptor the mounter can make no file system, and so it is with any other cause.
#[test]
#[ignore = "needs root"]
fn readiness_tells_whether_mounting_works() {
    let node = Node::new();
    let address = format!("127.0.0.1:{}", free_port("127.0.0.1"));
    let plugin = node.start(PLUGIN, &["--metrics-address", &address]);
    let limit = |limit: Rlimit| prlimit(Pid::from_raw(plugin.mounter), Resource::Nofile, limit);
    block_on(async {
        let mut call = node.connect(DRIVER).await;
        assert_says(&address, "/readyz", 200, "ok");
        let none = Rlimit {
            current: Some(0),
            ..getrlimit(Resource::Nofile)
        };
        let before = limit(none).unwrap();
        assert!(!call.probe().await.unwrap());
        let cause = "cannot make the file system: Too many open files";
        assert_says(&address, "/readyz", 503, cause);
        // A restart is no remedy.
        assert_says(&address, "/healthz", 200, "ok");
        limit(before).unwrap();
        assert!(call.probe().await.unwrap());
        assert_says(&address, "/readyz", 200, "ok");
    });
}

/// Asserts what is answered at `path`.
pub(crate) fn assert_says(address: &str, path: &str, status: u16, text: &str) {
    let answer = get(address, path);
    let status = format!("HTTP/1.0 {status} ");
    assert!(
        answer.starts_with(&status) && answer.contains(text),
        "{path}: {answer}"
    );
}

/// What is answered at `path`, with its head.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
