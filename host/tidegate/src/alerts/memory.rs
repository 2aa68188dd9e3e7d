//! Alert states and history in the memory of this process.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::ready;
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_core::Clock;
use tidegate_core::clock::millis;
use tidegate_core::store::{
    AlertChanges, AlertEntry, AlertKey, AlertRecord, AlertStates, AlertStore, Delivery, MAX_HISTORY, OfflineAlerts,
    StoreFuture,
};

/// An [`AlertStore`] in memory. Its contents are lost when the process ends.
pub struct MemoryAlerts {
    clock: Arc<dyn Clock>,
    max_records: usize,
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    /// The greatest fencing token of a leader so far.
    token: u64,
    states: BTreeMap<AlertKey, AlertEntry>,
    /// The notifications, oldest first.
    records: VecDeque<AlertRecord>,
    /// The id of the latest record.
    last_id: u64,
    /// The id of the last record that was added from each origin of offline alerts.
    added: BTreeMap<String, u64>,
}

impl Contents {
    /// Registers the token if it is the greatest so far. Returns whether it belongs to the current leader.
    fn accept_leader(&mut self, token: u64) -> bool {
        self.token = self.token.max(token);
        self.token == token
    }

    fn write(&mut self, changes: AlertChanges, now_ms: u64, max_records: usize) {
        for (key, entry) in changes.states {
            self.set_state(key, entry);
        }
        for routed in changes.notifications {
            self.add_record(AlertRecord::new(0, routed));
        }
        let oldest = now_ms.saturating_sub(millis(changes.retention));
        let too_old = |record: &AlertRecord| record.routed.notification.at_ms < oldest;
        while self.records.len() > max_records || self.records.front().is_some_and(too_old) {
            self.records.pop_front();
        }
    }

    fn add_offline(&mut self, alerts: OfflineAlerts) {
        let added = self.added.get(&alerts.origin).copied().unwrap_or(0);
        for state in alerts.states.into_iter().filter(|state| state.last_id > added) {
            if state.replaces(self.states.get(&state.key)) {
                self.set_state(state.key, state.after);
            }
        }
        for record in alerts.records.into_iter().filter(|record| record.id > added) {
            self.added.insert(alerts.origin.clone(), record.id);
            self.add_record(record);
        }
    }

    fn set_state(&mut self, key: AlertKey, entry: Option<AlertEntry>) {
        match entry {
            Some(entry) => drop(self.states.insert(key, entry)),
            None => drop(self.states.remove(&key)),
        }
    }

    /// Adds a record under a new id, behind all records that are not newer.
    fn add_record(&mut self, mut record: AlertRecord) {
        self.last_id += 1;
        record.id = self.last_id;
        let at_ms = record.routed.notification.at_ms;
        let index = self.records.partition_point(|other| other.routed.notification.at_ms <= at_ms);
        self.records.insert(index, record);
    }
}

impl fmt::Debug for MemoryAlerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAlerts").finish_non_exhaustive()
    }
}

impl MemoryAlerts {
    /// Creates an empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_max_records(clock, MAX_HISTORY)
    }

    /// Creates an empty store that keeps at most this number of notifications.
    pub(super) fn with_max_records(clock: Arc<dyn Clock>, max_records: usize) -> Self {
        Self { clock, max_records, contents: Mutex::default() }
    }

    /// Returns the notifications, oldest first.
    pub(crate) fn records(&self) -> Vec<AlertRecord> {
        self.contents.lock().records.iter().cloned().collect()
    }

    /// Removes the notifications with ids up to this one.
    pub(super) fn remove_records(&self, last_id: u64) {
        self.contents.lock().records.retain(|record| record.id > last_id);
    }

    /// Replaces all states.
    pub(super) fn replace_states(&self, states: BTreeMap<AlertKey, AlertEntry>) {
        self.contents.lock().states = states;
    }

    fn snapshot(&self, contents: &Contents) -> AlertStates {
        AlertStates::new(self.clock.now(), self.clock.unix_ms(), contents.states.clone())
    }
}

impl AlertStore for MemoryAlerts {
    fn states(&self) -> StoreFuture<'_, AlertStates> {
        let states = self.snapshot(&self.contents.lock());
        Box::pin(ready(Ok(states)))
    }

    fn states_as_leader(&self, token: u64) -> StoreFuture<'_, Option<AlertStates>> {
        let mut contents = self.contents.lock();
        let states = contents.accept_leader(token).then(|| self.snapshot(&contents));
        Box::pin(ready(Ok(states)))
    }

    fn write(&self, token: u64, changes: AlertChanges) -> StoreFuture<'_, Option<Vec<AlertRecord>>> {
        let mut contents = self.contents.lock();
        let undelivered = contents.accept_leader(token).then(|| {
            contents.write(changes, self.clock.unix_ms(), self.max_records);
            contents.records.iter().filter(|record| record.undelivered_channels().next().is_some()).cloned().collect()
        });
        Box::pin(ready(Ok(undelivered)))
    }

    fn record_delivery(&self, id: u64, delivery: Delivery) -> StoreFuture<'_, ()> {
        let mut contents = self.contents.lock();
        if let Some(record) = contents.records.iter_mut().rev().find(|record| record.id == id) {
            record.deliveries.push(delivery);
        }
        Box::pin(ready(Ok(())))
    }

    fn add_offline(&self, alerts: OfflineAlerts) -> StoreFuture<'_, ()> {
        self.contents.lock().add_offline(alerts);
        Box::pin(ready(Ok(())))
    }

    fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> StoreFuture<'a, Vec<AlertRecord>> {
        let contents = self.contents.lock();
        let selected = |record: &&AlertRecord| platform.is_none_or(|name| name == record.routed.notification.platform);
        let records = contents.records.iter().rev().filter(selected).take(limit).cloned().collect();
        Box::pin(ready(Ok(records)))
    }
}
