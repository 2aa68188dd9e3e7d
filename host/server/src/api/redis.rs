//! The health of the Redis connection.

use serde::{Deserialize, Serialize};
use tidegate::Host;
use tidegate_core::clock::{micros, millis};
use tidegate_core::{FleetProcess, ProcessInfo};
use tidegate_redis::{RedisHealth, ServerHealth, ServerState};
use utoipa::ToSchema;

/// The health of the Redis connection, if Redis is configured.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Redis, examples(json!({ "configured": false })))]
pub enum RedisResponse {
    /// Redis is configured.
    Configured(Box<ConnectedRedis>),
    /// Redis is not configured.
    NotConfigured(NoRedis),
}

/// The response of a server without Redis.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoRedis {
    /// Always false: all state is in the memory of the server.
    pub configured: bool,
}

/// The health of a server's connections to Redis.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RedisHealth, examples(json!({
    "configured": true, "kind": "single", "state": "up", "state_duration_ms": 60000, "reason": null,
    "servers": [{ "server": "127.0.0.1:6379", "state": "up", "state_duration_ms": 60000, "reason": null }],
    "subscription_error": null, "reconnects": 0, "unavailable_errors": 0, "last_rejection": null, "probe_us": 120,
    "processes": 1, "fleet": [{
        "id": "5f0c2a9d1e3b4876", "is_self": true, "host": "worker-1", "pid": 4711, "version": "0.1.0",
        "policies_hash": "9c56cc51b374", "rules_hash": "e3b0c44298fc", "quarantined": [], "is_config_stale": false
    }]
})))]
pub struct ConnectedRedis {
    /// Always true.
    pub configured: bool,
    /// The kind of deployment: `single`, `sentinel` or `cluster`.
    pub kind: String,
    /// Whether the Redis servers can be used: all, some or none.
    pub state: RedisState,
    /// How long the state has lasted, in milliseconds.
    pub state_duration_ms: u64,
    /// Why a Redis server cannot be used, such as `WRONGPASS: …` or an error of the operating system.
    #[schema(required)]
    pub reason: Option<String>,
    /// Each known Redis server.
    pub servers: Vec<RedisServerHealth>,
    /// Why messages from other processes are not received. While they are not, waiting calls and lock requests wake up
    /// late.
    #[schema(required)]
    pub subscription_error: Option<String>,
    /// The number of connections that replaced a lost one.
    pub reconnects: u64,
    /// The number of requests that failed or were skipped because a Redis server was unavailable.
    pub unavailable_errors: u64,
    /// The last error with which a Redis server rejected a command.
    #[schema(required)]
    pub last_rejection: Option<String>,
    /// The round-trip time of the last probe, in microseconds.
    #[schema(required)]
    pub probe_us: Option<u64>,
    /// The number of processes that share this Redis and prefix, as of the last heartbeat.
    pub processes: usize,
    /// The processes that share this Redis and prefix; null while Redis is unavailable.
    #[schema(required)]
    pub fleet: Option<Vec<RedisProcess>>,
}

impl ConnectedRedis {
    fn new(health: RedisHealth, fleet: Option<Vec<FleetProcess>>) -> Self {
        Self {
            configured: true,
            kind: health.kind.as_str().to_owned(),
            state: health.state.into(),
            state_duration_ms: millis(health.state_duration),
            reason: health.reason,
            servers: health.servers.into_iter().map(RedisServerHealth::from).collect(),
            subscription_error: health.subscription_error,
            reconnects: health.reconnects,
            unavailable_errors: health.unavailable_errors,
            last_rejection: health.last_rejection,
            probe_us: health.probe_time.map(micros),
            processes: fleet.as_ref().map_or(health.processes, Vec::len),
            fleet: fleet.map(|fleet| fleet.into_iter().map(RedisProcess::from).collect()),
        }
    }
}

/// A process that shares the Redis and prefix, as it describes itself.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RedisProcess {
    /// The random id of the process.
    pub id: String,
    /// Whether it is the process that sends this response.
    pub is_self: bool,
    /// The name of the machine or container; empty if it is unknown.
    pub host: String,
    /// The process id on that machine.
    pub pid: u32,
    /// The version of tidegate.
    pub version: String,
    /// The hash of the active retry and admission policies. Processes with different hashes decide differently.
    #[schema(required)]
    pub policies_hash: Option<String>,
    /// The hash of the active alert rules. The rules of the leader decide for all processes.
    #[schema(required)]
    pub rules_hash: Option<String>,
    /// The paths of quarantined policies.
    pub quarantined: Vec<String>,
    /// Whether the configuration file of the process is rejected, so that an earlier configuration is active.
    pub is_config_stale: bool,
}

impl From<FleetProcess> for RedisProcess {
    fn from(FleetProcess { id, is_self, info, .. }: FleetProcess) -> Self {
        let ProcessInfo { host, pid, version, policies_hash, rules_hash, quarantined, is_config_stale, .. } = info;
        Self { id, is_self, host, pid, version, policies_hash, rules_hash, quarantined, is_config_stale }
    }
}

/// Whether a Redis server, or all of them together, can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedisState {
    /// The first connection is being made.
    Connecting,
    /// Every server can be used.
    Up,
    /// Some nodes or slots of a cluster can be used, others cannot.
    Degraded,
    /// No server can be used.
    Unavailable,
}

impl RedisState {
    /// Returns the name of the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<ServerState> for RedisState {
    fn from(state: ServerState) -> Self {
        match state {
            ServerState::Connecting => Self::Connecting,
            ServerState::Up => Self::Up,
            ServerState::Degraded => Self::Degraded,
            ServerState::Unavailable => Self::Unavailable,
        }
    }
}

/// The health of the connection to one Redis server.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RedisServerHealth {
    /// Host and port, if they are known.
    #[schema(required)]
    pub server: Option<String>,
    /// Whether the server can be used.
    pub state: RedisState,
    /// How long the state has lasted, in milliseconds.
    pub state_duration_ms: u64,
    /// Why the server cannot be used.
    #[schema(required)]
    pub reason: Option<String>,
}

impl From<ServerHealth> for RedisServerHealth {
    fn from(health: ServerHealth) -> Self {
        let ServerHealth { server, state, state_duration, reason, .. } = health;
        Self { server, state: state.into(), state_duration_ms: millis(state_duration), reason }
    }
}

/// Returns the health of the Redis connection, including server names, and the processes that share the Redis.
pub async fn status(host: &Host) -> RedisResponse {
    match host.redis_health() {
        Some(health) => {
            let fleet = host.fleet().await.ok();
            RedisResponse::Configured(Box::new(ConnectedRedis::new(health, fleet)))
        }
        None => RedisResponse::NotConfigured(NoRedis { configured: false }),
    }
}
