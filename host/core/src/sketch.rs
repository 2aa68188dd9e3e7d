//! Durations in a histogram whose merge is addition.
//!
//! Source: C. Masson, J. E. Rim, H. K. Lee, *DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees* (VLDB 2019), with fixed bounds: 1 ms to 60 s at a relative error of 1 %.

use std::collections::BTreeMap;
use std::time::Duration;

/// The relative error of a quantile between the bounds.
pub const RELATIVE_ERROR: f64 = 0.01;

/// Buckets between the bounds; one more at each side counts what is outside.
pub const BUCKETS: u16 = 551;

/// The index of what took less than [`LOWEST`].
pub const BELOW: u16 = BUCKETS;

/// The index of what took longer than [`HIGHEST`].
pub const ABOVE: u16 = BUCKETS + 1;

/// All indexes, the two at the sides included.
pub const INDEXES: usize = BUCKETS as usize + 2;

/// Below this, durations are counted together.
pub const LOWEST: Duration = Duration::from_millis(1);

/// Above this, durations are counted together.
pub const HIGHEST: Duration = Duration::from_secs(60);

/// The ratio of neighbouring bounds: (1 + e) / (1 − e).
const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);

/// The bucket in which a duration is counted.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::sketch;
/// assert_eq!(sketch::index(Duration::from_millis(1)), 0);
/// assert_eq!(sketch::index(Duration::from_micros(10)), sketch::BELOW);
/// assert_eq!(sketch::index(Duration::from_secs(61)), sketch::ABOVE);
/// ```
#[must_use]
pub fn index(duration: Duration) -> u16 {
    if duration < LOWEST {
        return BELOW;
    }
    if duration > HIGHEST {
        return ABOVE;
    }
    let exact = (duration.as_secs_f64() * 1e3).ln() / GAMMA.ln();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "exact ≤ 550.1 between the bounds")]
    let index = (exact.ceil() - 1.0).max(0.0) as u16; // bucket i holds γ^i < ms ≤ γ^(i+1)
    index
}

/// The duration in milliseconds that stands for a bucket; within [`RELATIVE_ERROR`] of everything in it.
#[must_use]
pub fn value_ms(index: u16) -> f64 {
    match index {
        BELOW => LOWEST.as_secs_f64() * 1e3,
        index if index >= ABOVE => HIGHEST.as_secs_f64() * 1e3,
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

    /// Adds to one bucket.
    pub fn add(&mut self, index: u16, count: u64) {
        if count > 0 {
            *self.counts.entry(index).or_default() += count;
        }
    }

    /// Adds another sketch; the order of merging does not matter.
    pub fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(index, count)| self.add(*index, *count));
    }

    /// The buckets that hold something, with their counts.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, u64)> {
        self.counts.iter().map(|(index, count)| (*index, *count))
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The duration in milliseconds that the fraction `q` of all stays at or below; 0 where nothing was counted.
    ///
    /// Outside the bounds the bound itself is answered.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let rank = (q * self.count() as f64).ceil().max(1.0) as u64;
        let below = self.counts.get_key_value(&BELOW);
        let mut seen = 0;
        for (index, count) in below.into_iter().chain(self.counts.iter().filter(|(index, _)| **index != BELOW)) {
            seen += count;
            if seen >= rank {
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
    fn every_duration_between_the_bounds_is_within_one_per_cent_of_its_bucket() {
        for us in (1_000..60_000_000_u32).step_by(7_919) {
            let exact = f64::from(us) / 1e3;
            let value = value_ms(index(Duration::from_micros(us.into())));
            assert!((value - exact).abs() <= exact * RELATIVE_ERROR * 1.000_001, "{exact} ms became {value} ms");
        }
    }

    #[test]
    fn the_bounds_need_exactly_the_buckets_there_are() {
        assert_eq!(index(HIGHEST), BUCKETS - 1);
        assert_eq!(index(LOWEST), 0);
    }
}
