//! A histogram of durations that is merged by addition.
//!
//! Source: C. Masson, J. E. Rim, H. K. Lee, *DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees* (VLDB 2019), with fixed bounds: 1 ms to 60 s at a relative error of 1 %.

use std::collections::BTreeMap;
use std::time::Duration;

/// The maximum relative error of a quantile between [`MIN_DURATION`] and [`MAX_DURATION`].
pub const RELATIVE_ERROR: f64 = 0.01;

/// The number of buckets between [`MIN_DURATION`] and [`MAX_DURATION`]. One more bucket at each end counts the other
/// durations.
pub const BUCKET_COUNT: u16 = 551;

/// The index of the bucket for durations below [`MIN_DURATION`].
pub const UNDERFLOW: u16 = BUCKET_COUNT;

/// The index of the bucket for durations above [`MAX_DURATION`].
pub const OVERFLOW: u16 = BUCKET_COUNT + 1;

/// The number of all buckets, including the two at the ends.
pub const INDEX_COUNT: usize = BUCKET_COUNT as usize + 2;

/// The minimum duration that is counted with its value. Shorter durations share one bucket.
pub const MIN_DURATION: Duration = Duration::from_millis(1);

/// The maximum duration that is counted with its value. Longer durations share one bucket.
pub const MAX_DURATION: Duration = Duration::from_secs(60);

/// The ratio of the upper to the lower limit of a bucket: (1 + e) / (1 − e).
const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);

/// Returns the index of the bucket that counts a duration.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::sketch;
/// assert_eq!(sketch::index(Duration::from_millis(1)), 0);
/// assert_eq!(sketch::index(Duration::from_micros(10)), sketch::UNDERFLOW);
/// assert_eq!(sketch::index(Duration::from_secs(61)), sketch::OVERFLOW);
/// ```
#[must_use]
pub fn index(duration: Duration) -> u16 {
    if duration < MIN_DURATION {
        return UNDERFLOW;
    }
    if duration > MAX_DURATION {
        return OVERFLOW;
    }
    let exact = (duration.as_secs_f64() * 1e3).ln() / GAMMA.ln();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 550.1 for a maximum duration")]
    let index = (exact.ceil() - 1.0).max(0.0) as u16; // bucket i counts γ^i < ms ≤ γ^(i+1)
    index
}

/// Returns the duration that represents a bucket, in milliseconds. Except for the two buckets at the ends, it differs
/// from every duration in the bucket by a fraction of at most [`RELATIVE_ERROR`].
#[must_use]
pub fn value_ms(index: u16) -> f64 {
    match index {
        UNDERFLOW => MIN_DURATION.as_secs_f64() * 1e3,
        index if index >= OVERFLOW => MAX_DURATION.as_secs_f64() * 1e3,
        index => 2.0 * GAMMA.powi(i32::from(index) + 1) / (GAMMA + 1.0),
    }
}

/// A sparse histogram of durations.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::Sketch;
/// let mut sketch = Sketch::default();
/// (1..=100).for_each(|ms| sketch.record(Duration::from_millis(ms)));
/// assert!((sketch.quantile_ms(0.5) - 50.0).abs() <= 0.5 + 0.01 * 50.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    counts: BTreeMap<u16, u64>,
}

impl Sketch {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.add(index(duration), 1);
    }

    /// Adds `count` durations to one bucket.
    pub fn add(&mut self, index: u16, count: u64) {
        if count > 0 {
            *self.counts.entry(index).or_default() += count;
        }
    }

    /// Adds another sketch. The order of merging does not matter.
    pub fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(index, count)| self.add(*index, *count));
    }

    /// Returns the indexes and counts of the buckets that are not empty.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, u64)> {
        self.counts.iter().map(|(index, count)| (*index, *count))
    }

    /// Returns the number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Returns the `q` quantile (0 to 1) of the durations, in milliseconds; 0 if there are none.
    ///
    /// For a quantile outside [`MIN_DURATION`] and [`MAX_DURATION`], it returns the nearer of the two.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let rank = (q * self.count() as f64).ceil().max(1.0) as u64;
        let underflow = self.counts.get_key_value(&UNDERFLOW);
        let mut cumulative = 0;
        for (index, count) in underflow.into_iter().chain(self.counts.iter().filter(|(index, _)| **index != UNDERFLOW))
        {
            cumulative += count;
            if cumulative >= rank {
                return value_ms(*index);
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_value_is_within_the_relative_error_of_every_duration() {
        for us in (1_000..60_000_000_u32).step_by(7_919) {
            let exact = f64::from(us) / 1e3;
            let value = value_ms(index(Duration::from_micros(us.into())));
            assert!((value - exact).abs() <= exact * RELATIVE_ERROR * 1.000_001, "{exact} ms became {value} ms");
        }
    }

    #[test]
    fn minimum_and_maximum_duration_are_in_the_first_and_last_bucket() {
        assert_eq!(index(MAX_DURATION), BUCKET_COUNT - 1);
        assert_eq!(index(MIN_DURATION), 0);
    }
}
