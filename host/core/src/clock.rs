//! Timestamps and clocks.

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

/// A time on a monotonic clock, in microseconds since an arbitrary start.
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
    /// Returns the time `micros` microseconds after the start of the clock.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the start of the clock.
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

    /// Returns the time from `rhs` to `self`; zero if `rhs` is later.
    fn sub(self, rhs: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(rhs.0))
    }
}

/// Converts a duration to whole microseconds. It saturates at 584,000 years.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Converts a duration to whole milliseconds. It saturates at the maximum of `u64`.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Serializes a duration as whole milliseconds, for `#[serde(serialize_with)]`.
///
/// # Errors
/// Returns the error of the serializer.
pub fn serialize_as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}

/// Converts a wait to whole milliseconds, rounded up, so that a caller that waits for them does not come too early.
#[must_use]
pub fn millis_rounded_up(wait: Duration) -> u64 {
    millis(wait).saturating_add(u64::from(!wait.subsec_nanos().is_multiple_of(1_000_000)))
}

/// The clock of a process. Tests supply one that they control.
pub trait Clock: Send + Sync {
    /// Returns the time of a monotonic clock, which never goes back. It is used for waits and limits.
    fn now(&self) -> Timestamp;

    /// Returns the time in milliseconds since 1970 (UTC). It is used for times that users and other machines read.
    fn unix_ms(&self) -> u64;
}

/// A clock for tests, whose time changes only when a test changes it. Its Unix time is the time since its start, as if
/// it had started in 1970.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{Clock, ManualClock, Timestamp};
/// let clock = ManualClock::new(Timestamp::from_micros(5_000));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!((clock.now(), clock.unix_ms()), (Timestamp::from_micros(1_005_000), 1_005));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    now_us: AtomicU64,
}

impl ManualClock {
    /// Creates a clock that shows this time.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { now_us: AtomicU64::new(now.as_micros()) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        self.now_us.fetch_add(micros(duration), Ordering::Relaxed);
    }

    /// Sets the time. A clock that goes back breaks what [`Clock::now`] promises.
    pub fn set(&self, now: Timestamp) {
        self.now_us.store(now.as_micros(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now_us.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        self.now_us.load(Ordering::Relaxed) / 1_000
    }
}
