//! Admission for gateways in any language: one request evaluates the policy and reserves tokens from the limits.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidegate::{Host, LimitRefused, Outcome, Request};

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
    let admitted = match host.admit(&request).await {
        Ok(admitted) => admitted,
        Err(error) => {
            let Some(denied) = error.denied() else { return Err(ApiError::not_found(error.to_string())) };
            let body = json!({
                "decision": "denied", "reason": denied.reason, "status": denied.status, "by": &*denied.policy,
            });
            return Ok((StatusCode::FORBIDDEN, Json(body)).into_response());
        }
    };
    match admitted.reserve(Duration::from_millis(wait_ms)).await {
        Ok(reservations) => {
            let ids: BTreeMap<_, _> = reservations.ids().map(|(limit, id)| (limit, id.to_string())).collect();
            let limits: Vec<_> = admitted.limits().collect();
            let body = json!({
                "decision": "allowed", "cost": admitted.cost().unwrap_or(1), "limits": limits,
                "remaining": reservations.remaining(), "reservations": ids, "by": admitted.policy(),
            });
            Ok(Json(body).into_response())
        }
        Err(LimitRefused { limit, refusal, .. }) => {
            host.metrics().record(&request.platform, &request.endpoint, Outcome::Limited, Duration::ZERO);
            Ok(refused(refusal, Some(&limit)))
        }
    }
}
