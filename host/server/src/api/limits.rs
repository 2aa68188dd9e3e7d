//! Limits: acquire, cancel, read, update and reset.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::{Host, LimitStatus, Outcome, Quota, Refusal};
use tidegate_core::clock::millis;
use utoipa::ToSchema;

use super::ApiError;
use super::schemas::{AllowedDecision, LimitedDecision, NeverDecision};

/// The state of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({ "rate": "40/s", "burst": 40, "available": 40, "full_in_ms": 0 })))]
pub struct Limit {
    /// The rate at which tokens are refilled, in tokens per period.
    pub rate: String,
    /// The maximum number of tokens in the bucket.
    pub burst: u64,
    /// The number of whole tokens available now. Negative if queued calls have reserved future tokens.
    pub available: i64,
    /// The time until the bucket is full, in milliseconds.
    pub full_in_ms: u64,
}

impl From<LimitStatus> for Limit {
    fn from(status: LimitStatus) -> Self {
        let (rate, full_in_ms) = (status.rate.to_string(), millis(status.full_in));
        Self { rate, burst: status.burst, available: status.available, full_in_ms }
    }
}

/// The tokens to acquire. An empty object acquires one token without waiting.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(examples(json!({ "cost": 1, "wait_ms": 1000, "endpoint": "taobao.trade.get" })))]
pub struct AcquireLimitRequest {
    /// The number of tokens that the call costs.
    #[serde(default = "default_cost")]
    #[schema(default = 1)]
    pub cost: u64,
    /// The maximum wait in milliseconds. Values above 30 s count as 30 s.
    #[serde(default)]
    #[schema(default = 0)]
    pub wait_ms: u64,
    /// The endpoint under which the metrics count a refusal.
    #[serde(default = "default_endpoint")]
    #[schema(default = "other")]
    pub endpoint: String,
}

fn default_cost() -> u64 {
    1
}

/// Returns the name under which the metrics count calls without an endpoint.
pub fn default_endpoint() -> String {
    "other".to_owned()
}

/// The decision of a limit on one call.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum AcquireLimitResponse {
    /// The call is allowed.
    Allowed(AllowedCall),
    /// The limit refuses the call.
    Refused(RefusedCall),
}

/// A call that the limit allows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({ "decision": "allowed", "remaining": 39, "reservation_id": "0.1.1.0.39.0.0" })))]
pub struct AllowedCall {
    /// The decision.
    pub decision: AllowedDecision,
    /// The number of whole tokens left.
    pub remaining: u64,
    /// Pass this id to `cancel` to return the tokens of a call that is never sent. Null while Redis is unavailable.
    #[schema(required)]
    pub reservation_id: Option<String>,
}

/// A call that a limit refuses.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RefusedCall {
    /// The limit refuses the call for now.
    Limited(LimitedCall),
    /// The limit can never allow the call.
    Never(ImpossibleCall),
}

/// A call that a limit refuses for now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({ "decision": "limited", "retry_after_ms": 25 })))]
pub struct LimitedCall {
    /// The decision.
    pub decision: LimitedDecision,
    /// How long to wait before the next attempt, in milliseconds.
    pub retry_after_ms: u64,
    /// The limit that refused, if the request did not name it. The tokens of the other limits were returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<String>,
}

/// A call that a limit can never allow, because its cost exceeds the burst.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({ "decision": "never", "max_cost": 40 })))]
pub struct ImpossibleCall {
    /// The decision.
    pub decision: NeverDecision,
    /// The maximum cost that the limit can allow.
    pub max_cost: u64,
    /// The limit that refused, if the request did not name it. The tokens of the other limits were returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<String>,
}

impl RefusedCall {
    /// Describes a refusal. Pass the name of the limit if the request did not name it.
    #[must_use]
    pub fn new(refusal: Refusal, limit: Option<String>) -> Self {
        match refusal {
            Refusal::Never { max_cost } => {
                Self::Never(ImpossibleCall { decision: NeverDecision::Never, max_cost, limit })
            }
            other => {
                let retry_after_ms = millis(other.retry_after().unwrap_or_default());
                Self::Limited(LimitedCall { decision: LimitedDecision::Limited, retry_after_ms, limit })
            }
        }
    }
}

