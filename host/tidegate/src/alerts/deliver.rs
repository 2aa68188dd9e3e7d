//! Bringing messages to their channels.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tidegate_core::store::{AlertRecord, Delivery};
use tidegate_core::{Backoff, Notification, Notifier};
use tokio::task::{Id, JoinError, JoinSet};

use super::Alerts;

/// How often one channel is tried for one message.
const ATTEMPTS: u32 = 5;

/// Waits between tries; a receiver's own wait is honoured up to ten minutes, the longest silence DingTalk imposes.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30), jitter: 0.5 };
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// A message and one of its channels.
type Place = (u64, String);

/// The messages that this process brings to their channels.
#[derive(Default)]
pub struct Deliveries {
    tasks: JoinSet<Delivery>,
    on_their_way: HashMap<Id, Place>,
    /// How those ended that the store may not know of yet: a mark that was lost must not tell people again.
    ended: BTreeMap<Place, Delivery>,
}

impl Deliveries {
    /// Sets out with what is open and not on its way yet; marks what has ended.
    pub async fn send(&mut self, alerts: &Alerts, open: Vec<AlertRecord>) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.note(ended);
        }
        let open = open.iter().flat_map(|record| record.open().map(move |channel| (record, channel)));
        let open: BTreeMap<Place, &Notification> =
            open.map(|(record, channel)| ((record.id, channel.clone()), &record.intent.notification)).collect();
        self.ended.retain(|place, _| open.contains_key(place));
        for (place, notification) in open {
            if let Some(delivery) = self.ended.get(&place) {
                alerts.mark(place.0, delivery.clone()).await;
            } else if !self.on_their_way.values().any(|other| *other == place) {
                let task = alerts.clone().deliver(place.clone(), notification.clone());
                self.on_their_way.insert(self.tasks.spawn(task).id(), place);
            }
        }
    }

    /// Stops sending: somebody else does it now.
    pub async fn stop(&mut self) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            match ended {
                Err(error) if error.is_cancelled() => drop(self.on_their_way.remove(&error.id())),
                ended => self.note(ended),
            }
        }
    }

    /// Waits until all on their way have arrived.
    pub async fn arrive(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<(Id, Delivery), JoinError>) {
        let (id, delivery) = match ended {
            Ok((id, delivery)) => (id, Ok(delivery)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(place) = self.on_their_way.remove(&id) else { return };
        let delivery = delivery.unwrap_or_else(|panic| {
            tracing::error!(%panic, channel = place.1, "a notifier failed");
            failed(place.1.clone(), 1, "the notifier failed: see the log".to_owned())
        });
        self.ended.insert(place, delivery);
    }
}

impl Alerts {
    /// Sends a message on one channel and marks how it ended.
    async fn deliver(self, (id, channel): Place, notification: Notification) -> Delivery {
        let delivery = match self.notifier(&channel) {
            Some(notifier) => send(channel, &*notifier, &notification).await,
            None => {
                let error = format!("no [channels.{channel}] in the configuration");
                tracing::warn!(channel, "{error}");
                failed(channel, 0, error)
            }
        };
        self.mark(id, delivery.clone()).await;
        delivery
    }

    async fn mark(&self, id: u64, delivery: Delivery) {
        if let Err(error) = self.0.store.mark(id, delivery).await {
            tracing::warn!(id, %error, "what became of an alert could not be written down");
        }
    }
}

fn failed(channel: String, attempts: u32, error: String) -> Delivery {
    Delivery { channel, delivered: false, attempts, error: Some(error) }
}

/// Sends one message on one channel, again where that may help.
pub async fn send(channel: String, notifier: &dyn Notifier, notification: &Notification) -> Delivery {
    for attempts in 1.. {
        let error = match notifier.send(notification).await {
            Ok(()) => return Delivery { channel, delivered: true, attempts, error: None },
            Err(error) => error,
        };
        tracing::warn!(channel, attempts, %error, "alert not delivered");
        if !error.transient || attempts >= ATTEMPTS {
            return failed(channel, attempts, error.message);
        }
        let backoff = BACKOFF.delay(attempts, rand::random());
        tokio::time::sleep(error.retry_after.unwrap_or_default().min(LONGEST_WAIT).max(backoff)).await;
    }
    unreachable!("attempts are counted up without end")
}
