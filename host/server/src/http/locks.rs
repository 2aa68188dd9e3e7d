//! Locks for owners in other processes. Each owner extends and releases its lock by further requests.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate::Host;
use tidegate::core::clock::millis;
use tidegate::core::store::{LockInfo, LockRequest};

use super::error::{ApiError, JsonBody};

/// The longest wait of one `acquire` request. Proxies on the path would close a request that waits longer.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The body of `acquire`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct AcquireLockRequest {
    owner: String,
    #[serde(default = "default_ttl_ms")]
    ttl_ms: u64,
    #[serde(default)]
    wait_ms: u64,
    /// Identifies the request among the owner's requests, so that a request that is sent twice counts once.
    id: Option<String>,
}

fn default_ttl_ms() -> u64 {
    30_000
}

/// The body of `extend`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct ExtendLockRequest {
    owner: String,
    fencing_token: u64,
    #[serde(default = "default_ttl_ms")]
    ttl_ms: u64,
}

/// The body of `release`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct ReleaseLockRequest {
    owner: String,
    fencing_token: u64,
    /// Identifies the request among the owner's requests, so that a request that is sent twice counts once.
    id: Option<String>,
}

pub async fn list(State(host): State<Host>) -> Result<Json<Vec<LockInfo>>, ApiError> {
    Ok(Json(host.locks().list().await?))
}

pub async fn acquire(
    State(host): State<Host>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<AcquireLockRequest>,
) -> Result<Response, ApiError> {
    let (id, ttl) = (body.id.unwrap_or_else(random_id), Duration::from_millis(body.ttl_ms));
    let request = LockRequest { name: &name, owner: &body.owner, id: &id };
    let wait = Duration::from_millis(body.wait_ms).min(MAX_WAIT);
    Ok(match host.locks().acquire_for(request, ttl, wait).await {
        Ok(grant) => {
            let ttl_ms = body.ttl_ms;
            Json(json!({ "fencing_token": grant.fencing_token, "depth": grant.depth, "ttl_ms": ttl_ms }))
                .into_response()
        }
        Err(error) => {
            let Some(held) = error.held() else { return Err(error.into()) };
            let message = "another owner holds the lock";
            let body = json!({ "error": message, "retry_after_ms": millis(held.ttl) });
            (StatusCode::CONFLICT, Json(body)).into_response()
        }
    })
}

pub async fn extend(
    State(host): State<Host>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<ExtendLockRequest>,
) -> Result<Json<Value>, ApiError> {
    let ttl = Duration::from_millis(body.ttl_ms);
    if host.locks().extend_for(&name, &body.owner, body.fencing_token, ttl).await? {
        return Ok(Json(json!({ "ttl_ms": body.ttl_ms })));
    }
    Err(lost_lock())
}

pub async fn release(
    State(host): State<Host>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<ReleaseLockRequest>,
) -> Result<Json<Value>, ApiError> {
    let id = body.id.unwrap_or_else(random_id);
    let request = LockRequest { name: &name, owner: &body.owner, id: &id };
    let depth = host.locks().release_for(request, body.fencing_token).await?.ok_or_else(lost_lock)?;
    Ok(Json(json!({ "depth": depth })))
}

pub async fn force_release(State(host): State<Host>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    if host.locks().force_release(&name).await? {
        return Ok(Json(json!({ "released": true })));
    }
    Err(ApiError::not_found(format!("lock {name:?} is not held")))
}

fn lost_lock() -> ApiError {
    ApiError::conflict("this owner no longer holds the lock with this fencing token")
}

fn random_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}
