//! The clocks of a registry.
//!
//! Three things use the system's clock in any case: the measured time of an evaluation, waits that block a thread, and
//! what several registries share (the rate limit of policy messages, the ages of cache entries).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// A clock that can be replaced while it is used. Its monotonic time never goes back.
#[derive(Clone)]
pub struct SharedClock(Arc<ArcSwap<SourceClock>>);

/// The clock that a [`SharedClock`] reads.
struct SourceClock {
    clock: Arc<dyn Clock>,
    /// How much the monotonic time of earlier clocks was ahead of this one.
    offset: Duration,
}

impl SharedClock {
    /// Creates a clock that reads another one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(SourceClock { clock, offset: Duration::ZERO })))
    }

    /// Reads this clock from now on.
    pub fn set(&self, clock: Arc<dyn Clock>) {
        let offset = self.now() - clock.now();
        self.0.store(Arc::new(SourceClock { clock, offset }));
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        let source = self.0.load();
        source.clock.now() + source.offset
    }

    fn unix_ms(&self) -> u64 {
        self.0.load().clock.unix_ms()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::ManualClock;

    use super::*;

    #[test]
    fn monotonic_time_does_not_go_back_when_the_clock_is_replaced() {
        let manual = |micros| Arc::new(ManualClock::new(Timestamp::from_micros(micros)));
        for (start, expected) in [(2_000, 5_000), (5_000, 5_000), (9_000, 9_000)] {
            let (shared, next) = (SharedClock::new(manual(5_000)), manual(start));
            shared.set(Arc::clone(&next) as _);
            assert_eq!(shared.now(), Timestamp::from_micros(expected));
            next.advance(Duration::from_millis(1));
            assert_eq!(shared.now(), Timestamp::from_micros(expected + 1_000));
            assert_eq!(shared.unix_ms(), start / 1_000 + 1, "the Unix time is that of the new clock");
        }
    }
}
