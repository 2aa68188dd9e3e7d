//! The delay before the next attempt.

use std::time::Duration;

/// Exponential backoff with proportional jitter: `base_delay`, 2 × `base_delay`, 4 × `base_delay`, …, each ± `jitter`,
/// at most `max_delay`.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::Backoff;
/// let backoff = Backoff { base_delay: Duration::from_secs(1), max_delay: Duration::from_secs(30), jitter: 0.5 };
/// assert_eq!(backoff.delay(3, 0.5), Duration::from_secs(4)); // the middle of ± 50 %
/// assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(500));
/// assert!(backoff.delay(60, 0.999) <= backoff.max_delay);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The delay after the first attempt.
    pub base_delay: Duration,
    /// The maximum delay, including jitter.
    pub max_delay: Duration,
    /// The maximum fraction by which a delay is shortened or lengthened at random, 0 to 1.
    pub jitter: f64,
}

impl Backoff {
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

    const BACKOFF: Backoff =
        Backoff { base_delay: Duration::from_secs(1), max_delay: Duration::from_secs(30), jitter: 0.5 };

    #[test]
    fn delay_doubles_with_each_attempt_and_stays_within_jitter_and_maximum() {
        for attempt in 1..=40 {
            let exponential = (1u64 << (attempt - 1).min(20)).min(30);
            for random in [0.0, 0.25, 0.5, 0.75, 0.999_999] {
                let delay = BACKOFF.delay(attempt, random).as_secs_f64();
                #[allow(clippy::cast_precision_loss)]
                let exponential = exponential as f64;
                assert!(delay >= exponential * 0.5 - 1e-6, "attempt {attempt}: {delay}");
                assert!(delay <= (exponential * 1.5).min(30.0), "attempt {attempt}: {delay}");
            }
        }
    }
}
