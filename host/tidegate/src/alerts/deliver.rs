//! Bringing a message to its channels.

use std::time::Duration;

use tidegate_core::{Backoff, Notification, Notifier};

use super::judge::Due;
use super::{Alerts, Delivery};

/// How often one channel is tried for one message.
const ATTEMPTS: u32 = 5;

/// Waits between tries; a receiver's own wait is honoured up to ten minutes, the longest silence DingTalk imposes.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30), jitter: 0.5 };
const LONGEST_WAIT: Duration = Duration::from_secs(600);

impl Alerts {
    /// Writes the message down, sends it on every channel at once, and marks how each ended.
    pub(crate) async fn deliver(self, due: Due) {
        let Due { notification, channels } = due;
        tracing::info!(title = notification.title(), "alert");
        let id = self.remember(&notification);
        let known = self.0.channels.load_full();
        let mut sending = tokio::task::JoinSet::new();
        for channel in channels {
            let (notification, notifier) = (notification.clone(), known.get(&channel).cloned());
            sending.spawn(async move {
                match notifier {
                    Some(notifier) => send(channel, &*notifier, &notification).await,
                    None => unknown(channel),
                }
            });
        }
        while let Some(ended) = sending.join_next().await {
            match ended {
                Ok(delivery) => self.mark(id, delivery),
                Err(panic) => tracing::error!(%panic, "a notifier failed"),
            }
        }
    }
}

fn unknown(channel: String) -> Delivery {
    let error = format!("no [channels.{channel}] in the configuration");
    tracing::warn!(channel, "{error}");
    Delivery { channel, delivered: false, attempts: 0, error: Some(error) }
}

async fn send(channel: String, notifier: &dyn Notifier, notification: &Notification) -> Delivery {
    for attempts in 1.. {
        let error = match notifier.send(notification).await {
            Ok(()) => return Delivery { channel, delivered: true, attempts, error: None },
            Err(error) => error,
        };
        tracing::warn!(channel, attempts, %error, "alert not delivered");
        if !error.transient || attempts >= ATTEMPTS {
            return Delivery { channel, delivered: false, attempts, error: Some(error.message) };
        }
        let backoff = BACKOFF.delay(attempts, rand::random());
        tokio::time::sleep(error.retry_after.unwrap_or_default().min(LONGEST_WAIT).max(backoff)).await;
    }
    unreachable!("attempts are counted up without end")
}
