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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tidegate_core::StoreError;
    use tidegate_core::notify::Sending;
    use tidegate_core::store::{AlertStore, Answer, Changes, Intent, Seen};
    use tidegate_core::{Severity, Stats, Transition};

    use super::*;
    use crate::SystemClock;
    use crate::alerts::MemoryAlerts;

    /// A store that loses so many marks.
    struct Forgetful(MemoryAlerts, AtomicU32);

    impl AlertStore for Forgetful {
        fn look(&self) -> Answer<'_, Seen> {
            self.0.look()
        }

        fn lead(&self, token: u64) -> Answer<'_, Option<Seen>> {
            self.0.lead(token)
        }

        fn write(&self, token: u64, changes: Changes) -> Answer<'_, Option<Vec<AlertRecord>>> {
            self.0.write(token, changes)
        }

        fn mark(&self, id: u64, delivery: Delivery) -> Answer<'_, ()> {
            let left = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            match left {
                Ok(_) => Box::pin(async { Err(StoreError::away("gone")) }),
                Err(_) => self.0.mark(id, delivery),
            }
        }

        fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> Answer<'a, Vec<AlertRecord>> {
            self.0.history(platform, limit)
        }
    }

    /// Counts what it is given, and panics where it is told to.
    struct Counting(AtomicU32, bool);

    impl Notifier for Counting {
        fn send<'a>(&'a self, _: &'a Notification) -> Sending<'a> {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert!(!self.1, "a fault of the notifier");
            Box::pin(std::future::ready(Ok(())))
        }
    }

    /// Three ticks with one message: how often it was sent, and what became of it.
    async fn three_ticks(lost_marks: u32, panics: bool) -> (u32, Vec<Delivery>) {
        let store = Forgetful(MemoryAlerts::new(Arc::new(SystemClock::start())), lost_marks.into());
        let (alerts, counting) = (Alerts::new(Arc::new(store)), Arc::new(Counting(0.into(), panics)));
        alerts.connect([("a".to_owned(), Arc::clone(&counting) as Arc<dyn Notifier>)].into());
        let notification = Notification {
            rule: "r".to_owned(),
            severity: Severity::Info,
            platform: "jd".to_owned(),
            endpoint: None,
            transition: Transition::Firing,
            condition: "true".to_owned(),
            detail: None,
            stats: Stats::default(),
            at_ms: u64::MAX,
        };
        let mut changes = Changes::default();
        changes.intents.push(Intent { notification, channels: vec!["a".to_owned()] });
        let mut deliveries = Deliveries::default();
        for _ in 0..3 {
            let open = alerts.store().write(1, std::mem::take(&mut changes)).await.unwrap().unwrap();
            deliveries.send(&alerts, open).await;
            deliveries.arrive().await;
        }
        let history = alerts.history(None, 1).await.unwrap();
        (counting.0.load(Ordering::Relaxed), history[0].deliveries.clone())
    }

    #[tokio::test]
    async fn a_lost_mark_is_made_again_and_nobody_is_told_again() {
        for lost in 0..3 {
            let (sent, deliveries) = three_ticks(lost, false).await;
            let told = Delivery { channel: "a".to_owned(), delivered: true, attempts: 1, error: None };
            assert_eq!((sent, deliveries), (1, vec![told]), "{lost} marks lost");
        }
    }

    #[tokio::test]
    async fn a_notifier_that_panics_is_marked_as_failed_and_left_alone() {
        let (sent, deliveries) = three_ticks(0, true).await;
        assert_eq!(sent, 1);
        assert_eq!(deliveries, [failed("a".to_owned(), 1, "the notifier failed: see the log".to_owned())]);
    }
}
