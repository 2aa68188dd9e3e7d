//! Wasm retry policies. They receive a failure and return a verdict.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Action, Class, Failure, FailureKind, Fault, FaultKind, HostView, RetryPolicy, Verdict};

use super::bindings::retry::Retry;
use super::bindings::shared::retry_types as wit;
use super::bindings::v0_1;
use super::guest::Guests;
use super::{MAX_TEXT_SIZE, cut};

/// An instance of a retry policy, by the version of the contract.
pub enum RetryGuest {
    /// Contract 0.2.0.
    Current(Retry),
    /// Contract 0.1.0.
    V0_1(v0_1::retry::Retry),
}

/// A retry policy that is a Wasm component.
pub struct WasmRetry {
    /// The instances of the component.
    pub guests: Guests<RetryGuest>,
    /// Whether it imports metrics or limits.
    pub reads_host: bool,
}

impl RetryPolicy for WasmRetry {
    fn classify(&self, failure: &Failure, view: &Arc<dyn HostView>) -> Result<Verdict, Fault> {
        self.classify_within(None, failure, view)
    }
}

impl WasmRetry {
    /// Evaluates the policy for a typical failure, within this deadline.
    pub fn check(&self, deadline: Duration, view: &Arc<dyn HostView>) -> Result<Verdict, Fault> {
        self.classify_within(Some(deadline), &sample_failure(), view)
    }

    fn classify_within(
        &self,
        deadline: Option<Duration>,
        failure: &Failure,
        view: &Arc<dyn HostView>,
    ) -> Result<Verdict, Fault> {
        let headers: Vec<_> = failure.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let verdict = self.guests.call(deadline, |store, guest| {
            if self.reads_host {
                store.data_mut().call.begin(view, &failure.platform, None);
            }
            match guest {
                RetryGuest::Current(guest) => {
                    guest.call_classify(store, failure_to_wit(failure, &headers)).map(verdict_from_wit)
                }
                RetryGuest::V0_1(guest) => super::v0_1::classify(guest, store, failure, &headers),
            }
        })?;
        if verdict.class.is_none() && verdict.action != Action::Default {
            return Err(Fault::new(FaultKind::Type, "missing class: every verdict except `default` has one"));
        }
        Ok(verdict)
    }
}

/// Returns a typical failure.
fn sample_failure() -> Failure {
    Failure {
        platform: "sample".to_owned(),
        endpoint: "sample".to_owned(),
        status: Some(503),
        message: Some("Service Unavailable".to_owned()),
        ..Failure::default()
    }
}

fn failure_to_wit<'a>(failure: &'a Failure, headers: &'a [(&'a str, &'a str)]) -> wit::Failure<'a> {
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
        at_ms: failure.at_ms,
        status: failure.status,
        code: failure.code.as_deref(),
        sub_code: failure.sub_code.as_deref(),
        message: failure.message.as_deref(),
        headers,
        retry_after_ms: failure.retry_after_ms,
    }
}

fn verdict_from_wit(verdict: wit::Verdict) -> Verdict {
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
    Verdict {
        action,
        class,
        after_ms: verdict.after_ms,
        reason: verdict.reason.map(|reason| cut(reason, MAX_TEXT_SIZE)),
    }
}
