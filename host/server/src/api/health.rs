//! Whether the process is alive and up to date.

use serde::Serialize;
use tidegate::Host;
use tidegate_core::clock::millis;
use utoipa::ToSchema;

use super::redis::RedisState;

/// Whether the latest configuration and policies are active. It contains no server names, because it needs no token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health, examples(json!({
    "status": "ok", "policies": { "generation": 1, "stale": 0, "quarantined": 0, "readable": true },
    "config": { "reloads": 0, "stale": false }, "redis": null
})))]
pub struct HealthResponse {
    /// `ok`, `stale` if a changed configuration or policy is not active, a policy is quarantined or the policy
    /// directory cannot be read, or `degraded` if Redis is not fully available.
    pub status: HealthStatus,
    /// The policies.
    pub policies: PoliciesSummary,
    /// The configuration file.
    pub config: ConfigSummary,
    /// The Redis connection. Null if Redis is not configured.
    #[schema(required)]
    pub redis: Option<RedisSummary>,
}

/// The health of a server as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// The latest configuration and policies are active.
    Ok,
    /// A changed configuration or policy is not active.
    Stale,
    /// Redis is not fully available.
    Degraded,
}

/// The health of the policies.
#[derive(Debug, Serialize, ToSchema)]
pub struct PoliciesSummary {
    /// The active generation of policies.
    pub generation: u64,
    /// The number of changed policy files that are not active.
    pub stale: usize,
    /// The number of policies that are quarantined because of their faults.
    pub quarantined: usize,
    /// Whether the policy directory can be read.
    pub readable: bool,
}

/// The health of the configuration file.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigSummary {
    /// The number of new configurations that were activated since the start.
    pub reloads: u64,
    /// Whether the current file is not active.
    pub stale: bool,
}

/// The health of the Redis connection, without server names.
#[derive(Debug, Serialize, ToSchema)]
pub struct RedisSummary {
    /// Whether the Redis servers can be used: all, some or none.
    pub state: RedisState,
    /// How long the state has lasted, in milliseconds.
    pub state_duration_ms: u64,
}

/// Returns whether the latest configuration and policies are active.
#[must_use]
pub fn check(host: &Host) -> HealthResponse {
    let generation = host.policies().map(|policies| policies.generation());
    let policies = generation.as_ref().map(|generation| generation.status()).unwrap_or_default();
    let stale = policies.iter().filter(|policy| policy.stale.is_some()).count();
    let quarantined = policies.iter().filter(|policy| policy.quarantined.is_some()).count();
    let readable = generation.as_ref().is_none_or(|generation| generation.directory_error().is_none());
    let generation = generation.as_ref().map_or(0, |generation| generation.number());
    let config = host.config_status();
    let config = ConfigSummary { reloads: config.reloads, stale: config.stale.is_some() };
    let redis = host
        .redis_health()
        .map(|redis| RedisSummary { state: redis.state.into(), state_duration_ms: millis(redis.state_duration) });
    let status = match &redis {
        Some(redis) if redis.state != RedisState::Up => HealthStatus::Degraded,
        _ if stale + quarantined > 0 || !readable || config.stale => HealthStatus::Stale,
        _ => HealthStatus::Ok,
    };
    HealthResponse { status, policies: PoliciesSummary { generation, stale, quarantined, readable }, config, redis }
}
