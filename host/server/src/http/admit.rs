//! Admission for gateways in any language: the policy's word and the limits, in one question.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidegate::{Host, Outcome, Request};

use super::limits::refused;
use super::reply::{Input, Problem};

/// What is asked: a request, and how long it may wait.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    platform: String,
    #[serde(default = "super::limits::other")]
    endpoint: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    wait_ms: u64,
}

fn get() -> String {
    "GET".to_owned()
}

/// Asks the policy, and takes from every limit that the request passes.
pub async fn admit(State(host): State<Host>, Input(ask): Input<Ask>) -> Result<Response, Problem> {
    let headers = ask.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let at_ms = host.clock().unix_ms();
    let Ask { platform, endpoint, method, labels, wait_ms, .. } = ask;
    let request = Request { platform, endpoint, method, at_ms, headers, labels };
    let asked = request.clone();
    let judge = host.clone();
    // Policies may take their whole deadline, and other requests wait for the workers.
    let answer = tokio::task::spawn_blocking(move || judge.admit(&asked)).await;
    let admitted = match answer.map_err(|_| Problem::broken("the policy's thread failed"))?? {
        Ok(admitted) => admitted,
        Err(denied) => {
            let body =
                json!({ "decision": "denied", "reason": denied.reason, "status": denied.status, "by": denied.by });
            return Ok((StatusCode::FORBIDDEN, Json(body)).into_response());
        }
    };
    match admitted.take(Duration::from_millis(wait_ms)).await {
        Ok((remaining, receipts)) => {
            let receipts: BTreeMap<_, _> = receipts.into_iter().map(|(name, one)| (name, one.to_string())).collect();
            let limits: Vec<_> = admitted.limits.iter().map(|(name, _)| name).collect();
            let (cost, by) = (admitted.cost.unwrap_or(1), &admitted.by);
            let body = json!({
                "decision": "allowed", "cost": cost, "limits": limits, "remaining": remaining, "receipts": receipts,
                "by": by,
            });
            Ok(Json(body).into_response())
        }
        Err((limit, refusal)) => {
            host.metrics().record(&request.platform, &request.endpoint, Outcome::Limited, Duration::ZERO);
            Ok(refused(refusal, Some(&limit)))
        }
    }
}
