//! Time as an argument.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of a monotonic clock, in microseconds since an arbitrary start.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::Timestamp;
/// let start = Timestamp::from_micros(5);
/// assert_eq!(start + Duration::from_micros(2) - start, Duration::from_micros(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `micros` after the clock's start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the clock's start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(micros(rhs)))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    /// The time from `rhs` to `self`; zero where `rhs` is the later one.
    fn sub(self, rhs: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(rhs.0))
    }
}

/// A duration in whole microseconds, saturating at 584,000 years.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A duration in whole milliseconds, saturating.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where a process gets its time from; tests supply one that stands still.
pub trait Clock: Send + Sync {
    /// Now on a clock that never goes back: for waits and windows.
    fn now(&self) -> Timestamp;

    /// Now in milliseconds since 1970 (UTC): for what people and other machines read.
    fn unix_ms(&self) -> u64;
}
