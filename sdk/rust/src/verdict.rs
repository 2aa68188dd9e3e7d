//! Constructors of verdicts, default inputs for tests, and names.

use std::fmt;

use crate::{
    Action, Admission, AlertVerdict, Allowance, Class, Denial, Failure, FailureKind, Request, Snapshot, Stats, Verdict,
};

impl Verdict {
    /// Advises the host to call again after its own backoff delay.
    #[must_use]
    pub const fn retry(class: Class) -> Self {
        Self { action: Action::Retry, class: Some(class), after_ms: None, reason: None }
    }

    /// Advises the host not to call again.
    #[must_use]
    pub const fn give_up(class: Class) -> Self {
        Self { action: Action::GiveUp, class: Some(class), after_ms: None, reason: None }
    }

    /// Leaves the decision to `retry/default`, then to the host's built-in fallback.
    #[must_use]
    pub const fn abstain() -> Self {
        Self { action: Action::Default, class: None, after_ms: None, reason: None }
    }

    /// Sets the minimum delay before the next call, in milliseconds.
    #[must_use]
    pub const fn after_ms(mut self, after_ms: u64) -> Self {
        self.after_ms = Some(after_ms);
        self
    }

    /// Sets a short reason for the log. The host keeps its first 512 bytes.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl AlertVerdict {
    /// Reports that the condition holds. The notification contains `detail`.
    #[must_use]
    pub fn firing(detail: impl Into<String>) -> Self {
        Self::Firing(Some(detail.into()))
    }
}

impl Admission {
    /// Allows the request at this cost. Each limit that applies to the request charges the cost.
    #[must_use]
    pub const fn allow(cost: u32) -> Self {
        Self::Allow(Allowance { cost, scope: Vec::new() })
    }

    /// Adds a label that selects further limits of the platform. It has no effect on a verdict that does not allow the
    /// request.
    #[must_use]
    pub fn with_scope(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Self::Allow(allowance) = &mut self {
            allowance.scope.push((name.into(), value.into()));
        }
        self
    }

    /// Denies the request with an HTTP status from 400 to 599.
    #[must_use]
    pub fn deny(reason: impl Into<String>, status: u16) -> Self {
        Self::Deny(Denial { reason: reason.into(), status })
    }
}

impl Default for Request {
    /// Returns a GET request without a platform, endpoint, headers and labels.
    fn default() -> Self {
        Self {
            platform: String::new(),
            endpoint: String::new(),
            method: "GET".to_owned(),
            at_ms: 0,
            headers: Vec::new(),
            labels: Vec::new(),
        }
    }
}

impl Default for Failure {
    /// Returns the first attempt, with an error response that has no status, code or message.
    fn default() -> Self {
        Self {
            platform: String::new(),
            endpoint: String::new(),
            kind: FailureKind::Response,
            attempt: 1,
            elapsed_ms: 0,
            at_ms: 0,
            status: None,
            code: None,
            sub_code: None,
            message: None,
            headers: Vec::new(),
            retry_after_ms: None,
        }
    }
}

impl Default for Stats {
    /// Returns the statistics of a window without calls.
    fn default() -> Self {
        Self {
            count: 0,
            success: 0,
            errors: 0,
            limited: 0,
            total_ms: 0.0,
            error_rate: 0.0,
            success_rate: 1.0,
            limited_rate: 0.0,
            rps: 0.0,
            p50: 0.0,
            p95: 0.0,
            p99: 0.0,
            from_ms: 0,
            to_ms: 0,
        }
    }
}

impl Default for Snapshot {
    /// Returns a snapshot of a platform without a name and without calls.
    fn default() -> Self {
        Self { platform: String::new(), endpoint: None, stats: Stats::default() }
    }
}

impl fmt::Display for Class {
    /// Writes the name that Rhai scripts and test cases use, such as `throttled`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "throttled",
            Self::Quota => "quota",
            Self::Transient => "transient",
            Self::Auth => "auth",
            Self::Permanent => "permanent",
        })
    }
}

impl fmt::Display for FailureKind {
    /// Writes the name that Rhai scripts and test cases use, such as `timeout`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Response => "response",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_set_the_fields_of_a_verdict() {
        let verdict = Verdict::retry(Class::Throttled).after_ms(2_000).with_reason("too many calls");
        let fields = (verdict.action, verdict.class, verdict.after_ms, verdict.reason.as_deref());
        assert_eq!(fields, (Action::Retry, Some(Class::Throttled), Some(2_000), Some("too many calls")));
        assert_eq!(Verdict::give_up(Class::Quota).action, Action::GiveUp);
    }

    #[test]
    fn an_abstaining_verdict_has_no_class() {
        let verdict = Verdict::abstain();
        assert_eq!((verdict.action, verdict.class), (Action::Default, None));
    }
}
