//! The traffic of the demo. Its rate is above the limit, so that the limit takes effect.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use super::call_counts::{CallCounts, CallOutcome};
use super::platform::MockPlatform;
use super::progress::ProgressOutput;

/// The duration of the traffic.
pub const DURATION: Duration = Duration::from_secs(24);

/// The timeout of a client. It is longer than the gateway's deadline for retries.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(25);

/// The calls to one platform.
pub struct Traffic {
    pub url: String,
    /// The number of calls per second. It does not depend on the outcome of earlier calls.
    pub per_second: u32,
    pub platform: Arc<MockPlatform>,
    /// Where progress is printed, if at all.
    pub output: Option<ProgressOutput>,
}

impl Traffic {
    /// Makes calls for [`DURATION`] and waits for the last response.
    pub async fn run(self) -> CallCounts {
        let counts = Arc::new(Mutex::new(CallCounts::default()));
        let client = reqwest::Client::builder().timeout(CLIENT_TIMEOUT).build().unwrap_or_default();
        let mut calls = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / self.per_second);
        let total = u64::from(self.per_second) * DURATION.as_secs();
        for made in 1..=total {
            tick.tick().await;
            calls.spawn(make_call(client.get(&self.url), Arc::clone(&self.platform), Arc::clone(&counts)));
            while calls.try_join_next().is_some() {}
            if let Some(output) = &self.output {
                output.progress(made, total, &lock(&counts));
            }
        }
        let last_us = self.platform.now_us();
        while calls.join_next().await.is_some() {}
        let mut counts = lock(&counts).clone();
        counts.saturated_us = counts.saturated_us.map(|(first_us, _)| (first_us, last_us));
        counts
    }
}

fn lock(counts: &Mutex<CallCounts>) -> MutexGuard<'_, CallCounts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn make_call(request: RequestBuilder, platform: Arc<MockPlatform>, counts: Arc<Mutex<CallCounts>>) {
    let (outcome, limit_headers) = classify(request.send().await).await;
    let mut counts = lock(&counts);
    counts.add(outcome, platform.now_us());
    counts.limit_headers = counts.limit_headers.take().or(limit_headers);
}

/// Returns the outcome of a call and, if the limit refused it, the rate-limit headers. A call succeeds if its status is
/// HTTP 200 and its body contains no error.
async fn classify(result: reqwest::Result<Response>) -> (CallOutcome, Option<String>) {
    let Ok(response) = result else { return (CallOutcome::Failed, None) };
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("?").to_owned();
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        let names = ["Retry-After", "RateLimit", "RateLimit-Policy"];
        return (CallOutcome::Limited, Some(names.map(|name| format!("{name}: {}", header(name))).join(" · ")));
    }
    let attempts = header("x-tidegate-attempts");
    let success = response.status() == StatusCode::OK
        && response.json().await.is_ok_and(|body: Value| body.get("error_response").is_none());
    let outcome = match (success, attempts.as_str()) {
        (true, "1") => CallOutcome::FirstAttempt,
        (true, _) => CallOutcome::AfterRetry,
        (false, _) => CallOutcome::Failed,
    };
    (outcome, None)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::demo::loopback::serve_on_loopback;

    #[tokio::test]
    async fn success_requires_http_200_and_a_body_without_an_error() {
        let rows = [
            (200, r#"{"order": 1}"#, "1", CallOutcome::FirstAttempt),
            (200, r#"{"order": 1}"#, "3", CallOutcome::AfterRetry),
            (200, r#"{"error_response": {"code": 15}}"#, "1", CallOutcome::Failed),
            (200, "not JSON", "1", CallOutcome::Failed),
            (503, r#"{"order": 1}"#, "6", CallOutcome::Failed),
            (429, "", "0", CallOutcome::Limited),
        ];
        for (status, body, attempts, expected) in rows {
            let status = StatusCode::from_u16(status).unwrap();
            let handler = move || async move { (status, [("x-tidegate-attempts", attempts)], body) };
            let address = serve_on_loopback(Router::new().fallback(get(handler))).await.unwrap();
            let (outcome, limit_headers) = classify(reqwest::get(address).await).await;
            assert_eq!(outcome, expected, "{status} {body} after {attempts}");
            assert_eq!(limit_headers.is_some(), outcome == CallOutcome::Limited);
        }
    }
}
