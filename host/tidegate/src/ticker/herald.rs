//! Tells the channels what is no rule's doing: that Redis is away, or that a policy is set aside.

use tidegate_core::Notification;
use tokio::task::JoinSet;

use crate::Host;
use crate::alerts::send;

/// Messages on their way.
pub struct Herald {
    host: Host,
    telling: JoinSet<()>,
}

impl Herald {
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), telling: JoinSet::new() }
    }

    /// Sends it to these channels, or to all; what is sent is no part of the history.
    pub fn tell(&mut self, notification: &Notification, channels: Option<Vec<String>>) {
        while self.telling.try_join_next().is_some() {}
        tracing::error!(title = notification.title(), detail = notification.detail, "alert");
        let alerts = self.host.alerts();
        for channel in channels.unwrap_or_else(|| alerts.channels()) {
            match alerts.notifier(&channel) {
                Some(notifier) => {
                    let notification = notification.clone();
                    self.telling.spawn(async move { drop(send(channel, &*notifier, &notification).await) });
                }
                None => tracing::warn!(channel, "no [channels.{channel}] in the configuration"),
            }
        }
    }

    /// Waits until what was told has arrived.
    pub async fn arrive(&mut self) {
        while self.telling.join_next().await.is_some() {}
    }
}
