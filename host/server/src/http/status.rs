//! The routes that show the state of alerts, policies, Redis and the process.

use axum::Json;
use axum::extract::State;
use tidegate::Host;

use super::describe::{InvalidQuery, RedisUnavailable, UnknownPlatform};
use super::extract::QueryParams;
use crate::api::alerts::{AlertsRequest, AlertsResponse};
use crate::api::health::HealthResponse;
use crate::api::policies::PoliciesResponse;
use crate::api::redis::RedisResponse;
use crate::api::{self, ApiError};

/// List the active alerts and the history of notifications.
#[utoipa::path(get, path = "/v1/alerts", operation_id = "listAlerts", params(AlertsRequest), responses(
    (status = 200, description = "The active alerts, and the history with the newest notification first.",
        body = AlertsResponse),
    InvalidQuery, UnknownPlatform, RedisUnavailable,
))]
pub async fn alerts(
    State(host): State<Host>,
    QueryParams(request): QueryParams<AlertsRequest>,
) -> Result<Json<AlertsResponse>, ApiError> {
    api::alerts::list(&host, request).await.map(Json)
}

/// List every policy file with its generation, evaluations, faults and errors, and the state of the decision log.
#[utoipa::path(get, path = "/v1/policies", operation_id = "listPolicies", responses(
    (status = 200, description = "The policies.", body = PoliciesResponse),
))]
pub async fn policies(State(host): State<Host>) -> Json<PoliciesResponse> {
    Json(api::policies::status(&host))
}

/// Get the health of the Redis connection.
#[utoipa::path(get, path = "/v1/redis", operation_id = "getRedis", responses(
    (status = 200, description = "`configured`. If it is true, also `state`, `state_duration_ms`, every server, the \
        numbers of reconnects and processes, and each process that shares the Redis.", body = RedisResponse),
))]
pub async fn redis(State(host): State<Host>) -> Json<RedisResponse> {
    Json(api::redis::status(&host).await)
}

/// Check that the server is alive and that the latest configuration and policies are active.
#[utoipa::path(get, path = "/healthz", operation_id = "health", security(()), responses(
    (status = 200, description = "The server is alive. `status` says whether it is up to date.",
        body = HealthResponse),
))]
pub async fn health(State(host): State<Host>) -> Json<HealthResponse> {
    Json(api::health::check(&host))
}
