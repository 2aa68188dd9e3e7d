//! The kind `log`: the log of the process.

use std::sync::Arc;

use tidegate_core::config::{Channel, ChannelConfig, ChannelContext, ChannelError};
use tidegate_core::notify::SendFuture;
use tidegate_core::{Notification, Notifier, Severity, Transition};
use tracing::{Level, event};

use crate::message;

/// The log of the process: every notification is an event of `tracing`. The severity sets the level; a resolved alert
/// is logged at level INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log;

impl Channel for Log {
    fn open(&self, _: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        Ok(Arc::new(LogNotifier))
    }
}

impl From<Log> for ChannelConfig {
    fn from(channel: Log) -> Self {
        Self::new("log", channel)
    }
}

struct LogNotifier;

impl Notifier for LogNotifier {
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
