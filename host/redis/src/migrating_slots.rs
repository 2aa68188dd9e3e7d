//! Cluster slots that are split between two nodes: each node has some of the keys, and neither can run a script that
//! needs all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a split slot counts as unavailable before it is tried again.
///
/// Moving a slot usually takes milliseconds, but an interrupted move lasts until an operator completes it, and callers
/// must not wait for that each time.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The slots that could not serve a recent request.
#[derive(Default)]
pub struct MigratingSlots(Mutex<BTreeMap<u16, UnavailableSlot>>);

/// A slot that must not be tried before `until`.
#[derive(Clone)]
pub struct UnavailableSlot {
    /// When the slot may be tried again. It is a time of tokio, because requests wait for it.
    pub until: Instant,
    /// Why the slot is unavailable.
    pub reason: Arc<str>,
}

impl MigratingSlots {
    /// Marks a slot as unavailable for [`RETRY_INTERVAL`].
    pub fn mark_unavailable(&self, slot: u16, reason: &str) {
        let now = Instant::now();
        let mut slots = self.0.lock();
        slots.retain(|_, unavailable| now < unavailable.until);
        slots.insert(slot, UnavailableSlot { until: now + RETRY_INTERVAL, reason: reason.into() });
    }

    /// Returns the slot's entry while the slot is unavailable.
    pub fn get(&self, slot: u16) -> Option<UnavailableSlot> {
        self.0.lock().get(&slot).filter(|unavailable| Instant::now() < unavailable.until).cloned()
    }

    /// Returns why a slot is unavailable, if any slot is.
    pub fn any_reason(&self) -> Option<Arc<str>> {
        let now = Instant::now();
        let slots = self.0.lock();
        slots.values().find(|unavailable| now < unavailable.until).map(|unavailable| Arc::clone(&unavailable.reason))
    }
}
