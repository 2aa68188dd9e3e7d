//! The clocks of a registry.
//!
//! Three things use the system's clock in any case: the measured time of an evaluation, waits that block a thread, and
//! what several registries share (the rate limit of policy messages, the ages of cache entries).

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tidegate_core::clock::millis;
use tidegate_core::{Clock, Timestamp};

/// The system's clock.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Creates a clock that starts now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::default() + self.start.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// A clock that can be replaced while it is used.
#[derive(Clone)]
pub struct SharedClock(Arc<ArcSwap<Arc<dyn Clock>>>);

impl SharedClock {
    /// Creates a clock that reads another one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(clock)))
    }

    /// Reads this clock from now on.
    pub fn set(&self, clock: Arc<dyn Clock>) {
        self.0.store(Arc::new(clock));
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        self.0.load().now()
    }

    fn unix_ms(&self) -> u64 {
        self.0.load().unix_ms()
    }
}
