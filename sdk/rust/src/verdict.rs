//! Constructors of verdicts, default inputs for tests, and names.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{
    Action, Admission, AlertVerdict, Allowance, Class, Denial, Failure, FailureKind, Level, Request, Snapshot, Stats,
    Verdict,
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

    /// Sets the minimum delay before the next call.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.after_ms = Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
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

impl Failure {
    /// Returns the delay that the platform requested, if it requested one.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }

    /// Returns the value of a header of the response. Case does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Request {
    /// Returns the value of a header. Case does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns the value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The error of a text that is not the name of any value of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseNameError {
    names: &'static [&'static str],
    found: String,
}

impl fmt::Display for ParseNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected ")?;
        for (index, name) in self.names.iter().enumerate() {
            let separator = match index {
                0 => "",
                _ if index + 1 == self.names.len() => " or ",
                _ => ", ",
            };
            write!(f, "{separator}{name:?}")?;
        }
        write!(f, ", found {:?}", self.found)
    }
}

impl std::error::Error for ParseNameError {}

/// Gives an enum the names that Rhai scripts, test cases and the decision log use: `Display` and `FromStr`.
macro_rules! text_enum {
    ($type:ident { $($variant:ident => $name:literal),+ }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$variant => $name),+
                })
            }
        }

        impl FromStr for $type {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, ParseNameError> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(ParseNameError { names: &[$($name),+], found: text.to_owned() }),
                }
            }
        }
    };
}

text_enum!(Action { Retry => "retry", GiveUp => "give_up", Default => "default" });
text_enum!(Class {
    Throttled => "throttled",
    Quota => "quota",
    Transient => "transient",
    Auth => "auth",
    Permanent => "permanent"
});
text_enum!(FailureKind { Timeout => "timeout", Connection => "connection", Response => "response" });
text_enum!(Level { Debug => "debug", Info => "info", Warn => "warn" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_set_the_fields_of_a_verdict() {
        let verdict = Verdict::retry(Class::Throttled).with_delay(Duration::from_secs(2)).with_reason("too many calls");
        let fields = (verdict.action, verdict.class, verdict.after_ms, verdict.reason.as_deref());
        assert_eq!(fields, (Action::Retry, Some(Class::Throttled), Some(2_000), Some("too many calls")));
        assert_eq!(Verdict::give_up(Class::Quota).action, Action::GiveUp);
    }

    #[test]
    fn headers_and_labels_are_found_by_name() {
        let pairs = || vec![("x-id".to_owned(), "1".to_owned()), ("x-id".to_owned(), "2".to_owned())];
        let failure = Failure { headers: pairs(), retry_after_ms: Some(1_500), ..Failure::default() };
        assert_eq!((failure.header("X-Id"), failure.header("x-other")), (Some("1"), None));
        assert_eq!(
            (failure.retry_after(), Failure::default().retry_after()),
            (Some(Duration::from_millis(1_500)), None)
        );
        let request = Request { headers: pairs(), labels: pairs(), ..Request::default() };
        assert_eq!(
            (request.header("X-ID"), request.label("x-id"), request.label("X-Id")),
            (Some("1"), Some("1"), None)
        );
    }

    #[test]
    fn an_abstaining_verdict_has_no_class() {
        let verdict = Verdict::abstain();
        assert_eq!((verdict.action, verdict.class), (Action::Default, None));
    }
}
