//! Limits: acquire, cancel, read, update and reset.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate::core::clock::millis;
use tidegate::{Host, LimitStatus, Outcome, Quota, Refusal, Reservation};

use super::error::{ApiError, JsonBody};

/// The body of `acquire`. An empty object acquires one token without waiting.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct AcquireLimitRequest {
    #[serde(default = "default_cost")]
    cost: u64,
    #[serde(default)]
    wait_ms: u64,
    /// The endpoint under which the metrics count a refusal.
    #[serde(default = "default_endpoint")]
    endpoint: String,
}

fn default_cost() -> u64 {
    1
}

pub fn default_endpoint() -> String {
    "other".to_owned()
}

/// The body of `PUT /v1/limits/{platform}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct UpdateLimitRequest {
    rate: String,
    burst: u64,
}

/// The body of `cancel`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct CancelReservationRequest {
    reservation_id: String,
}

pub async fn acquire(
    State(host): State<Host>,
    Path(platform): Path<String>,
    JsonBody(body): JsonBody<AcquireLimitRequest>,
) -> Result<Response, ApiError> {
    let limiter = host.limiter(&platform)?;
    match limiter.reserve(body.cost, Duration::from_millis(body.wait_ms)).await {
        Ok(Reservation { remaining, id }) => {
            let id = id.map(|id| id.to_string());
            let body = json!({ "decision": "allowed", "remaining": remaining, "reservation_id": id });
            Ok(Json(body).into_response())
        }
        Err(refusal) => {
            host.metrics().record(&platform, &body.endpoint, Outcome::Limited, Duration::ZERO);
            Ok(refused(refusal, None))
        }
    }
}

/// Builds the response for a refusal. Pass the limit's name if the request path does not contain it.
pub fn refused(refusal: Refusal, limit: Option<&str>) -> Response {
    if let Refusal::Never { max_cost } = refusal {
        let body = with_limit(json!({ "decision": "never", "max_cost": max_cost }), limit);
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
    }
    let retry_after = refusal.retry_after().unwrap_or_default();
    let seconds = retry_after.as_millis().div_ceil(1_000).to_string();
    let body = with_limit(json!({ "decision": "limited", "retry_after_ms": millis(retry_after) }), limit);
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], Json(body)).into_response()
}

fn with_limit(mut body: Value, limit: Option<&str>) -> Value {
    if let Some(limit) = limit {
        body["limit"] = limit.into();
    }
    body
}

pub async fn cancel(
    State(host): State<Host>,
    Path(platform): Path<String>,
    JsonBody(body): JsonBody<CancelReservationRequest>,
) -> Result<Json<LimitStatus>, ApiError> {
    let limiter = host.limiter(&platform)?;
    let id = body.reservation_id.parse();
    let id = id.map_err(|error| ApiError::bad_request(format!("reservation_id: {error}")))?;
    limiter.cancel(&id).await?;
    Ok(Json(limiter.status().await?))
}

pub async fn list(State(host): State<Host>) -> Result<Json<BTreeMap<String, LimitStatus>>, ApiError> {
    let mut limits = BTreeMap::new();
    for (platform, limiter) in host.limiters() {
        limits.insert(platform, limiter.status().await?);
    }
    Ok(Json(limits))
}

pub async fn show(State(host): State<Host>, Path(platform): Path<String>) -> Result<Json<LimitStatus>, ApiError> {
    Ok(Json(host.limiter(&platform)?.status().await?))
}

pub async fn update(
    State(host): State<Host>,
    Path(platform): Path<String>,
    JsonBody(body): JsonBody<UpdateLimitRequest>,
) -> Result<Json<LimitStatus>, ApiError> {
    let limiter = host.limiter(&platform)?;
    let rate = body.rate.parse().map_err(|error| ApiError::bad_request(format!("rate: {error}")))?;
    let quota = Quota::new(rate, body.burst).map_err(|error| ApiError::bad_request(format!("burst: {error}")))?;
    limiter.update(quota).await?;
    Ok(Json(limiter.status().await?))
}

pub async fn reset(State(host): State<Host>, Path(platform): Path<String>) -> Result<Json<LimitStatus>, ApiError> {
    let limiter = host.limiter(&platform)?;
    limiter.reset().await?;
    Ok(Json(limiter.status().await?))
}
