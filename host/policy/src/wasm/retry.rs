//! Retry classifiers: a failure in, a verdict out.

use std::time::Duration;

use tidegate_core::{Action, Class, Failure, FailureKind, Fault, FaultKind, RetryPolicy, Verdict};

use super::bindings::retry::Retry;
use super::bindings::retry::tidegate::policy::retry_types as wit;
use super::cut;
use super::guest::Guests;

/// A classifier that runs as Wasm.
pub struct WasmRetry {
    /// Its instances.
    pub guests: Guests<Retry>,
    /// How long one verdict may take.
    pub deadline: Duration,
}

impl RetryPolicy for WasmRetry {
    fn classify(&self, failure: &Failure) -> Result<Verdict, Fault> {
        self.classify_within(self.deadline, failure)
    }
}

impl WasmRetry {
    /// Asks about an ordinary failure, within a deadline of its own.
    pub fn check(&self, deadline: Duration) -> Result<Verdict, Fault> {
        self.classify_within(deadline, &sample())
    }

    fn classify_within(&self, deadline: Duration, failure: &Failure) -> Result<Verdict, Fault> {
        let headers: Vec<_> = failure.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let asked = outbound(failure, &headers);
        inbound(self.guests.call(deadline, |store, guest| guest.call_classify(store, asked))?)
    }
}

/// A failure such as every platform has.
fn sample() -> Failure {
    Failure {
        platform: "sample".to_owned(),
        endpoint: "sample".to_owned(),
        status: Some(503),
        message: Some("Service Unavailable".to_owned()),
        ..Failure::default()
    }
}

fn outbound<'a>(failure: &'a Failure, headers: &'a [(&'a str, &'a str)]) -> wit::Failure<'a> {
    wit::Failure {
        platform: &failure.platform,
        endpoint: &failure.endpoint,
        kind: match failure.kind {
            FailureKind::Timeout => wit::FailureKind::Timeout,
            FailureKind::Connection => wit::FailureKind::Connection,
            FailureKind::Response => wit::FailureKind::Response,
        },
        attempt: failure.attempt,
        elapsed_ms: failure.elapsed_ms,
        status: failure.status,
        code: failure.code.as_deref(),
        sub_code: failure.sub_code.as_deref(),
        message: failure.message.as_deref(),
        headers,
        retry_after_ms: failure.retry_after_ms,
    }
}

fn inbound(verdict: wit::Verdict) -> Result<Verdict, Fault> {
    let action = match verdict.action {
        wit::Action::Retry => Action::Retry,
        wit::Action::GiveUp => Action::GiveUp,
        wit::Action::Default => Action::Default,
    };
    let class = verdict.class.map(|class| match class {
        wit::Class::Throttled => Class::Throttled,
        wit::Class::Quota => Class::Quota,
        wit::Class::Transient => Class::Transient,
        wit::Class::Auth => Class::Auth,
        wit::Class::Permanent => Class::Permanent,
    });
    if class.is_none() && action != Action::Default {
        return Err(Fault::new(FaultKind::Type, "a verdict without a class, which only `default` may be"));
    }
    Ok(Verdict { action, class, after_ms: verdict.after_ms, reason: verdict.reason.map(cut) })
}
