//! Admission for gateways in any language: one request evaluates the policy and reserves tokens from the limits.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::{AdmitError, Host, LimitRefused, Outcome, Request};
use tidegate_core::failure::headers_from_table;
use utoipa::ToSchema;

use super::ApiError;
use super::limits::{RefusedCall, default_endpoint};
use super::schemas::{AllowedDecision, DeniedDecision};

/// The request to admit, and how long it may wait.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(examples(json!({ "platform": "pdd", "endpoint": "orders", "labels": { "seller": "7" } })))]
pub struct AdmitRequest {
    /// The platform that receives the request.
    pub platform: String,
    /// The endpoint name in metrics.
    #[serde(default = "default_endpoint")]
    #[schema(default = "other")]
    pub endpoint: String,
    /// The HTTP method in upper case.
    #[serde(default = "default_method")]
    #[schema(default = "GET")]
    pub method: String,
    /// Headers that the policy can read. Do not send credentials.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Labels that the gateway assigns to the request, for example the seller.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The maximum wait in milliseconds. Values above 30 s count as 30 s.
    #[serde(default)]
    #[schema(default = 0)]
    pub wait_ms: u64,
}

fn default_method() -> String {
    "GET".to_owned()
}

/// The decision on a request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum AdmitResponse {
    /// The request is allowed.
    Allowed(AllowedRequest),
    /// The policy denies the request.
    Denied(DeniedRequest),
    /// A limit refuses the request.
    Refused(RefusedCall),
}

/// A request that is allowed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "decision": "allowed", "cost": 1, "limits": ["pdd"], "remaining": 399,
    "reservations": { "pdd": "0.1.1.0.399.0.0" }, "policy": "fallback"
})))]
pub struct AllowedRequest {
    /// The decision.
    pub decision: AllowedDecision,
    /// The number of tokens that each limit took.
    pub cost: u64,
    /// The limits that took tokens.
    pub limits: Vec<String>,
    /// The number of whole tokens left in the limit that has the fewest.
    pub remaining: u64,
    /// Reservation ids by limit. If the request is never sent, pass each id to `/v1/limits/{platform}/cancel` to return
    /// its tokens.
    pub reservations: BTreeMap<String, String>,
    /// The file of the policy that decided, or `fallback`.
    pub policy: String,
}

/// A request that the policy denies.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "decision": "denied", "reason": "no orders at night", "status": 403, "policy": "admit/pdd.rhai"
})))]
pub struct DeniedRequest {
    /// The decision.
    pub decision: DeniedDecision,
    /// A short reason for the caller.
    pub reason: String,
    /// The HTTP status to return to the caller.
    pub status: u16,
    /// The file of the policy that decided.
    pub policy: String,
}

/// Evaluates the admission policy, then reserves tokens from every limit that applies to the request. Dropping the
/// future cancels the wait.
///
/// # Errors
/// Returns an error if the platform is unknown or a header is invalid.
pub async fn admit(host: &Host, request: AdmitRequest) -> Result<AdmitResponse, ApiError> {
    let AdmitRequest { platform, endpoint, method, headers, labels, wait_ms } = request;
    let headers = headers_from_table(headers).map_err(|error| ApiError::bad_request(format!("headers: {error}")))?;
    let request = Request::new(platform)
        .with_endpoint(endpoint)
        .with_method(method)
        .with_at_ms(host.clock().unix_ms())
        .with_headers(headers)
        .with_labels(labels);
    let admitted = match host.admit(&request).await {
        Ok(admitted) => admitted,
        Err(error) => return denied(&error).map(AdmitResponse::Denied),
    };
    match admitted.reserve(Duration::from_millis(wait_ms)).await {
        Ok(reservations) => Ok(AdmitResponse::Allowed(AllowedRequest {
            decision: AllowedDecision::Allowed,
            cost: admitted.cost(),
            limits: admitted.limits().map(str::to_owned).collect(),
            remaining: reservations.remaining(),
            reservations: reservations.ids().map(|(limit, id)| (limit.to_owned(), id.to_string())).collect(),
            policy: admitted.policy().to_owned(),
        })),
        Err(LimitRefused { limit, refusal, .. }) => {
            host.metrics().record(&request.platform, &request.endpoint, Outcome::Limited, Duration::ZERO);
            Ok(AdmitResponse::Refused(RefusedCall::new(refusal, Some(limit))))
        }
    }
}

/// Returns why the policy denied the request, or an error if its platform is unknown.
fn denied(error: &AdmitError) -> Result<DeniedRequest, ApiError> {
    let denied = error.denied().ok_or_else(|| ApiError::not_found(error.to_string()))?;
    let (reason, policy) = (denied.reason.clone(), denied.policy.to_string());
    Ok(DeniedRequest { decision: DeniedDecision::Denied, reason, status: denied.status, policy })
}