/// The new values of a limit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(examples(json!({ "rate": "40/s", "burst": 40 })))]
pub struct UpdateLimitRequest {
    /// Tokens per period, for example `40/s`, `300/m` or `10000/60s`.
    pub rate: String,
    /// The maximum number of tokens that can be spent at once.
    #[schema(minimum = 1)]
    pub burst: u64,
}

/// The reservation to cancel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(examples(json!({ "reservation_id": "0.1.1.0.39.0.0" })))]
pub struct CancelReservationRequest {
    /// The `reservation_id` that `acquire` returned.
    pub reservation_id: String,
}

/// Returns the state of every limit, by name.
///
/// # Errors
/// Returns an error if Redis is unavailable.
pub async fn list(host: &Host) -> Result<BTreeMap<String, Limit>, ApiError> {
    let mut limits = BTreeMap::new();
    for (name, limiter) in host.limiters() {
        limits.insert(name, limiter.status().await?.into());
    }
    Ok(limits)
}

/// Returns the state of one limit.
///
/// # Errors
/// Returns an error if the limit is unknown or Redis is unavailable.
pub async fn get(host: &Host, name: &str) -> Result<Limit, ApiError> {
    Ok(host.limiter(name)?.status().await?.into())
}

/// Changes the rate and the burst of a limit, and returns its state.
///
/// # Errors
/// Returns an error if the limit is unknown, a value is invalid, or Redis is unavailable.
pub async fn update(host: &Host, name: &str, request: UpdateLimitRequest) -> Result<Limit, ApiError> {
    let limiter = host.limiter(name)?;
    let rate = request.rate.parse().map_err(|error| ApiError::bad_request(format!("rate: {error}")))?;
    let quota = Quota::new(rate, request.burst).map_err(|error| ApiError::bad_request(format!("burst: {error}")))?;
    limiter.update(quota).await?;
    Ok(limiter.status().await?.into())
}

/// Fills a limit up to its burst, and returns its state.
///
/// # Errors
/// Returns an error if the limit is unknown or Redis is unavailable.
pub async fn reset(host: &Host, name: &str) -> Result<Limit, ApiError> {
    let limiter = host.limiter(name)?;
    limiter.reset().await?;
    Ok(limiter.status().await?.into())
}

/// Acquires tokens for one call. Dropping the future cancels the wait.
///
/// # Errors
/// Returns an error if the limit is unknown.
pub async fn acquire(host: &Host, name: &str, request: AcquireLimitRequest) -> Result<AcquireLimitResponse, ApiError> {
    let limiter = host.limiter(name)?;
    match limiter.reserve(request.cost, Duration::from_millis(request.wait_ms)).await {
        Ok(reservation) => {
            let reservation_id = reservation.id().map(ToString::to_string);
            let (decision, remaining) = (AllowedDecision::Allowed, reservation.remaining());
            Ok(AcquireLimitResponse::Allowed(AllowedCall { decision, remaining, reservation_id }))
        }
        Err(refusal) => {
            host.metrics().record(name, &request.endpoint, Outcome::Limited, Duration::ZERO);
            Ok(AcquireLimitResponse::Refused(RefusedCall::new(refusal, None)))
        }
    }
}

/// Cancels a reservation, and returns the state of its limit.
///
/// # Errors
/// Returns an error if the limit is unknown, the id is invalid, or Redis is unavailable.
pub async fn cancel(host: &Host, name: &str, request: CancelReservationRequest) -> Result<Limit, ApiError> {
    let limiter = host.limiter(name)?;
    let id = request.reservation_id.parse();
    let id = id.map_err(|error| ApiError::bad_request(format!("reservation_id: {error}")))?;
    limiter.cancel(&id).await?;
    Ok(limiter.status().await?.into())
}
