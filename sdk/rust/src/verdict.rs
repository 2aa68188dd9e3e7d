//! Verdicts in a sentence, and values that a test changes only where it matters.

use crate::{
    Action, Admission, AlertVerdict, Allowance, Class, Denial, Failure, FailureKind, Request, Snapshot, Stats, Verdict,
};

impl Verdict {
    /// Advice to call again; the host waits by its backoff.
    #[must_use]
    pub const fn retry(class: Class) -> Self {
        Self { action: Action::Retry, class: Some(class), after_ms: None, reason: None }
    }

    /// Advice to stop.
    #[must_use]
    pub const fn give_up(class: Class) -> Self {
        Self { action: Action::GiveUp, class: Some(class), after_ms: None, reason: None }
    }

    /// No opinion: `retry/default` decides, then the host's fallback.
    #[must_use]
    pub const fn abstain() -> Self {
        Self { action: Action::Default, class: None, after_ms: None, reason: None }
    }

    /// The same with a least wait, in milliseconds.
    #[must_use]
    pub const fn after_ms(mut self, wait: u64) -> Self {
        self.after_ms = Some(wait);
        self
    }

    /// The same with a few words for the log; the host keeps the first 512 bytes.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl AlertVerdict {
    /// The condition holds; the words stand in the message to people.
    #[must_use]
    pub fn firing(detail: impl Into<String>) -> Self {
        Self::Firing(Some(detail.into()))
    }
}

impl Admission {
    /// It goes, and costs so much at each limit it passes.
    #[must_use]
    pub const fn allow(cost: u32) -> Self {
        Self::Allow(Allowance { cost, scope: Vec::new() })
    }

    /// The same with a label that picks further limits of the platform; what does not go has none.
    #[must_use]
    pub fn scoped(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Self::Allow(allowance) = &mut self {
            allowance.scope.push((name.into(), value.into()));
        }
        self
    }

    /// It does not go; the status is one of 400 to 599.
    #[must_use]
    pub fn deny(reason: impl Into<String>, status: u16) -> Self {
        Self::Deny(Denial { reason: reason.into(), status })
    }
}

impl Default for Request {
    /// A GET without platform, endpoint, headers and labels.
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
    /// The first attempt, answered without status, code or words.
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
    /// A window without calls.
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
    /// A platform without a name and without calls.
    fn default() -> Self {
        Self { platform: String::new(), endpoint: None, stats: Stats::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_reads_as_a_sentence_and_says_what_it_says() {
        let verdict = Verdict::retry(Class::Throttled).after_ms(2_000).because("called too often");
        let said = (verdict.action, verdict.class, verdict.after_ms, verdict.reason.as_deref());
        assert_eq!(said, (Action::Retry, Some(Class::Throttled), Some(2_000), Some("called too often")));
        assert_eq!(Verdict::give_up(Class::Quota).action, Action::GiveUp);
    }

    #[test]
    fn only_no_opinion_goes_without_a_class() {
        let verdict = Verdict::abstain();
        assert_eq!((verdict.action, verdict.class), (Action::Default, None));
    }
}
