//! The process's own log as a channel.

use tidegate::core::notify::Sending;
use tidegate::core::{Notification, Notifier, Severity, Transition};
use tracing::{Level, event};

use super::message;

/// Writes every notification to the log, at a level by its severity; what is over is news, not trouble.
pub(super) struct Log;

impl Notifier for Log {
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        let title = message::title(notification);
        let facts = message::facts(notification).into_iter().map(|(name, value)| format!("{name}: {value}"));
        let facts = facts.collect::<Vec<_>>().join("; ");
        match (notification.transition, notification.severity) {
            (Transition::Resolved, _) | (_, Severity::Info) => event!(Level::INFO, "{title}; {facts}"),
            (_, Severity::Warning) => event!(Level::WARN, "{title}; {facts}"),
            (_, Severity::Critical) => event!(Level::ERROR, "{title}; {facts}"),
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
