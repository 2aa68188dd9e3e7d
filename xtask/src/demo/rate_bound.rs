//! Checks the guarantee of a rate limit on the times at which calls arrived at a platform.

use std::time::Duration;

/// The tolerance that is added to the length of each window.
///
/// The gateway decides before the call is sent, and the platform takes the time when it reads the call. The delay
/// between the two differs slightly from call to call.
pub const JITTER: Duration = Duration::from_millis(50);

const SECOND_US: u64 = 1_000_000;

/// The guarantee of a token bucket: no window contains more than `burst + per_second × length` calls.
#[derive(Clone, Copy, Debug)]
pub struct RateBound {
    pub per_second: u64,
    pub burst: u64,
}

/// A window from one arrival to another. It contains both arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivalWindow {
    pub calls: u64,
    pub length: Duration,
    /// How many more calls the bound allows, including [`JITTER`], in millionths of a call. It is negative if the
    /// window exceeds the bound.
    pub slack: i128,
}

impl RateBound {
    /// Returns the window with the least slack between any two of the arrivals (in µs, ascending).
    ///
    /// The method compares every pair of arrivals. It is slow but simple, so the check itself is easy to verify.
    pub fn tightest_window(self, arrivals: &[u64]) -> Option<ArrivalWindow> {
        let windows = arrivals.iter().enumerate().flat_map(|(first, from)| {
            let later = arrivals[first..].iter().zip(1..);
            later.map(move |(to, calls)| self.window(calls, to - from))
        });
        windows.min_by_key(|window| window.slack)
    }

    fn window(self, calls: u64, length_us: u64) -> ArrivalWindow {
        let jitter = JITTER.as_micros() * u128::from(self.per_second);
        let refilled = u128::from(self.per_second) * u128::from(length_us);
        let allowed = u128::from(self.burst * SECOND_US) + refilled + jitter;
        let slack = i128::try_from(allowed).unwrap_or(i128::MAX) - i128::from(calls * SECOND_US);
        ArrivalWindow { calls, length: Duration::from_micros(length_us), slack }
    }

    /// Returns the number of calls that arrived between two times (in µs), as a fraction of what the rate alone allows.
    pub fn utilization(self, arrivals: &[u64], from_us: u64, to_us: u64) -> f64 {
        let calls = arrivals.iter().filter(|at| (from_us..to_us).contains(at)).count();
        let allowed = self.per_second as f64 * Duration::from_micros(to_us.saturating_sub(from_us)).as_secs_f64();
        calls as f64 / allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: RateBound = RateBound { per_second: 10, burst: 5 };

    /// Returns arrivals: `burst` calls at once, then one call every `gap_us`.
    fn arrivals(burst: usize, gap_us: u64) -> Vec<u64> {
        std::iter::repeat_n(0, burst).chain((1..=100).map(|n| n * gap_us)).collect()
    }

    #[test]
    fn full_burst_and_full_rate_are_within_the_bound() {
        let tightest = BOUND.tightest_window(&arrivals(5, 100_000)).unwrap();
        assert_eq!(tightest.slack, 500_000, "only the jitter is left: 50 ms at 10/s");
    }

    #[test]
    fn one_call_too_many_exceeds_the_bound_in_any_position() {
        let mut inside = arrivals(5, 100_000);
        inside.insert(60, inside[60]);
        for (case, arrivals) in [("burst", arrivals(6, 100_000)), ("rate", arrivals(5, 95_000)), ("inside", inside)] {
            assert!(BOUND.tightest_window(&arrivals).unwrap().slack < 0, "{case}");
        }
    }

    #[test]
    fn jitter_is_tolerated_up_to_its_length() {
        let late_first = |by_us: u64| {
            let rest = (1..=5).map(|n| n * 100_000);
            [by_us; 5].into_iter().chain(rest).collect::<Vec<_>>()
        };
        assert!(BOUND.tightest_window(&late_first(50_000)).unwrap().slack >= 0);
        assert!(BOUND.tightest_window(&late_first(50_001)).unwrap().slack < 0);
    }

    #[test]
    fn no_calls_and_one_call_are_within_the_bound() {
        assert_eq!(BOUND.tightest_window(&[]), None);
        assert!(BOUND.tightest_window(&[7]).unwrap().slack > 0);
    }

    #[test]
    fn utilization_ignores_the_burst() {
        let every_100_ms: Vec<u64> = (0..50).map(|n| n * 100_000).collect();
        let utilization = BOUND.utilization(&every_100_ms, 1_000_000, 3_000_000);
        assert!((utilization - 1.0).abs() < 1e-9, "{utilization}");
        let utilization = BOUND.utilization(&every_100_ms, 0, 10_000_000);
        assert!((utilization - 0.5).abs() < 1e-9, "{utilization}");
    }
}
