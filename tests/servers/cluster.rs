//! A cluster of three masters.

use std::time::Duration;

use tidegate::core::Secret;
use tidegate::core::config::{RedisConfig, RedisKind};

use super::Server;

pub struct Cluster {
    /// Each has a third of the slots, in order.
    pub nodes: Vec<Server>,
}

/// The slots of each node.
const THIRDS: [(&str, &str); 3] = [("0", "5461"), ("5462", "10922"), ("10923", "16383")];

const NODE: [&str; 6] =
    ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"];

impl Cluster {
    /// Started, and of one mind; a node that is dead takes no slots with it but its own.
    pub async fn start() -> Self {
        let nodes: Vec<_> = THIRDS.iter().map(|_| Server::with(&NODE)).collect();
        for ((node, (first, last)), epoch) in nodes.iter().zip(THIRDS).zip(["1", "2", "3"]) {
            node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]).await;
            node.tell(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
            node.tell(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port.to_string()]).await;
        }
        for node in &nodes {
            node.says(&["CLUSTER", "INFO"], "cluster_slots_ok:16384").await;
            node.says(&["CLUSTER", "INFO"], "cluster_state:ok").await;
        }
        Self { nodes }
    }

    /// Adds a node that has all that another one has, and takes over when that is dead.
    pub async fn add_replica_of(&mut self, node: usize) {
        let replica = Server::with(&NODE);
        replica.tell(&["CLUSTER", "MEET", "127.0.0.1", &self.nodes[node].port.to_string()]).await;
        replica.says(&["CLUSTER", "REPLICATE", &self.id(node).await], "+OK").await;
        replica.says(&["INFO", "replication"], "master_link_status:up").await;
        // The others vote only for a replica that they know.
        for voter in &self.nodes {
            voter.says(&["CLUSTER", "NODES"], "slave").await;
        }
        self.nodes.push(replica);
    }

    /// How to speak with it, knowing one node.
    pub fn config(&self) -> RedisConfig {
        RedisConfig {
            kind: RedisKind::Cluster,
            url: vec![Secret::new(format!("redis://127.0.0.1:{}", self.nodes[0].port))],
            decide_within: Duration::from_millis(500),
            ..self.nodes[0].config()
        }
    }

    /// The node that has a key, and its slot.
    pub async fn owner(&self, key: &str) -> (usize, u16) {
        let reply = self.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).await;
        let slot: u16 = reply.trim_start_matches(':').trim().parse().unwrap();
        let has = |(_, last): &(&str, &str)| slot <= last.parse().unwrap();
        (THIRDS.iter().position(has).unwrap(), slot)
    }

    async fn id(&self, node: usize) -> String {
        let reply = self.nodes[node].command(&["CLUSTER", "MYID"]).await;
        reply.lines().nth(1).unwrap().to_owned()
    }

    /// Begins to move a slot: from now on keys are on one node or the other.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let (from_id, to_id) = (self.id(from).await, self.id(to).await);
        self.nodes[to].tell(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        self.nodes[from].tell(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    }

    /// Moves the keys and ends the move.
    pub async fn end_move(&self, slot: u16, from: usize, to: usize, keys: &[&str]) {
        let (slot, port, to_id) = (slot.to_string(), self.nodes[to].port.to_string(), self.id(to).await);
        let migrate = ["MIGRATE", "127.0.0.1", &port, "\"\"", "0", "5000", "KEYS"];
        self.nodes[from].tell(&[&migrate[..], keys].concat()).await;
        for node in [to, from] {
            self.nodes[node].tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
        }
    }
}
