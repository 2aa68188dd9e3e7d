//! Calls: what became of them, and the figures.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidegate::core::clock::millis;
use tidegate::core::units::parse_duration;
use tidegate::{Advice, Class, Failure, FailureKind, Host, Outcome, Stats};

use super::reply::{Input, Params, Problem};

/// No call takes longer than a day.
const LONGEST_MS: f64 = 86_400_000.0;

/// The longest name of an endpoint, in bytes: a name, not a document.
const MAX_ENDPOINT: usize = 128;

/// One call that ended, and for one that failed what the worker would know before it tries again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    platform: String,
    endpoint: String,
    outcome: Outcome,
    #[serde(default)]
    duration_ms: f64,
    failure: Option<Reported>,
    /// Which attempt it was.
    #[serde(default = "first")]
    attempt: u32,
    /// Since the first attempt began.
    #[serde(default)]
    elapsed_ms: u64,
    /// What was wrong with the attempt before.
    previous: Option<Class>,
    /// Whether the same call may be carried out twice; what may not is repeated only where it was turned away.
    #[serde(default = "yes")]
    idempotent: bool,
    /// Whether the worker renews its credentials after a failure of class `auth`.
    #[serde(default)]
    refreshes_credentials: bool,
}

/// How a call failed, in plain values.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reported {
    kind: FailureKind,
    status: Option<u16>,
    code: Option<String>,
    sub_code: Option<String>,
    message: Option<String>,
    #[serde(deserialize_with = "tidegate::core::failure::headers")]
    headers: Vec<(String, String)>,
    retry_after_ms: Option<u64>,
}

fn first() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// Which figures are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    platform: String,
    endpoint: Option<String>,
    #[serde(default = "hour")]
    range: String,
}

fn hour() -> String {
    "1h".to_owned()
}

pub async fn record(State(host): State<Host>, Input(call): Input<Call>) -> Result<Response, Problem> {
    // A platform that has no limit is most likely a misspelt one.
    host.limiter(&call.platform)?;
    check(&call)?;
    let duration = Duration::from_secs_f64(call.duration_ms / 1e3);
    host.metrics().record(&call.platform, &call.endpoint, call.outcome, duration);
    let Some(reported) = call.failure else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let failure = tidegate::heed_headers(Failure {
        platform: call.platform,
        endpoint: call.endpoint,
        kind: reported.kind,
        attempt: call.attempt,
        elapsed_ms: call.elapsed_ms,
        at_ms: host.clock().unix_ms(),
        status: reported.status,
        code: reported.code,
        sub_code: reported.sub_code,
        message: reported.message,
        headers: reported.headers,
        retry_after_ms: reported.retry_after_ms,
    });
    // Policies may take their whole deadline, and other requests wait for the workers.
    let advised =
        tokio::task::spawn_blocking(move || host.advise(&failure, call.previous, call.refreshes_credentials)).await;
    let Advice { verdict, by, delay } = advised.map_err(|_| Problem::broken("the policy's thread failed"))?;
    // What may not be carried out twice is sent again only where it was turned away before.
    let delay = delay.filter(|_| call.idempotent || verdict.class == Some(Class::Throttled));
    let action = if delay.is_some() { "retry" } else { "give_up" };
    let advice = json!({
        "action": action,
        "delay_ms": delay.map(millis),
        "class": verdict.class,
        "reason": verdict.reason,
        "by": by,
    });
    Ok(Json(advice).into_response())
}

fn check(call: &Call) -> Result<(), Problem> {
    if !(0.0..=LONGEST_MS).contains(&call.duration_ms) {
        let message = format!("duration_ms: expected milliseconds from 0 to {LONGEST_MS}, not {}", call.duration_ms);
        return Err(Problem::bad_request(message));
    }
    if call.endpoint.is_empty() || call.endpoint.len() > MAX_ENDPOINT || call.endpoint.contains(char::is_control) {
        let message = format!("endpoint: expected 1 to {MAX_ENDPOINT} bytes without control characters");
        return Err(Problem::bad_request(message));
    }
    if call.attempt == 0 {
        return Err(Problem::bad_request("attempt: expected a whole number of at least 1; 1 is the first"));
    }
    if call.failure.is_some() && call.outcome != Outcome::Error {
        return Err(Problem::bad_request("failure: only a call whose outcome is \"error\" has one"));
    }
    Ok(())
}

pub async fn metrics(State(host): State<Host>, Params(wanted): Params<Wanted>) -> Result<Json<Stats>, Problem> {
    host.limiter(&wanted.platform)?;
    let range = parse_duration(&wanted.range).map_err(|error| Problem::bad_request(format!("range: {error}")))?;
    Ok(Json(host.figures(&wanted.platform, wanted.endpoint.as_deref(), range).await?))
}
