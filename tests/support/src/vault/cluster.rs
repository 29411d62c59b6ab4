//! Several servers with one storage: one is active, the others stand by and send clients to it.

use serde_json::{Value, json};

use super::{READY, Vault};
use crate::lasting::LOOPBACK;
use crate::turn::turn;
use crate::wait::eventually;

/// Vault servers with integrated storage, over HTTP.
///
/// Two nodes are enough for a standby and a change of roles. Only with three does the cluster survive that one is
/// stopped.
pub struct VaultCluster {
    nodes: Vec<Vault>,
}

// === impl VaultCluster ===

impl VaultCluster {
    /// A cluster of `count` servers, all unsealed, of which one is active.
    #[must_use]
    pub fn start(count: usize) -> Self {
        let _turn = turn();
        let nodes: Vec<_> = (0..count)
            .map(|index| Vault::uninitialised(None, LOOPBACK, Some(&format!("node{index}"))))
            .collect();
        let (first, others) = nodes.split_first().expect("a cluster has nodes");
        first.initialise();
        // A new node may vote after 10 seconds unless told otherwise.
        let autopilot = json!({"server_stabilization_time": "100ms"});
        first.api(
            "POST",
            "sys/storage/raft/autopilot/configuration",
            &autopilot,
        );
        for node in others {
            node.adopt(first.keys().clone());
            let leader = json!({"leader_api_addr": first.address()});
            node.api("POST", "sys/storage/raft/join", &leader);
            node.unseal();
        }
        let cluster = Self { nodes };
        cluster.settle(count);
        cluster
    }

    /// All nodes, in the order in which they were started.
    #[must_use]
    pub fn nodes(&self) -> &[Vault] {
        &self.nodes
    }

    /// The addresses of all nodes, in that order.
    #[must_use]
    pub fn addresses(&self) -> Vec<&str> {
        self.nodes.iter().map(Vault::address).collect()
    }

    /// The active node.
    ///
    /// # Panics
    /// When none becomes active within a minute.
    #[track_caller]
    #[must_use]
    pub fn active(&self) -> &Vault {
        eventually("a node is active", READY, || {
            self.nodes.iter().find(|node| node.health() == 200)
        })
    }

    /// The nodes that stand by.
    #[must_use]
    pub fn standbys(&self) -> Vec<&Vault> {
        self.nodes
            .iter()
            .filter(|node| node.health() == 429)
            .collect()
    }

    /// Writes a secret as [`Vault::put_kv2`] does, to the active node, whichever that is: on a machine that was busy for a
    /// moment another one is elected.
    #[track_caller]
    pub fn put_kv2(&self, path: &str, data: &Value) {
        let path = format!("secret/data/{path}");
        let body = json!({ "data": data });
        eventually("the secret is written", READY, || {
            (self.active().try_api("POST", &path, &body).0 == 200).then_some(())
        });
    }

    /// Makes the active node step down and waits until another one is active.
    #[track_caller]
    pub fn step_down(&self) {
        let active = self.active();
        let old = active.address();
        active.api("PUT", "sys/step-down", &Value::Null);
        eventually("another node is active", READY, || {
            let active = self.nodes.iter().find(|node| node.health() == 200)?;
            (active.address() != old).then_some(())
        });
    }

    /// What programs under test asked any of the nodes for, as [`Vault::audit`].
    #[must_use]
    pub fn audit(&self) -> Vec<(String, String)> {
        // The path of the audit device is part of the storage that all nodes share: that of the node that made it.
        self.nodes[0].audit()
    }

    /// Waits until every node is a voter and has its role.
    fn settle(&self, count: usize) {
        eventually("every node has joined", READY, || {
            let (_, answer) =
                self.active()
                    .try_api("GET", "sys/storage/raft/configuration", &Value::Null);
            let servers = answer["data"]["config"]["servers"].as_array()?;
            let voters = servers
                .iter()
                .filter(|server| server["voter"] == true)
                .count();
            (voters == count && self.standbys().len() == count - 1).then_some(())
        });
    }
}
