//! Reports of finished calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::response::is_success;
use tidegate::{CallOptions, Class, Failure, FailureKind, Host, NextStep, Outcome, Verdict};
use tidegate_core::clock::millis;
use utoipa::ToSchema;

use super::ApiError;
use super::schemas::{self, ClassName, FailureKindName, OutcomeName};

/// The longest accepted duration of a call, in milliseconds: one day.
const MAX_DURATION_MS: f64 = 86_400_000.0;

/// The maximum length of an endpoint name, in bytes.
const MAX_ENDPOINT: usize = 128;

/// One finished call. The fields after `failure` are used for a failed call only.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(as = Call, examples(json!({
    "platform": "taobao", "endpoint": "taobao.trade.get", "outcome": "error", "duration_ms": 120.5, "attempt": 1,
    "elapsed_ms": 120, "failure": { "status": 503, "message": "busy" }
})))]
pub struct CallReport {
    /// The platform that was called.
    pub platform: String,
    /// The endpoint name in metrics: 1 to 128 bytes without control characters.
    pub endpoint: String,
    /// The outcome of the call.
    #[schema(value_type = OutcomeName)]
    pub outcome: Outcome,
    /// How long the call took, in milliseconds.
    #[serde(default)]
    #[schema(default = 0.0, minimum = 0, maximum = 86_400_000)]
    pub duration_ms: f64,
    /// The failure, if the outcome is `error`. The response is then the advice of the retry policy.
    pub failure: Option<FailureReport>,
    /// The number of this attempt. The first attempt is 1.
    #[serde(default = "first_attempt")]
    #[schema(default = 1, minimum = 1)]
    pub attempt: u32,
    /// The time since the first attempt started, in milliseconds.
    #[serde(default)]
    #[schema(default = 0)]
    pub elapsed_ms: u64,
    /// The failure class of the previous attempt.
    #[schema(value_type = Option<ClassName>)]
    pub previous_class: Option<Class>,
    /// Whether the platform may execute the call twice. A call that is not idempotent is retried only after a response
    /// of class `throttled`, because then the platform did not execute it.
    #[serde(default = "idempotent_by_default")]
    #[schema(default = true)]
    pub idempotent: bool,
    /// Whether the worker refreshes its credentials after a failure of class `auth`.
    #[serde(default)]
    #[schema(default = false)]
    pub refreshes_credentials: bool,
}

/// The failure of a call, as the worker saw it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, expecting = "a JSON object")]
#[schema(as = Failure)]
pub struct FailureReport {
    /// The kind of the failure.
    #[schema(value_type = FailureKindName, default = "response")]
    pub kind: FailureKind,
    /// The HTTP status, if the platform responded.
    pub status: Option<u16>,
    /// The platform's error code, as a string.
    pub code: Option<String>,
    /// The platform's error sub-code.
    pub sub_code: Option<String>,
    /// The platform's error message.
    pub message: Option<String>,
    /// Selected response headers.
    #[serde(deserialize_with = "tidegate_core::failure::deserialize_headers")]
    #[schema(schema_with = schemas::failure_headers)]
    pub headers: Vec<(String, String)>,
    /// The wait that the response asked for, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The body of the response. Code, sub code and message that are absent are read from it, as
    /// `[platforms.NAME] error` in the configuration describes. A policy can read its first 64 KiB.
    pub body: Option<String>,
}

impl From<FailureReport> for Failure {
    fn from(report: FailureReport) -> Self {
        let mut failure = Self::default();
        failure.kind = report.kind;
        failure.status = report.status;
        failure.code = report.code;
        failure.sub_code = report.sub_code;
        failure.message = report.message;
        failure.headers = report.headers;
        failure.retry_after_ms = report.retry_after_ms;
        failure.body = report.body;
        failure
    }
}

fn first_attempt() -> u32 {
    1
}

fn idempotent_by_default() -> bool {
    true
}

/// The advice on a failed call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Advice, examples(json!({
    "action": "retry", "delay_ms": 1104, "give_up_reason": null, "retry_after_ms": null, "class": "transient",
    "reason": null, "policy": "retry/taobao.rhai"
})))]
pub struct CallAdvice {
    /// Whether to retry the call.
    pub action: AdvisedAction,
    /// How long to sleep before the next attempt, in milliseconds. Null if there is no next attempt.
    #[schema(required)]
    pub delay_ms: Option<u64>,
    /// Why there is no next attempt: `verdict` (the policy advised against it), `credentials`, `not_idempotent`,
    /// `max_attempts` or `deadline`. Null if there is one.
    #[schema(required)]
    pub give_up_reason: Option<&'static str>,
    /// When the platform may accept the call again, in milliseconds from now, as far as the policy knows.
    #[schema(required)]
    pub retry_after_ms: Option<u64>,
    /// The class of the failure.
    #[schema(value_type = Option<ClassName>, required)]
    pub class: Option<Class>,
    /// A short reason from the policy.
    #[schema(required)]
    pub reason: Option<String>,
    /// The file of the policy that decided, or `fallback`.
    pub policy: String,
}

/// What to do after a failed call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdvisedAction {
    /// Sleep, acquire again and retry the call.
    Retry,
    /// Do not retry the call.
    GiveUp,
}

/// Records a finished call. For a failed call that carries a failure, returns the advice of the retry policy.
///
/// # Errors
/// Returns an error if the platform is unknown or a value is invalid.
pub async fn record(host: &Host, call: CallReport) -> Result<Option<CallAdvice>, ApiError> {
    // A platform without a limit is most likely misspelled.
    host.limiter(&call.platform)?;
    validate(&call)?;
    let failure = call.failure.map(|report| {
        Failure::from(report)
            .with_platform(&call.platform)
            .with_endpoint(&call.endpoint)
            .with_attempt(call.attempt)
            .with_elapsed(Duration::from_millis(call.elapsed_ms))
            .with_at_ms(host.clock().unix_ms())
    });
    failure.as_ref().map_or(Ok(()), |failure| reject_success(host, failure))?;
    let duration = Duration::from_secs_f64(call.duration_ms / 1e3);
    host.metrics().record(&call.platform, &call.endpoint, call.outcome, duration);
    let Some(failure) = failure else { return Ok(None) };
    let mut options =
        CallOptions::default().with_idempotent(call.idempotent).with_refreshes_credentials(call.refreshes_credentials);
    options.previous_class = call.previous_class;
    let advice = host.advise(&host.complete_failure(failure), options).await;
    let (action, delay, give_up_reason) = match &advice.next {
        NextStep::Retry(delay) => (AdvisedAction::Retry, Some(*delay), None),
        NextStep::GiveUp(reason) => (AdvisedAction::GiveUp, None, Some(reason.as_str())),
    };
    let Verdict { class, reason, after_ms: retry_after_ms, .. } = advice.verdict;
    let (delay_ms, policy) = (delay.map(millis), advice.policy.to_string());
    Ok(Some(CallAdvice { action, delay_ms, give_up_reason, retry_after_ms, class, reason, policy }))
}

/// Rejects a failure whose response is a success, most likely because its sender reports every response.
fn reject_success(host: &Host, failure: &Failure) -> Result<(), ApiError> {
    if is_success(&host.config(), failure) {
        return Err(ApiError::bad_request(
            "failure: neither the status nor the body of the response contains an error; report the outcome \"success\", \
             or give `code` or `message` to report a failure that only the caller sees",
        ));
    }
    Ok(())
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
