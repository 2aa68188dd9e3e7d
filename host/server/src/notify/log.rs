//! A channel that writes notifications to the log of this process.

use tidegate_core::notify::SendFuture;
use tidegate_core::{Notification, Notifier, Severity, Transition};
use tracing::{Level, event};

use super::message;

/// Writes every notification to the log. The severity sets the level; a resolved alert is logged at level INFO.
pub(super) struct LogChannel;

impl Notifier for LogChannel {
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
        let title = message::title(notification);
        let facts = message::facts(notification).into_iter().map(|(name, value)| format!("{name}: {value}"));
        let details = facts.collect::<Vec<_>>().join("; ");
        match (notification.transition, notification.severity) {
            (Transition::Resolved, _) | (_, Severity::Info) => {
                event!(Level::INFO, title, details, "alert notification")
            }
            (_, Severity::Warning) => event!(Level::WARN, title, details, "alert notification"),
            (_, Severity::Critical) => event!(Level::ERROR, title, details, "alert notification"),
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_log(&self) -> bool {
        true
    }
}
