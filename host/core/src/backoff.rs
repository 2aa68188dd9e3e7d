//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff with proportional jitter: `base`, 2 × `base`, 4 × `base`, … each ± `jitter`, never beyond `cap`.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::Backoff;
/// let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30), jitter: 0.5 };
/// assert_eq!(backoff.delay(3, 0.5), Duration::from_secs(4)); // the middle of ± 50 %
/// assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(500));
/// assert!(backoff.delay(60, 0.999) <= backoff.cap);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The wait after the first attempt.
    pub base: Duration,
    /// No wait is longer, jitter included.
    pub cap: Duration,
    /// The fraction by which a wait may be shorter or longer: 0 to 1.
    pub jitter: f64,
}

impl Backoff {
    /// The wait after failed attempt number `attempt` (1 is the first), for a `random` number in 0..1.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let exponential = self.base.saturating_mul(1 << doublings).min(self.cap);
        // Jitter is applied to the capped value and capped again: added after the cap it would go beyond it.
        let factor = 1.0 + self.jitter * (2.0 * random - 1.0);
        Duration::from_secs_f64(exponential.as_secs_f64() * factor).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30), jitter: 0.5 };

    #[test]
    fn waits_double_within_half_to_one_and_a_half_and_under_the_cap() {
        for attempt in 1..=40 {
            let plain = (1u64 << (attempt - 1).min(20)).min(30);
            for random in [0.0, 0.25, 0.5, 0.75, 0.999_999] {
                let delay = BACKOFF.delay(attempt, random).as_secs_f64();
                #[allow(clippy::cast_precision_loss)]
                let plain = plain as f64;
                assert!(delay >= plain * 0.5 - 1e-6, "attempt {attempt}: {delay}");
                assert!(delay <= (plain * 1.5).min(30.0), "attempt {attempt}: {delay}");
            }
        }
    }
}
