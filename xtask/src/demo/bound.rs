//! What a limit promises of every window, checked on the times at which calls arrived.

use std::time::Duration;

/// Between the gateway's decision and the platform's clock lies a send, a wake-up and a read, which last a little
/// longer for one call than for the next; windows are widened by this much.
pub const JITTER: Duration = Duration::from_millis(50);

const SECOND_US: u64 = 1_000_000;

/// A token bucket's promise.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub per_second: u64,
    pub burst: u64,
}

/// A window from one arrival to another, both counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub calls: u64,
    pub length: Duration,
    /// Millionths of a call that the bound left free, with [`JITTER`] granted; negative where it was broken.
    pub room: i128,
}

impl Bound {
    /// Of the windows between any two of these arrivals (µs, ascending), the one with the least room.
    ///
    /// Every pair is looked at: no cleverness stands between the log and the answer.
    pub fn tightest(self, arrivals: &[u64]) -> Option<Window> {
        let windows = arrivals.iter().enumerate().flat_map(|(first, from)| {
            let later = arrivals[first..].iter().zip(1..);
            later.map(move |(to, calls)| self.judge(calls, to - from))
        });
        windows.min_by_key(|window| window.room)
    }

    fn judge(self, calls: u64, length_us: u64) -> Window {
        let jitter = JITTER.as_micros() * u128::from(self.per_second);
        let flowed = u128::from(self.per_second) * u128::from(length_us);
        let granted = u128::from(self.burst * SECOND_US) + flowed + jitter;
        let room = i128::try_from(granted).unwrap_or(i128::MAX) - i128::from(calls * SECOND_US);
        Window { calls, length: Duration::from_micros(length_us), room }
    }

    /// What arrived between two times (µs), as a part of what the rate alone grants for as long.
    pub fn used(self, arrivals: &[u64], from_us: u64, to_us: u64) -> f64 {
        let calls = arrivals.iter().filter(|at| (from_us..to_us).contains(at)).count();
        let granted = self.per_second as f64 * Duration::from_micros(to_us.saturating_sub(from_us)).as_secs_f64();
        calls as f64 / granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { per_second: 10, burst: 5 };

    /// The whole burst at once, then one call every `gap_us`.
    fn log(burst: usize, gap_us: u64) -> Vec<u64> {
        std::iter::repeat_n(0, burst).chain((1..=100).map(|n| n * gap_us)).collect()
    }

    #[test]
    fn burst_and_rate_to_the_full_are_within_the_bound() {
        let tightest = BOUND.tightest(&log(5, 100_000)).unwrap();
        assert_eq!(tightest.room, 500_000, "only the jitter is left: 50 ms at 10/s");
    }

    #[test]
    fn a_call_too_many_is_found_wherever_it_hides() {
        let mut inside = log(5, 100_000);
        inside.insert(60, inside[60]);
        for (case, arrivals) in [("burst", log(6, 100_000)), ("rate", log(5, 95_000)), ("inside", inside)] {
            assert!(BOUND.tightest(&arrivals).unwrap().room < 0, "{case}");
        }
    }

    #[test]
    fn jitter_is_forgiven_up_to_its_length() {
        let late_first = |by_us: u64| {
            let rest = (1..=5).map(|n| n * 100_000);
            [by_us; 5].into_iter().chain(rest).collect::<Vec<_>>()
        };
        assert!(BOUND.tightest(&late_first(50_000)).unwrap().room >= 0);
        assert!(BOUND.tightest(&late_first(50_001)).unwrap().room < 0);
    }

    #[test]
    fn no_calls_break_no_bound() {
        assert_eq!(BOUND.tightest(&[]), None);
        assert!(BOUND.tightest(&[7]).unwrap().room > 0);
    }

    #[test]
    fn use_is_measured_against_the_rate_alone() {
        let every_100_ms: Vec<u64> = (0..50).map(|n| n * 100_000).collect();
        let used = BOUND.used(&every_100_ms, 1_000_000, 3_000_000);
        assert!((used - 1.0).abs() < 1e-9, "{used}");
        let used = BOUND.used(&every_100_ms, 0, 10_000_000);
        assert!((used - 0.5).abs() < 1e-9, "{used}");
    }
}
