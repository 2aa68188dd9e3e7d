//! Delivery of notifications to their channels.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tidegate_core::store::{AlertRecord, Delivery};
use tidegate_core::{Backoff, Notification, Notifier, StoreError};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Alerts;

/// The maximum number of attempts per notification and channel.
const MAX_ATTEMPTS: u32 = 5;

/// The delivery error of a notifier that panicked.
const NOTIFIER_PANICKED: &str = "the notifier panicked; see the log";

/// How long an attempt in progress may take when the deliveries are stopped. Most take a few hundred milliseconds; one
/// that waits for the rate limit of a channel may take minutes.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// The backoff between attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30)).with_jitter(0.5);
/// The maximum wait that a receiver can request: ten minutes, the longest ban of DingTalk.
const MAX_REQUESTED_WAIT: Duration = Duration::from_secs(600);

/// The id of a notification and one of its channels.
type DeliveryKey = (u64, String);

/// The notifications that this process is sending.
#[derive(Default)]
pub struct Deliveries {
    /// Each task returns `None` if it was stopped between two attempts.
    tasks: JoinSet<Option<Delivery>>,
    in_progress: HashMap<Id, DeliveryKey>,
    /// Finished deliveries that the store may not have recorded. They are kept so that a failure to record does not
    /// send the notification again.
    finished: BTreeMap<DeliveryKey, Delivery>,
    /// Ends the deliveries in progress before their next attempt.
    stop: CancellationToken,
}

impl Deliveries {
    /// Starts each delivery of `undelivered` that is not in progress. If a delivery has finished but the store has not
    /// recorded its result, records the result again.
    pub async fn send(&mut self, alerts: &Alerts, undelivered: Vec<AlertRecord>) {
        self.collect_finished();
        let pairs = undelivered.iter().flat_map(|record| record.undelivered_channels().map(move |name| (record, name)));
        let undelivered: BTreeMap<DeliveryKey, &Notification> =
            pairs.map(|(record, channel)| ((record.id, channel.clone()), &record.routed.notification)).collect();
        self.finished.retain(|key, _| undelivered.contains_key(key));
        for (key, notification) in undelivered {
            if let Some(delivery) = self.finished.get(&key) {
                // If this fails, the result is recorded again at the next tick.
                let _ = alerts.record_delivery(key.0, delivery.clone()).await;
            } else if !self.in_progress.values().any(|other| *other == key) {
                let task = alerts.clone().deliver(key.clone(), notification.clone(), self.stop.clone());
                self.in_progress.insert(self.tasks.spawn(task).id(), key);
            }
        }
    }

    /// Records the results of finished deliveries again, because the store was unavailable and may have missed them.
    ///
    /// # Errors
    /// Returns an error if the store is still unavailable.
    pub async fn record_finished(&mut self, alerts: &Alerts) -> Result<(), StoreError> {
        self.collect_finished();
        while let Some((key, delivery)) = self.finished.first_key_value() {
            alerts.record_delivery(key.0, delivery.clone()).await?;
            self.finished.pop_first();
        }
        Ok(())
    }

    /// Ends all deliveries, because another process takes them over. A delivery that waits for its next attempt ends at
    /// once. An attempt in progress has [`STOP_GRACE`] to end, because it is unknown whether an interrupted one was
    /// sent.
    pub async fn stop(&mut self) {
        std::mem::take(&mut self.stop).cancel();
        if timeout(STOP_GRACE, self.drain()).await.is_err() {
            self.tasks.abort_all();
            self.drain().await;
        }
    }

    /// Waits until all deliveries in progress have ended.
    pub async fn drain(&mut self) {
        while let Some(result) = self.tasks.join_next_with_id().await {
            self.finish(result);
        }
    }

    fn collect_finished(&mut self) {
        while let Some(result) = self.tasks.try_join_next_with_id() {
            self.finish(result);
        }
    }

    fn finish(&mut self, result: Result<(Id, Option<Delivery>), JoinError>) {
        let (id, delivery) = match result {
            Ok((id, delivery)) => (id, Ok(delivery)),
            Err(error) if error.is_cancelled() => (error.id(), Ok(None)),
            Err(panic) => (panic.id(), Err(panic)),
        };
        let Some(key) = self.in_progress.remove(&id) else { return };
        let delivery = delivery.unwrap_or_else(|panic| {
            tracing::error!(%panic, channel = key.1, "notifier panicked");
            Some(Delivery::failed(key.1.clone(), 1, NOTIFIER_PANICKED.to_owned()))
        });
        self.finished.extend(delivery.map(|delivery| (key, delivery)));
    }
}

impl Alerts {
    /// Sends a notification to one channel and records the result. Returns `None` if it was stopped before the last
    /// attempt.
    async fn deliver(
        self,
        (id, channel): DeliveryKey,
        notification: Notification,
        stop: CancellationToken,
    ) -> Option<Delivery> {
        let delivery = match self.notifier(&channel) {
            Some(notifier) => send(channel, &*notifier, &notification, &stop).await?,
            None => {
                let error = format!("the configuration has no section [channels.{channel}]");
                tracing::warn!(channel, "alert channel not configured");
                Delivery::failed(channel, 0, error)
            }
        };
        // If this fails, the delivery stays in `Deliveries::finished` and is recorded later.
        let _ = self.record_delivery(id, delivery.clone()).await;
        Some(delivery)
    }

