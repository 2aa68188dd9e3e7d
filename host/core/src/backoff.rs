//! The delay before the next attempt.

use std::time::Duration;

/// Exponential backoff with proportional jitter: `base_delay`, 2 × `base_delay`, 4 × `base_delay`, …, each ± `jitter`,
/// at most `max_delay`.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::Backoff;
/// let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30)).with_jitter(0.5);
/// assert_eq!(backoff.delay(3, 0.5), Duration::from_secs(4)); // the middle of ± 50 %
/// assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(500));
/// assert!(backoff.delay(60, 0.999) <= backoff.max_delay());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    base_delay: Duration,
    max_delay: Duration,
    jitter: f64,
}

impl Backoff {
    /// Creates a backoff without jitter, from the delay after the first attempt and the maximum delay. A base delay
    /// above the maximum is lowered to it.
    #[must_use]
    pub const fn new(base_delay: Duration, max_delay: Duration) -> Self {
        let is_above = base_delay.as_nanos() > max_delay.as_nanos();
        Self { base_delay: if is_above { max_delay } else { base_delay }, max_delay, jitter: 0.0 }
    }

    /// Sets the maximum fraction by which a delay is shortened or lengthened at random. A value outside of 0 to 1 is
    /// moved into this range, and NaN is 0.
    #[must_use]
    pub const fn with_jitter(self, jitter: f64) -> Self {
        Self { jitter: if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) }, ..self }
    }

    /// Returns the delay after the first attempt.
    #[must_use]
    pub const fn base_delay(&self) -> Duration {
        self.base_delay
    }

    /// Returns the maximum delay, including jitter.
    #[must_use]
    pub const fn max_delay(&self) -> Duration {
        self.max_delay
    }

    /// Returns the maximum fraction by which a delay is shortened or lengthened at random, from 0 to 1.
    #[must_use]
    pub const fn jitter(&self) -> f64 {
        self.jitter
    }

    /// Returns the delay after the failed attempt number `attempt` (1 is the first). `random` is a random number from 0
    /// (included) to 1 (excluded).
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let exponential = self.base_delay.saturating_mul(1 << doublings).min(self.max_delay);
        // The maximum applies before the jitter and again after it, because jitter may lengthen the delay.
        let factor = 1.0 + self.jitter * (2.0 * random - 1.0);
        Duration::from_secs_f64(exponential.as_secs_f64() * factor).min(self.max_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_with_each_attempt_and_stays_within_jitter_and_maximum() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30)).with_jitter(0.5);
        for attempt in 1..=40 {
            let exponential = (1u64 << (attempt - 1).min(20)).min(30);
            for random in [0.0, 0.25, 0.5, 0.75, 0.999_999] {
                let delay = backoff.delay(attempt, random).as_secs_f64();
                #[allow(clippy::cast_precision_loss)]
                let exponential = exponential as f64;
                assert!(delay >= exponential * 0.5 - 1e-6, "attempt {attempt}: {delay}");
                assert!(delay <= (exponential * 1.5).min(30.0), "attempt {attempt}: {delay}");
            }
        }
    }

    #[test]
    fn values_outside_their_range_are_moved_into_it() {
        let second = Duration::from_secs(1);
        let rows = [(2.0, 1.0), (-1.0, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 1.0), (0.25, 0.25)];
        for (jitter, expected) in rows {
            let backoff = Backoff::new(3 * second, second).with_jitter(jitter);
            assert_eq!((backoff.jitter(), backoff.base_delay()), (expected, second));
            for random in [0.0, 0.5, 0.999_999] {
                assert!(backoff.delay(1, random) <= second);
            }
        }
    }
}
