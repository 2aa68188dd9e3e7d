//! Notifications about tidegate itself: that Redis is unavailable, or that a policy is quarantined.

use tidegate_core::Notification;
use tokio::task::JoinSet;

use crate::Host;
use crate::alerts::send;

/// Sends notifications that do not belong to a rule.
pub struct SystemNotifier {
    host: Host,
    tasks: JoinSet<()>,
}

impl SystemNotifier {
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), tasks: JoinSet::new() }
    }

    /// Sends a notification to these channels, or to all if `None`. It is not recorded in the history.
    pub fn send(&mut self, notification: &Notification, channels: Option<Vec<String>>) {
        while self.tasks.try_join_next().is_some() {}
        tracing::error!(title = notification.title(), detail = notification.detail, "sending alert notification");
        let alerts = self.host.alerts();
        for channel in channels.unwrap_or_else(|| alerts.channels()) {
            match alerts.notifier(&channel) {
                Some(notifier) => {
                    let notification = notification.clone();
                    self.tasks.spawn(async move { drop(send(channel, &*notifier, &notification).await) });
                }
                None => tracing::warn!(channel, "alert channel not configured"),
            }
        }
    }

    /// Waits until all notifications have been sent.
    pub async fn drain(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
