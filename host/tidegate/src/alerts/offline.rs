//! Built-in alerts while the alert store is unavailable.
//!
//! Without the store there is no leader, and no process can know what the others do. Therefore only the process that
//! led last evaluates the built-in alerts: it keeps their states and notifications in memory, delivers them, and adds
//! them to the store when that is available again. If this process ends first, these alerts are lost. No other process
//! takes over: a process cannot distinguish a leader that died from one that it cannot reach, so every process would
//! report the same outage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::millis;
use tidegate_core::store::{
    AlertChanges, AlertEntry, AlertKey, AlertRecord, AlertStates, AlertStore, OfflineAlerts, OfflineState,
    RoutedNotification,
};
use tidegate_core::{Clock, StoreError, Timestamp};

use super::{Alerts, Deliveries, MemoryAlerts, builtin_states};

/// The maximum number of notifications in memory. An outage of a day causes about 300 for each alert that fires.
const MAX_RECORDS: usize = 1_000;

/// The fencing token of the store in memory, which has only one writer.
const TOKEN: u64 = 0;

/// The built-in alerts that this process keeps in memory.
pub struct OfflineAlerting {
    /// The channels of the host, with the store in memory.
    alerts: Alerts,
    memory: Arc<MemoryAlerts>,
    clock: Arc<StoreClock>,
    deliveries: Deliveries,
    /// The id under which the store knows this run of the process.
    origin: String,
    /// The built-in states as the store had them when it was last available.
    before: BTreeMap<AlertKey, AlertEntry>,
    /// The id of the last notification that the store may have already. Only the leader delivers such a notification.
    last_added: u64,
}

impl OfflineAlerting {
    /// Creates an empty store in memory that uses the channels of `alerts`.
    pub fn new(alerts: &Alerts, clock: &Arc<dyn Clock>) -> Self {
        let clock = Arc::new(StoreClock::new(Arc::clone(clock)));
        let memory = Arc::new(MemoryAlerts::with_max_records(Arc::clone(&clock) as _, MAX_RECORDS));
        Self {
            alerts: alerts.with_store(Arc::clone(&memory) as _),
            memory,
            clock,
            deliveries: Deliveries::default(),
            origin: format!("{:016x}", rand::random::<u64>()),
            before: BTreeMap::new(),
            last_added: 0,
        }
    }

    /// Notes the built-in states of the store and its time, before the leader writes `changes` to it.
    ///
    /// If the reply to the write is lost, the changes count as written. Otherwise their notifications, which the store
    /// delivers later, would be sent twice.
    pub fn note(&mut self, current: &AlertStates, changes: &AlertChanges) {
        self.clock.set(current.now, current.unix_ms);
        self.before = builtin_states(current, changes);
        self.memory.replace_states(self.before.clone());
    }

    /// Evaluates the built-in alerts once, and delivers their notifications. Returns the new notifications.
    pub async fn evaluate(
        &mut self,
        retention: Duration,
        evaluate: impl FnOnce(&AlertStates) -> AlertChanges,
    ) -> Result<Vec<RoutedNotification>, StoreError> {
        let mut changes = evaluate(&self.memory.states().await?);
        changes.retention = retention;
        let new = changes.notifications.clone();
        if self.memory.records().len() + new.len() > MAX_RECORDS {
            tracing::warn!(max = MAX_RECORDS, "too many alert notifications in memory, the oldest are dropped");
        }
        let undelivered = self.memory.write(TOKEN, changes).await?.unwrap_or_default();
        let undelivered = undelivered.into_iter().filter(|record| record.id > self.last_added).collect();
        self.deliveries.send(&self.alerts, undelivered).await;
        Ok(new)
    }

    /// Adds the notifications in memory and their states to the store. The leader then continues the deliveries that
    /// have not ended.
    ///
    /// # Errors
    /// Returns an error if the store is still unavailable. The notifications then stay in memory.
    pub async fn add_to(&mut self, store: &dyn AlertStore, retention: Duration) -> Result<(), StoreError> {
        if self.memory.records().is_empty() {
            return Ok(());
        }
        self.deliveries.stop().await;
        // A delivery that ended above may not have been recorded, but the store in memory is never unavailable.
        let records = self.memory.records();
        let Some(last) = records.last() else { return Ok(()) };
        let last_id = last.id;
        // From here on the store may have the notifications, even if its reply is lost.
        self.last_added = last_id;
        let states = self.changed_states(&records).await?;
        let mut alerts = OfflineAlerts::default();
        alerts.origin.clone_from(&self.origin);
        alerts.records = records;
        alerts.states = states;
        alerts.retention = retention;
        store.add_offline(alerts).await?;
        tracing::info!(origin = self.origin, last_id, "alert notifications added to the history");
        self.memory.remove_records(last_id);
        self.before = self.memory.states().await?.states;
        Ok(())
    }

    /// Returns the states of the alerts that the notifications are about.
    async fn changed_states(&self, records: &[AlertRecord]) -> Result<Vec<OfflineState>, StoreError> {
        let current = self.memory.states().await?.states;
        let last_ids: BTreeMap<AlertKey, u64> = records.iter().map(|record| (key_of(record), record.id)).collect();
        let states = last_ids.into_iter().map(|(key, last_id)| {
            let (before, after) = (self.before.get(&key).cloned(), current.get(&key).cloned());
            OfflineState::new(key, before, after, last_id)
        });
        Ok(states.collect())
    }

    /// Waits until all notifications in progress have been sent.
    pub async fn drain(&mut self) {
        self.deliveries.drain().await;
    }

    /// Returns the titles of the notifications that the store may not have.
    pub fn titles(&self) -> Vec<String> {
        self.memory.records().iter().map(|record| record.routed.notification.title()).collect()
    }
}

fn key_of(record: &AlertRecord) -> AlertKey {
    let notification = &record.routed.notification;
    AlertKey {
        rule: notification.rule.clone(),
        platform: notification.platform.clone(),
        endpoint: notification.endpoint.clone(),
    }
}

/// A clock that continues the time of the store, so that the states in memory and those in the store can be exchanged.
struct StoreClock {
    clock: Arc<dyn Clock>,
    reference: Mutex<Reference>,
}

/// A time of the store, and the same time on the clock of this process.
struct Reference {
    store: Timestamp,
    unix_ms: u64,
    local: Timestamp,
}

impl StoreClock {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let unix_ms = clock.unix_ms();
        let reference = Reference { store: Timestamp::from_micros(unix_ms * 1_000), unix_ms, local: clock.now() };
        Self { clock, reference: Mutex::new(reference) }
    }

    fn set(&self, store: Timestamp, unix_ms: u64) {
        *self.reference.lock() = Reference { store, unix_ms, local: self.clock.now() };
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let reference = self.reference.lock();
        reference.store + (self.clock.now() - reference.local)
    }

    fn unix_ms(&self) -> u64 {
        let reference = self.reference.lock();
        reference.unix_ms + millis(self.clock.now() - reference.local)
    }
}
