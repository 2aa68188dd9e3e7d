//! Calls: what became of them, and the figures.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tidegate::core::units::parse_duration;
use tidegate::{Host, Outcome, Stats};

use super::reply::{Input, Params, Problem};

/// No call takes longer than a day.
const LONGEST_MS: f64 = 86_400_000.0;

/// The longest name of an endpoint, in bytes: a name, not a document.
const MAX_ENDPOINT: usize = 128;

/// One call that ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    platform: String,
    endpoint: String,
    outcome: Outcome,
    #[serde(default)]
    duration_ms: f64,
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

pub async fn record(State(host): State<Host>, Input(call): Input<Call>) -> Result<StatusCode, Problem> {
    // A platform that has no limit is most likely a misspelt one.
    host.limiter(&call.platform)?;
    if !(0.0..=LONGEST_MS).contains(&call.duration_ms) {
        let message = format!("duration_ms: expected milliseconds from 0 to {LONGEST_MS}, not {}", call.duration_ms);
        return Err(Problem::bad_request(message));
    }
    if call.endpoint.is_empty() || call.endpoint.len() > MAX_ENDPOINT {
        return Err(Problem::bad_request(format!("endpoint: expected 1 to {MAX_ENDPOINT} bytes")));
    }
    let duration = Duration::from_secs_f64(call.duration_ms / 1e3);
    host.metrics().record(&call.platform, &call.endpoint, call.outcome, duration);
    Ok(StatusCode::NO_CONTENT)
}

pub async fn metrics(State(host): State<Host>, Params(wanted): Params<Wanted>) -> Result<Json<Stats>, Problem> {
    host.limiter(&wanted.platform)?;
    let range = parse_duration(&wanted.range).map_err(|error| Problem::bad_request(format!("range: {error}")))?;
    Ok(Json(host.figures(&wanted.platform, wanted.endpoint.as_deref(), range).await?))
}