    async fn record_delivery(&self, id: u64, delivery: Delivery) -> Result<(), StoreError> {
        let result = self.0.store.record_delivery(id, delivery).await;
        result.inspect_err(|error| tracing::warn!(id, %error, "alert delivery not recorded"))
    }
}

/// Sends a notification to one channel and retries transient errors. Returns `None` if it was stopped between two
/// attempts.
async fn send(
    channel: String,
    notifier: &dyn Notifier,
    notification: &Notification,
    stop: &CancellationToken,
) -> Option<Delivery> {
    for attempts in 1.. {
        let error = match notifier.send(notification).await {
            Ok(()) => return Some(Delivery::delivered(channel, attempts)),
            Err(error) => error,
        };
        tracing::warn!(channel, attempts, %error, "alert not delivered");
        if !error.is_transient() || attempts >= MAX_ATTEMPTS {
            return Some(Delivery::failed(channel, attempts, error.to_string()));
        }
        let backoff = BACKOFF.delay(attempts, rand::random());
        let wait = error.retry_after().unwrap_or_default().min(MAX_REQUESTED_WAIT).max(backoff);
        stop.run_until_cancelled(sleep(wait)).await?;
    }
    unreachable!("the range of attempts has no end")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tidegate_core::config::ChannelConfig;
    use tidegate_core::notify::SendFuture;
    use tidegate_core::store::{AlertChanges, AlertStates, AlertStore, OfflineAlerts, RoutedNotification, StoreFuture};
    use tidegate_core::{Clock, Severity, StoreError, Transition};

    use super::*;
    use crate::SystemClock;
    use crate::alerts::MemoryAlerts;

    /// A store that fails to record the given number of deliveries.
    struct LossyStore(MemoryAlerts, AtomicU32);

    impl AlertStore for LossyStore {
        fn states(&self) -> StoreFuture<'_, AlertStates> {
            self.0.states()
        }

        fn states_as_leader(&self, token: u64) -> StoreFuture<'_, Option<AlertStates>> {
            self.0.states_as_leader(token)
        }

        fn write(&self, token: u64, changes: AlertChanges) -> StoreFuture<'_, Option<Vec<AlertRecord>>> {
            self.0.write(token, changes)
        }

        fn record_delivery(&self, id: u64, delivery: Delivery) -> StoreFuture<'_, ()> {
            let left = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            match left {
                Ok(_) => Box::pin(async { Err(StoreError::unavailable("unavailable")) }),
                Err(_) => self.0.record_delivery(id, delivery),
            }
        }

        fn add_offline(&self, alerts: OfflineAlerts) -> StoreFuture<'_, ()> {
            self.0.add_offline(alerts)
        }

        fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> StoreFuture<'a, Vec<AlertRecord>> {
            self.0.history(platform, limit)
        }
    }

    /// Counts notifications; panics if the flag is set.
    struct CountingNotifier(AtomicU32, bool);

    impl Notifier for CountingNotifier {
        fn send<'a>(&'a self, _: &'a Notification) -> SendFuture<'a> {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert!(!self.1, "a notifier that panics");
            Box::pin(std::future::ready(Ok(())))
        }
    }

    /// Runs three ticks with one notification. Returns how often it was sent, and its recorded deliveries.
    async fn three_ticks(lost_records: u32, panics: bool) -> (u32, Vec<Delivery>) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = LossyStore(MemoryAlerts::new(Arc::clone(&clock)), lost_records.into());
        let (alerts, notifier) = (Alerts::new(Arc::new(store)), Arc::new(CountingNotifier(0.into(), panics)));
        let channel = ChannelConfig::from_notifier(Arc::clone(&notifier) as Arc<dyn Notifier>);
        alerts.set_channels(&[("a".to_owned(), channel)].into(), &clock).unwrap();
        let notification = Notification::new("r", Severity::Info, "jd", Transition::Firing)
            .with_condition("true")
            .with_at_ms(u64::MAX);
        let mut changes = AlertChanges::default();
        changes.notifications.push(RoutedNotification::new(notification, vec!["a".to_owned()]));
        let mut deliveries = Deliveries::default();
        for _ in 0..3 {
            let undelivered = alerts.store().write(1, std::mem::take(&mut changes)).await.unwrap().unwrap();
            deliveries.send(&alerts, undelivered).await;
            deliveries.drain().await;
        }
        let history = alerts.history(None, 1).await.unwrap();
        (notifier.0.load(Ordering::Relaxed), history[0].deliveries.clone())
    }

    #[tokio::test]
    async fn a_lost_delivery_record_is_repeated_without_sending_again() {
        for lost in 0..3 {
            let (sent, deliveries) = three_ticks(lost, false).await;
            let expected = Delivery::delivered("a", 1);
            assert_eq!((sent, deliveries), (1, vec![expected]), "{lost} records lost");
        }
    }

    #[tokio::test]
    async fn a_panicking_notifier_is_recorded_as_failed_and_not_called_again() {
        let (sent, deliveries) = three_ticks(0, true).await;
        assert_eq!(sent, 1);
        assert_eq!(deliveries, [Delivery::failed("a".to_owned(), 1, "the notifier panicked; see the log".to_owned())]);
    }
}
