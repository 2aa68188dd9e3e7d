//! The system clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_core::{Clock, Timestamp};
use tokio::time::Instant;

/// A monotonic clock, with the wall-clock time of its creation as the reference for [`Clock::unix_ms`].
///
/// It uses tokio's time, so a test that pauses tokio's time also pauses waits, metric windows and limits. A step of the
/// system's wall clock does not affect a running process.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
    start_unix: Duration,
}

impl SystemClock {
    /// Creates a clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        let start_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_unix }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::default() + self.start.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        tidegate_core::clock::millis(self.start_unix + self.start.elapsed())
    }
}
