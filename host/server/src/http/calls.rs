//! Reports of finished calls, and call statistics.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidegate::core::clock::millis;
use tidegate::core::units::parse_duration;
use tidegate::{CallOptions, Class, Failure, FailureKind, Host, Outcome, Stats};

use super::error::{ApiError, JsonBody, QueryParams};

/// The longest accepted duration of a call, in milliseconds: one day.
const MAX_DURATION_MS: f64 = 86_400_000.0;

/// The maximum length of an endpoint name, in bytes.
const MAX_ENDPOINT: usize = 128;

/// The body of `POST /v1/calls`: one finished call. The fields after `failure` are used for a failed call only.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct CallReport {
    platform: String,
    endpoint: String,
    outcome: Outcome,
    #[serde(default)]
    duration_ms: f64,
    failure: Option<FailureReport>,
    /// The number of this attempt; the first is 1.
    #[serde(default = "first_attempt")]
    attempt: u32,
    /// The time since the first attempt started, in milliseconds.
    #[serde(default)]
    elapsed_ms: u64,
    /// The class of the previous attempt's failure.
    previous: Option<Class>,
    /// Whether the call may be executed twice. A call that may not is retried only if the platform throttled it.
    #[serde(default = "idempotent_by_default")]
    idempotent: bool,
    /// Whether the worker refreshes its credentials after a failure of class `auth`.
    #[serde(default)]
    refreshes_credentials: bool,
}

/// The failure of a call, as the worker saw it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a JSON object")]
pub struct FailureReport {
    kind: FailureKind,
    status: Option<u16>,
    code: Option<String>,
    sub_code: Option<String>,
    message: Option<String>,
    #[serde(deserialize_with = "tidegate::core::failure::deserialize_headers")]
    headers: Vec<(String, String)>,
    retry_after_ms: Option<u64>,
}

fn first_attempt() -> u32 {
    1
}

fn idempotent_by_default() -> bool {
    true
}

/// The query of `GET /v1/metrics`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct MetricsQuery {
    platform: String,
    endpoint: Option<String>,
    #[serde(default = "default_range")]
    range: String,
}

fn default_range() -> String {
    "1h".to_owned()
}

/// Records a finished call. For a failed call that carries a failure, responds with the advice of the retry policy.
pub async fn record(State(host): State<Host>, JsonBody(call): JsonBody<CallReport>) -> Result<Response, ApiError> {
    // A platform without a limit is most likely misspelled.
    host.limiter(&call.platform)?;
    validate(&call)?;
    let duration = Duration::from_secs_f64(call.duration_ms / 1e3);
    host.metrics().record(&call.platform, &call.endpoint, call.outcome, duration);
    let Some(report) = call.failure else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let failure = tidegate::normalize_failure(Failure {
        platform: call.platform,
        endpoint: call.endpoint,
        kind: report.kind,
        attempt: call.attempt,
        elapsed_ms: call.elapsed_ms,
        at_ms: host.clock().unix_ms(),
        status: report.status,
        code: report.code,
        sub_code: report.sub_code,
        message: report.message,
        headers: report.headers,
        retry_after_ms: report.retry_after_ms,
    });
    let options = CallOptions::default()
        .idempotent(call.idempotent)
        .refreshes_credentials(call.refreshes_credentials)
        .previous(call.previous);
    let advice = host.advise(&failure, options).await;
    let delay = advice.delay();
    let action = if delay.is_some() { "retry" } else { "give_up" };
    let body = json!({
        "action": action,
        "delay_ms": delay.map(millis),
        "class": advice.verdict.class,
        "reason": advice.verdict.reason,
        "by": &*advice.policy,
    });
    Ok(Json(body).into_response())
}

fn validate(call: &CallReport) -> Result<(), ApiError> {
    if !(0.0..=MAX_DURATION_MS).contains(&call.duration_ms) {
        let message =
            format!("duration_ms: expected milliseconds from 0 to {MAX_DURATION_MS}, found {}", call.duration_ms);
        return Err(ApiError::bad_request(message));
    }
    if call.endpoint.is_empty() || call.endpoint.len() > MAX_ENDPOINT || call.endpoint.contains(char::is_control) {
        let message = format!("endpoint: expected 1 to {MAX_ENDPOINT} bytes without control characters");
        return Err(ApiError::bad_request(message));
    }
    if call.attempt == 0 {
        let message = "attempt: expected a whole number of at least 1 (the first attempt is 1)";
        return Err(ApiError::bad_request(message));
    }
    if call.failure.is_some() && call.outcome != Outcome::Error {
        return Err(ApiError::bad_request("failure: allowed only if `outcome` is \"error\""));
    }
    Ok(())
}

pub async fn metrics(
    State(host): State<Host>,
    QueryParams(query): QueryParams<MetricsQuery>,
) -> Result<Json<Stats>, ApiError> {
    host.limiter(&query.platform)?;
    let range = parse_duration(&query.range).map_err(|error| ApiError::bad_request(format!("range: {error}")))?;
    Ok(Json(host.stats(&query.platform, query.endpoint.as_deref(), range).await?))
}
