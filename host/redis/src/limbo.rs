//! Slots that are on two nodes at once: each node has some of the keys, and neither runs what needs all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Before a slot is tried again: a move mostly takes milliseconds, but one that was broken off lasts until an operator
/// ends it, and callers must not wait for that each time.
const PAUSE: Duration = Duration::from_millis(100);

/// The slots that were of no use a moment ago.
#[derive(Default)]
pub struct Limbo(Mutex<BTreeMap<u16, Unusable>>);

/// A slot that is not worth trying for a moment.
#[derive(Clone)]
pub struct Unusable {
    /// When it is worth trying again.
    pub until: Instant,
    /// Why it is of no use.
    pub reason: Arc<str>,
}

impl Limbo {
    /// Notes that a slot is of no use.
    pub fn enter(&self, slot: u16, reason: &str) {
        let now = Instant::now();
        let mut slots = self.0.lock();
        slots.retain(|_, unusable| now < unusable.until);
        slots.insert(slot, Unusable { until: now + PAUSE, reason: reason.into() });
    }

    /// Whether a slot is not worth trying now.
    pub fn holds(&self, slot: u16) -> Option<Unusable> {
        self.0.lock().get(&slot).filter(|unusable| Instant::now() < unusable.until).cloned()
    }

    /// Why some slot is of no use, if one is.
    pub fn reason(&self) -> Option<Arc<str>> {
        let now = Instant::now();
        self.0.lock().values().find(|unusable| now < unusable.until).map(|unusable| Arc::clone(&unusable.reason))
    }
}
