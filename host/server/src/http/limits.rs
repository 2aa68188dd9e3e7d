//! Limits: ask, wait, look, change.

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
use tidegate::{Decision, Host, LimitStatus, Outcome, Quota, Rate, Taken};

use super::reply::{Input, Problem};

/// What `acquire` takes; an empty object asks for one call at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acquire {
    #[serde(default = "one")]
    cost: u64,
    #[serde(default)]
    wait_ms: u64,
    /// Under which endpoint a refusal is counted.
    #[serde(default = "other")]
    endpoint: String,
}

fn one() -> u64 {
    1
}

pub fn other() -> String {
    "other".to_owned()
}

/// What an update takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    rate: String,
    burst: u64,
}

pub async fn acquire(
    State(host): State<Host>,
    Path(platform): Path<String>,
    Input(input): Input<Acquire>,
) -> Result<Response, Problem> {
    let limiter = host.limiter(&platform)?;
    match limiter.take(input.cost, Duration::from_millis(input.wait_ms)).await {
        Ok(Taken { remaining, receipt }) => {
            let receipt = receipt.map(|receipt| receipt.to_string());
            let body = json!({ "decision": "allowed", "remaining": remaining, "receipt": receipt });
            Ok(Json(body).into_response())
        }
        Err(refusal) => {
            host.metrics().record(&platform, &input.endpoint, Outcome::Limited, Duration::ZERO);
            Ok(refused(refusal, None))
        }
    }
}

/// A refusal, with the name of the limit where it is not in the address.
pub fn refused(refusal: Decision, limit: Option<&str>) -> Response {
    let retry_after = match refusal {
        Decision::Never { max } => {
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(named(json!({ "decision": "never", "max": max }), limit)))
                .into_response();
        }
        Decision::Limited { retry_after } => retry_after,
        // A refusal is one of the two above.
        Decision::Allowed { .. } => Duration::ZERO,
    };
    let seconds = retry_after.as_millis().div_ceil(1_000).to_string();
    let body = json!({ "decision": "limited", "retry_after_ms": millis(retry_after) });
    let body = Json(named(body, limit));
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], body).into_response()
}

fn named(mut body: Value, limit: Option<&str>) -> Value {
    if let Some(limit) = limit {
        body["limit"] = limit.into();
    }
    body
}

/// What `release` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    receipt: String,
}

pub async fn release(
    State(host): State<Host>,
    Path(platform): Path<String>,
    Input(input): Input<Release>,
) -> Result<Json<LimitStatus>, Problem> {
    let limiter = host.limiter(&platform)?;
    let receipt = input.receipt.parse().map_err(|error| Problem::bad_request(format!("receipt: {error}")))?;
    limiter.give_back(&receipt).await?;
    Ok(Json(limiter.status().await?))
}

pub async fn list(State(host): State<Host>) -> Result<Json<BTreeMap<String, LimitStatus>>, Problem> {
    let mut all = BTreeMap::new();
    for (platform, limiter) in host.limiters() {
        all.insert(platform, limiter.status().await?);
    }
    Ok(Json(all))
}

pub async fn show(State(host): State<Host>, Path(platform): Path<String>) -> Result<Json<LimitStatus>, Problem> {
    Ok(Json(host.limiter(&platform)?.status().await?))
}

pub async fn update(
    State(host): State<Host>,
    Path(platform): Path<String>,
    Input(input): Input<Update>,
) -> Result<Json<LimitStatus>, Problem> {
    let limiter = host.limiter(&platform)?;
    let quota = Rate::parse(&input.rate).and_then(|rate| Quota::new(rate, input.burst));
    limiter.update(quota.map_err(|error| Problem::bad_request(error.to_string()))?).await?;
    Ok(Json(limiter.status().await?))
}

pub async fn reset(State(host): State<Host>, Path(platform): Path<String>) -> Result<Json<LimitStatus>, Problem> {
    let limiter = host.limiter(&platform)?;
    limiter.reset().await?;
    Ok(Json(limiter.status().await?))
}
