//! Notifications and the channels that send them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Severity, Stats, Transition};

/// A notification about one rule and one platform or endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Returns a summary in one line, for a title or a log.
    #[must_use]
    pub fn title(&self) -> String {
        let scope = self.endpoint.as_ref().map_or(String::new(), |endpoint| format!(" {endpoint}"));
        format!("[{}] {} {}: {}{scope}", self.severity.name(), self.rule, self.transition.name(), self.platform)
    }
}

/// The error of a notification that was not delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    /// The message. It contains no secrets, because users see it.
    pub message: String,
    /// Whether another attempt may succeed.
    pub transient: bool,
    /// The wait that the receiver asked for.
    pub retry_after: Option<Duration>,
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
