//! Telling people.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Severity, Stats, Transition};

/// One message about one rule and one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The rule's name.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The platform.
    pub platform: String,
    /// The endpoint, where the rule looks at each of them.
    pub endpoint: Option<String>,
    /// Fired, still firing, or resolved.
    pub transition: Transition,
    /// The rule's condition in its own words.
    pub condition: String,
    /// What the policy added.
    pub detail: Option<String>,
    /// The figures that were judged.
    pub stats: Stats,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Notification {
    /// One line for a title or a log.
    #[must_use]
    pub fn title(&self) -> String {
        let scope = self.endpoint.as_ref().map_or(String::new(), |endpoint| format!(" {endpoint}"));
        format!("[{}] {} {}: {}{scope}", self.severity.name(), self.rule, self.transition.name(), self.platform)
    }
}

/// Why a notification was not delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    /// Without any secret: it is shown to people.
    pub message: String,
    /// Whether sending the same again may succeed.
    pub transient: bool,
    /// How long the receiver asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// A future that a notifier returns.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), NotifyError>> + Send + 'a>>;

/// A channel that carries notifications to people.
pub trait Notifier: Send + Sync {
    /// Delivers one notification, once; who calls decides about another attempt.
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a>;
}
