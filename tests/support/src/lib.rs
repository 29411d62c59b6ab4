//! The harness of the tests: programs, servers and directories as the parts of envlatch meet them.
//!
//! Everything here is real where it can be: processes with a clean environment and a deadline, directories laid out as
//! the kubelet lays them out, a Vault of its own for the test, a namespace of its own in a cluster. [`ScriptedServer`] is for answers that no real server
//! gives. Whatever is started here ends with the value that stands for it, and with the test process at the latest.
//!
//! The harness panics: a test whose bed is broken must fail where it broke, with everything that was seen.

mod canary;
mod cluster;
mod csi_volume;
mod executable;
mod frozen;
mod helm;
mod http;
mod jwt;
mod kubernetes;
mod lasting;
mod memory;
pub mod plugin;
mod postgres;
mod program;
mod report;
mod scripted;
mod seccomp;
mod tls;
mod tool;
mod turn;
mod upstream;
mod usage;
mod vault;
mod wait;

pub use canary::{assert_no_canary, canary, find_canary};
pub use cluster::{Cluster, Ended, Namespace, Pod, pids_of, restricted};
pub use csi_volume::CsiVolume;
pub use executable::executable;
pub use helm::{ExampleChart, chart, helm};
pub use jwt::Key;
pub use kubernetes::{ApiServer, Kubelet};
pub use lasting::free_port;
pub use memory::memory_holds;
pub use postgres::Postgres;
pub use program::{Finished, Program, Running, launcher, launcher_at};
pub use report::{Report, test_child};
pub use scripted::{Answer, Request, ScriptedServer};
pub use seccomp::refuse_call;
pub use tempfile::TempDir;
pub use tls::{Authority, Identity};
pub use upstream::Upstream;
pub use usage::{cpu_seconds, memory_kib};
pub use vault::{Vault, VaultCluster};
pub use wait::{eventually, within};
