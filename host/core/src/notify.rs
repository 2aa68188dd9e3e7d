//! Notifications and the channels that send them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Severity, Stats, Transition};

/// A notification about one rule and one platform or endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notification {
    /// The name of the rule.
    pub rule: String,
    /// The severity of the rule.
    pub severity: Severity,
    /// The platform.
    pub platform: String,
    /// The endpoint, if the rule evaluates each endpoint.
    pub endpoint: Option<String>,
    /// The change of the alert.
    pub transition: Transition,
    /// The text of the rule's condition.
    pub condition: String,
    /// The detail that the policy returned.
    pub detail: Option<String>,
    /// The statistics that the rule evaluated. Those of a built-in alert are empty: `to_ms` is 0.
    pub stats: Stats,
    /// The time of the evaluation, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Notification {
    /// Creates a notification without condition, detail and statistics.
    ///
    /// ```
    /// use tidegate_core::{Notification, Severity, Transition};
    /// let notification =
    ///     Notification::new("slow", Severity::Warning, "jd", Transition::Firing).with_endpoint("orders");
    /// assert_eq!(notification.title(), "[warning] slow firing: jd orders");
    /// ```
    #[must_use]
    pub fn new(
        rule: impl Into<String>,
        severity: Severity,
        platform: impl Into<String>,
        transition: Transition,
    ) -> Self {
        Self {
            rule: rule.into(),
            severity,
            platform: platform.into(),
            endpoint: None,
            transition,
            condition: String::new(),
            detail: None,
            stats: Stats::default(),
            at_ms: 0,
        }
    }

    /// Sets the endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Sets the text of the rule's condition.
    #[must_use]
    pub fn with_condition(mut self, condition: impl Into<String>) -> Self {
        self.condition = condition.into();
        self
    }

    /// Sets the detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Sets the statistics.
    #[must_use]
    pub fn with_stats(mut self, stats: Stats) -> Self {
        self.stats = stats;
        self
    }

    /// Sets the time of the evaluation, in milliseconds since 1970.
    #[must_use]
    pub fn with_at_ms(mut self, at_ms: u64) -> Self {
        self.at_ms = at_ms;
        self
    }

    /// Returns a summary in one line, for a title or a log.
    #[must_use]
    pub fn title(&self) -> String {
        let scope = self.endpoint.as_ref().map_or(String::new(), |endpoint| format!(" {endpoint}"));
        let transition = self.transition.as_str().replace('_', " ");
        format!("[{}] {} {transition}: {}{scope}", self.severity, self.rule, self.platform)
    }
}

/// The error of a notification that was not delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    message: String,
    is_transient: bool,
    retry_after: Option<Duration>,
}

impl NotifyError {
    /// Creates an error after which another attempt may succeed. Users see the message, so it must contain no secrets.
    #[must_use]
    pub fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_transient: true, retry_after: None }
    }

    /// Creates an error that every further attempt would have too. Users see the message, so it must contain no
    /// secrets.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_transient: false, retry_after: None }
    }

    /// Sets the wait that the receiver asked for.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns whether another attempt may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// Returns the wait that the receiver asked for.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// The future that [`Notifier::send`] returns.
pub type SendFuture<'a> = Pin<Box<dyn Future<Output = Result<(), NotifyError>> + Send + 'a>>;

/// A channel that sends notifications.
pub trait Notifier: Send + Sync {
    /// Sends a notification once. The caller decides about further attempts.
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a>;

    /// Returns whether the channel writes to the log of this process. tidegate logs every new notification once, and
    /// leaves that to such a channel.
    fn is_log(&self) -> bool {
        false
    }
}
