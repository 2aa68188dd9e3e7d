//! Locks for owners in other processes, who extend them and give them back by themselves.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate::Host;
use tidegate::core::clock::millis;
use tidegate::core::store::{Claim, LockInfo};

use super::reply::{Input, Problem};

/// Nobody waits longer for a lock in one request: proxies between would end it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What `acquire` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acquire {
    owner: String,
    #[serde(default = "half_a_minute")]
    ttl_ms: u64,
    #[serde(default)]
    wait_ms: u64,
    /// Tells the request from others of the owner, so that one that is sent again counts once.
    id: Option<String>,
}

fn half_a_minute() -> u64 {
    30_000
}

/// What `extend` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    owner: String,
    fencing_token: u64,
    #[serde(default = "half_a_minute")]
    ttl_ms: u64,
}

/// What `release` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    owner: String,
    fencing_token: u64,
    id: Option<String>,
}

pub async fn list(State(host): State<Host>) -> Result<Json<Vec<LockInfo>>, Problem> {
    Ok(Json(host.locks().list().await?))
}

pub async fn acquire(
    State(host): State<Host>,
    Path(name): Path<String>,
    Input(input): Input<Acquire>,
) -> Result<Response, Problem> {
    let (id, ttl) = (input.id.unwrap_or_else(fresh), Duration::from_millis(input.ttl_ms));
    let claim = Claim { name: &name, owner: &input.owner, id: &id };
    let wait = Duration::from_millis(input.wait_ms).min(LONGEST_WAIT);
    Ok(match host.locks().acquire_for(claim, ttl, wait).await? {
        Ok(grant) => {
            let ttl_ms = input.ttl_ms;
            Json(json!({ "fencing_token": grant.fencing_token, "depth": grant.depth, "ttl_ms": ttl_ms }))
                .into_response()
        }
        Err(held) => {
            let message = "somebody else holds the lock";
            let body = json!({ "error": message, "retry_after_ms": millis(held.ttl) });
            (StatusCode::CONFLICT, Json(body)).into_response()
        }
    })
}

pub async fn extend(
    State(host): State<Host>,
    Path(name): Path<String>,
    Input(input): Input<Extend>,
) -> Result<Json<Value>, Problem> {
    let ttl = Duration::from_millis(input.ttl_ms);
    if host.locks().extend_for(&name, &input.owner, input.fencing_token, ttl).await? {
        return Ok(Json(json!({ "ttl_ms": input.ttl_ms })));
    }
    Err(lost())
}

pub async fn release(
    State(host): State<Host>,
    Path(name): Path<String>,
    Input(input): Input<Release>,
) -> Result<Json<Value>, Problem> {
    let id = input.id.unwrap_or_else(fresh);
    let claim = Claim { name: &name, owner: &input.owner, id: &id };
    let depth = host.locks().release_for(claim, input.fencing_token).await?.ok_or_else(lost)?;
    Ok(Json(json!({ "depth": depth })))
}

pub async fn evict(State(host): State<Host>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    if host.locks().evict(&name).await? {
        return Ok(Json(json!({ "held": true })));
    }
    Err(Problem::not_found(format!("nobody holds a lock named {name:?}")))
}

fn lost() -> Problem {
    Problem::conflict("the owner holds the lock no longer by the grant of this fencing token")
}

fn fresh() -> String {
    format!("{:016x}", rand::random::<u64>())
}
