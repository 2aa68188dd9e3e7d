//! Admission for gateways in any language: one request evaluates the policy and reserves tokens from the limits.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidegate::{Host, Outcome, Request};

use super::error::{ApiError, JsonBody};
use super::limits::refused;

/// The body of `POST /v1/admit`: the request to admit, and how long it may wait.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct AdmitRequest {
    platform: String,
    #[serde(default = "super::limits::default_endpoint")]
    endpoint: String,
    #[serde(default = "default_method")]
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    wait_ms: u64,
}

fn default_method() -> String {
    "GET".to_owned()
}

/// Evaluates the admission policy, then reserves tokens from every limit that applies to the request.
pub async fn admit(State(host): State<Host>, JsonBody(body): JsonBody<AdmitRequest>) -> Result<Response, ApiError> {
    let headers = body.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let at_ms = host.clock().unix_ms();
    let AdmitRequest { platform, endpoint, method, labels, wait_ms, .. } = body;
    let request = Request { platform, endpoint, method, at_ms, headers, labels };
    let (policy_host, policy_request) = (host.clone(), request.clone());
    // A policy may run until its deadline, so it must not block a worker that other requests need.
    let evaluated = tokio::task::spawn_blocking(move || policy_host.admit(&policy_request)).await;
    let admitted = match evaluated.map_err(|_| ApiError::internal("the policy task failed"))?? {
        Ok(admitted) => admitted,
        Err(denied) => {
            let body =
                json!({ "decision": "denied", "reason": denied.reason, "status": denied.status, "by": denied.by });
            return Ok((StatusCode::FORBIDDEN, Json(body)).into_response());
        }
    };
    match admitted.reserve(Duration::from_millis(wait_ms)).await {
        Ok((remaining, reservations)) => {
            let reservations: BTreeMap<_, _> =
                reservations.into_iter().map(|(limit, id)| (limit, id.to_string())).collect();
            let limits: Vec<_> = admitted.limits.iter().map(|(name, _)| name).collect();
            let (cost, by) = (admitted.cost.unwrap_or(1), &admitted.by);
            let body = json!({
                "decision": "allowed", "cost": cost, "limits": limits, "remaining": remaining,
                "reservations": reservations, "by": by,
            });
            Ok(Json(body).into_response())
        }
        Err((limit, refusal)) => {
            host.metrics().record(&request.platform, &request.endpoint, Outcome::Limited, Duration::ZERO);
            Ok(refused(refusal, Some(&limit)))
        }
    }
}
