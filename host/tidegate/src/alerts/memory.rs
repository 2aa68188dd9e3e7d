//! States and history of one process.

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_core::Clock;
use tidegate_core::clock::millis;
use tidegate_core::store::{
    AlertEntry, AlertKey, AlertRecord, AlertStore, Answer, Changes, Delivery, Intent, MAX_HISTORY, Seen,
};

/// An [`AlertStore`] that ends with its process.
pub struct MemoryAlerts {
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    token: u64,
    states: BTreeMap<AlertKey, AlertEntry>,
    /// What people were told, oldest first.
    records: VecDeque<AlertRecord>,
    /// How many records there ever were.
    ever: u64,
}

impl Kept {
    /// Whether this leader may write.
    fn obeys(&mut self, token: u64) -> bool {
        self.token = self.token.max(token);
        self.token == token
    }

    fn write(&mut self, changes: Changes, now_ms: u64) {
        for (key, entry) in changes.states {
            match entry {
                Some(entry) => drop(self.states.insert(key, entry)),
                None => drop(self.states.remove(&key)),
            }
        }
        changes.intents.into_iter().for_each(|intent| self.remember(intent));
        let oldest = now_ms.saturating_sub(millis(changes.keep));
        let too_old = |record: &AlertRecord| record.intent.notification.at_ms < oldest;
        while self.records.len() > MAX_HISTORY || self.records.front().is_some_and(too_old) {
            self.records.pop_front();
        }
    }

    fn remember(&mut self, intent: Intent) {
        self.ever += 1;
        self.records.push_back(AlertRecord { intent, deliveries: Vec::new(), id: self.ever });
    }
}

impl MemoryAlerts {
    /// Nothing kept yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    fn seen(&self, kept: &Kept) -> Seen {
        Seen { now: self.clock.now(), unix_ms: self.clock.unix_ms(), states: kept.states.clone() }
    }
}

impl AlertStore for MemoryAlerts {
    fn look(&self) -> Answer<'_, Seen> {
        let seen = self.seen(&self.kept.lock());
        Box::pin(ready(Ok(seen)))
    }

    fn lead(&self, token: u64) -> Answer<'_, Option<Seen>> {
        let mut kept = self.kept.lock();
        let seen = kept.obeys(token).then(|| self.seen(&kept));
        Box::pin(ready(Ok(seen)))
    }

    fn write(&self, token: u64, changes: Changes) -> Answer<'_, Option<Vec<AlertRecord>>> {
        let mut kept = self.kept.lock();
        let open = kept.obeys(token).then(|| {
            kept.write(changes, self.clock.unix_ms());
            kept.records.iter().filter(|record| record.open().next().is_some()).cloned().collect()
        });
        Box::pin(ready(Ok(open)))
    }

    fn mark(&self, id: u64, delivery: Delivery) -> Answer<'_, ()> {
        let mut kept = self.kept.lock();
        if let Some(record) = kept.records.iter_mut().rev().find(|record| record.id == id) {
            record.deliveries.push(delivery);
        }
        Box::pin(ready(Ok(())))
    }

    fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> Answer<'a, Vec<AlertRecord>> {
        let kept = self.kept.lock();
        let wanted = |record: &&AlertRecord| platform.is_none_or(|name| name == record.intent.notification.platform);
        let found = kept.records.iter().rev().filter(wanted).take(limit).cloned().collect();
        Box::pin(ready(Ok(found)))
    }
}
