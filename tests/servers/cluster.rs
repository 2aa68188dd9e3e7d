//! A Redis Cluster of three masters.

use std::time::Duration;

use tidegate_core::config::RedisConfig;

use super::RedisServer;

pub struct Cluster {
    /// The masters in the order of their slots, each with a third of them, then the replicas.
    pub nodes: Vec<RedisServer>,
}

/// The first and the last slot of each master.
const SLOT_RANGES: [(&str, &str); 3] = [("0", "5461"), ("5462", "10922"), ("10923", "16383")];

const NODE_ARGS: [&str; 6] =
    ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"];

impl Cluster {
    /// Starts the nodes and waits until all of them agree on the slots. If a node dies, only its own slots become
    /// unavailable.
    pub async fn start() -> Self {
        let nodes: Vec<_> = SLOT_RANGES.iter().map(|_| RedisServer::with_args(&NODE_ARGS)).collect();
        for ((node, (first, last)), epoch) in nodes.iter().zip(SLOT_RANGES).zip(["1", "2", "3"]) {
            node.command_ok(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]).await;
            node.command_ok(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
            node.command_ok(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port.to_string()]).await;
        }
        for node in &nodes {
            node.wait_for_reply(&["CLUSTER", "INFO"], "cluster_slots_ok:16384").await;
            node.wait_for_reply(&["CLUSTER", "INFO"], "cluster_state:ok").await;
        }
        Self { nodes }
    }

    /// Adds a replica of a node. The replica takes over when the node dies.
    pub async fn add_replica_of(&mut self, node: usize) {
        let replica = RedisServer::with_args(&NODE_ARGS);
        replica.command_ok(&["CLUSTER", "MEET", "127.0.0.1", &self.nodes[node].port.to_string()]).await;
        replica.wait_for_reply(&["CLUSTER", "REPLICATE", &self.id(node).await], "+OK").await;
        replica.wait_for_reply(&["INFO", "replication"], "master_link_status:up").await;
        // The other nodes vote only for a replica that they know.
        for voter in &self.nodes {
            voter.wait_for_reply(&["CLUSTER", "NODES"], "slave").await;
        }
        self.nodes.push(replica);
    }

    /// Returns a configuration that names one node of the cluster.
    pub fn config(&self) -> RedisConfig {
        RedisConfig::cluster([format!("redis://127.0.0.1:{}", self.nodes[0].port)])
            .with_prefix(&self.nodes[0].prefix)
            .with_decide_within(Duration::from_millis(500))
    }

    /// Returns the index of the node that stores a key, and the key's slot.
    pub async fn owner(&self, key: &str) -> (usize, u16) {
        let reply = self.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).await;
        let slot: u16 = reply.trim_start_matches(':').trim().parse().unwrap();
        let in_range = |(_, last): &(&str, &str)| slot <= last.parse().unwrap();
        (SLOT_RANGES.iter().position(in_range).unwrap(), slot)
    }

    async fn id(&self, node: usize) -> String {
        let reply = self.nodes[node].command(&["CLUSTER", "MYID"]).await;
        reply.lines().nth(1).unwrap().to_owned()
    }

    /// Starts to migrate a slot. During the migration, each of its keys is on one of the two nodes.
    pub async fn start_migration(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let (from_id, to_id) = (self.id(from).await, self.id(to).await);
        self.nodes[to].command_ok(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        self.nodes[from].command_ok(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    }

    /// Migrates the keys and ends the migration of the slot.
    pub async fn finish_migration(&self, slot: u16, from: usize, to: usize, keys: &[&str]) {
        let (slot, port, to_id) = (slot.to_string(), self.nodes[to].port.to_string(), self.id(to).await);
        let migrate = ["MIGRATE", "127.0.0.1", &port, "\"\"", "0", "5000", "KEYS"];
        self.nodes[from].command_ok(&[&migrate[..], keys].concat()).await;
        for node in [to, from] {
            self.nodes[node].command_ok(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
        }
    }
}
