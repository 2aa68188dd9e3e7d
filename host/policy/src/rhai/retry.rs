//! Retry policies: the variables describe a failure; the last value of the script is the verdict.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, ImmutableString};
use tidegate_core::{Failure, Fault, HostView, RetryPolicy, Verdict};

use super::loader::{CallInput, ScriptKind, ScriptPolicy};
use super::values::{float, string, string_or_empty, type_label};
use crate::paths::PolicyKind;

/// The kind of retry policies.
pub struct RetryKind;

impl ScriptKind for RetryKind {
    type Input = Failure;
    type Output = Verdict;

    const KIND: PolicyKind = PolicyKind::Retry;

    fn samples() -> Vec<(&'static str, Failure)> {
        let full = Failure::response(200)
            .with_platform("sample")
            .with_endpoint("orders")
            .with_elapsed(Duration::from_millis(120))
            .with_at_ms(1_763_913_600_000)
            .with_code("7")
            .with_sub_code("isv.sample")
            .with_message("This ban will last for 3 more seconds")
            .with_retry_after(Duration::from_millis(3_000))
            .with_body(b"{\"code\": 7}")
            .with_headers([("x-request-id", "1")]);
        let with_status = |status| full.clone().with_status(status).with_attempt(2);
        vec![
            ("an empty failure", Failure::default()),
            ("a timeout", Failure::timeout()),
            ("a broken connection", Failure::connection()),
            ("a failure with status 503", with_status(503)),
            ("a failure with status 401", with_status(401)),
            ("a failure with every field", full),
        ]
    }

    fn variable(failure: &Failure, index: usize) -> Dynamic {
        let number = |integer: u64| Dynamic::from_float(float(integer));
        match index {
            0 => string(&failure.platform),
            1 => string(&failure.endpoint),
            2 => string(failure.kind.as_str()),
            3 => string_or_empty(failure.code.as_deref()),
            4 => string_or_empty(failure.sub_code.as_deref()),
            5 => string_or_empty(failure.message.as_deref()),
            // The host has limited the size of the body.
            6 => ImmutableString::from(failure.body.as_deref().unwrap_or_default()).into(),
            7 => number(failure.attempt.into()),
            8 => number(failure.elapsed_ms),
            9 => number(failure.at_ms),
            10 => number(failure.status.unwrap_or(0).into()),
            _ => number(failure.retry_after_ms.unwrap_or(0)),
        }
    }

    fn call_input(failure: &Failure) -> CallInput<'_> {
        CallInput { platform: &failure.platform, headers: &failure.headers, ..CallInput::default() }
    }

    fn output(value: Dynamic) -> Result<Verdict, String> {
        let type_name = value.type_name();
        value.try_cast::<Verdict>().ok_or_else(|| {
            format!("expected retry(…), give_up(…) or abstain() as the last value, found {}", type_label(type_name))
        })
    }
}

impl RetryPolicy for ScriptPolicy<RetryKind> {
    fn classify(&self, failure: &Failure, view: &Arc<dyn HostView>) -> Result<Verdict, Fault> {
        self.evaluate(failure, view)
    }

    fn reads_body(&self) -> bool {
        self.reads("body")
    }
}
