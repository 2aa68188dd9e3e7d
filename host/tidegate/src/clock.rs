//! The process's own clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_core::{Clock, Timestamp};
use tokio::time::Instant;

/// The monotonic clock, with the wall's time anchored to it when it was made.
///
/// It is tokio's clock, so a test that pauses tokio's time holds waits, windows and slots still alike. Wall time is
/// anchored, so a step of the system's clock moves no window while the process runs.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
    start_unix: Duration,
}

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        let start_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_unix }
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
