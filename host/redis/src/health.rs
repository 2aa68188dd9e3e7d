//! The health of the Redis connections, for status pages and metrics.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tidegate_core::clock::{micros, serialize_as_millis};
use tidegate_core::config::RedisKind;
use tidegate_core::{Timestamp, text_enum};

use crate::cluster_nodes::ClusterState;
use crate::node_connection::{ConnectionState, NodeConnection, Outage};
use crate::topology::Topology;

/// The health of a process's connections to Redis. It contains no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RedisHealth {
    /// The kind of deployment.
    pub kind: RedisKind,
    /// Whether the servers can be used: all, some or none.
    pub state: ServerState,
    /// How long the state has lasted.
    #[serde(rename = "state_duration_ms", serialize_with = "serialize_as_millis")]
    pub state_duration: Duration,
    /// Why a server cannot be used, such as `WRONGPASS: …` or an error of the operating system.
    pub reason: Option<String>,
    /// Each known server.
    pub servers: Vec<ServerHealth>,
    /// Why messages from other processes are not received. While they are not, waiting calls and lock requests wake up
    /// late.
    pub subscription_error: Option<String>,
    /// The number of connections that replaced a lost one.
    pub reconnects: u64,
    /// The number of requests that failed or were skipped because a server was unavailable.
    pub unavailable_errors: u64,
    /// The last error with which a server rejected a command.
    pub last_rejection: Option<String>,
    /// The round-trip time of the last probe.
    #[serde(rename = "probe_us", serialize_with = "as_micros")]
    pub probe_time: Option<Duration>,
    /// The number of processes that share this Redis and prefix, as of the last heartbeat; at least 1.
    pub processes: usize,
}

/// Whether a server, or all servers together, can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerState {
    /// The first connection is being made.
    #[default]
    Connecting,
    /// Every server can be used.
    Up,
    /// Some nodes or slots of a cluster can be used, others cannot.
    Degraded,
    /// No server can be used.
    Unavailable,
}

text_enum!(ServerState {
    Connecting => "connecting",
    Up => "up",
    Degraded => "degraded",
    Unavailable => "unavailable",
});

/// The health of the connection to one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServerHealth {
    /// Host and port, if they are known.
    pub server: Option<String>,
    /// Whether the server can be used.
    pub state: ServerState,
    /// How long the state has lasted.
    #[serde(rename = "state_duration_ms", serialize_with = "serialize_as_millis")]
    pub state_duration: Duration,
    /// Why the server cannot be used.
    pub reason: Option<String>,
}

fn as_micros<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(micros).serialize(serializer)
}

/// What the client of a process counts and observes, besides the states of the servers.
pub struct ClientStats {
    pub subscription_error: Option<String>,
    pub reconnects: u64,
    pub unavailable_errors: u64,
    pub last_rejection: Option<String>,
    pub probe_time: Option<Duration>,
    pub processes: usize,
}

impl RedisHealth {
    pub(crate) fn new(topology: &Topology, now: Timestamp, stats: ClientStats) -> Self {
        let (kind, servers) = match topology {
            Topology::SingleNode(node) if node.uses_sentinels() => (RedisKind::Sentinel, vec![node_health(node, now)]),
            Topology::SingleNode(node) => (RedisKind::Single, vec![node_health(node, now)]),
            Topology::Cluster(cluster) => (RedisKind::Cluster, cluster_health(&cluster.state().borrow(), now)),
        };
        let migrating_slot_reason = match topology {
            Topology::Cluster(cluster) => cluster.migrating_slot_reason(),
            Topology::SingleNode(_) => None,
        };
        let state = match combined_state(&servers) {
            ServerState::Up if migrating_slot_reason.is_some() => ServerState::Degraded,
            state => state,
        };
        // An outage has lasted as long as its oldest part; `Up` has lasted only as long as the newest connection.
        let ages = servers.iter().filter(|server| (server.state == ServerState::Up) == (state == ServerState::Up));
        let ages = ages.map(|server| server.state_duration);
        let state_duration = if state == ServerState::Up { ages.min() } else { ages.max() };
        let reason = servers.iter().find_map(|server| server.reason.clone());
        let reason = reason.or_else(|| migrating_slot_reason.map(|reason| reason.to_string()));
        let ClientStats { subscription_error, reconnects, unavailable_errors, last_rejection, probe_time, processes } =
            stats;
        Self {
            kind,
            state,
            state_duration: state_duration.unwrap_or_default(),
            reason,
            servers,
            subscription_error,
            reconnects,
            unavailable_errors,
            last_rejection,
            probe_time,
            processes,
        }
    }
}

/// Returns the state of several servers as a whole.
fn combined_state(servers: &[ServerHealth]) -> ServerState {
    let count = |state| servers.iter().filter(|server| server.state == state).count();
    match (count(ServerState::Up), count(ServerState::Unavailable)) {
        (up, _) if up == servers.len() => ServerState::Up,
        (0, 0) => ServerState::Connecting,
        (0, _) => ServerState::Unavailable,
        _ => ServerState::Degraded,
    }
}

fn cluster_health(state: &ClusterState, now: Timestamp) -> Vec<ServerHealth> {
    match state {
        ClusterState::Discovering(since) => vec![server_health(None, ServerState::Connecting, now - *since, None)],
        ClusterState::Unavailable(outage) => {
            vec![server_health(None, ServerState::Unavailable, now - outage.since, Some(&outage.reason))]
        }
        ClusterState::Mapped(map) => map.nodes().map(|node| node_health(&node.connection, now)).collect(),
    }
}

fn node_health(node: &NodeConnection, now: Timestamp) -> ServerHealth {
    let (server, state, since, reason) = match &*node.state().borrow() {
        ConnectionState::Connecting(since) => (node.fixed_server(), ServerState::Connecting, *since, None),
        ConnectionState::Unavailable(Outage { since, reason }) => {
            (node.fixed_server(), ServerState::Unavailable, *since, Some(Arc::clone(reason)))
        }
        ConnectionState::Up(live) => (Some(live.address.server()), ServerState::Up, live.since, None),
    };
    server_health(server, state, now - since, reason.as_deref())
}

fn server_health(server: Option<String>, state: ServerState, age: Duration, reason: Option<&str>) -> ServerHealth {
    ServerHealth { server, state, state_duration: age, reason: reason.map(str::to_owned) }
}
