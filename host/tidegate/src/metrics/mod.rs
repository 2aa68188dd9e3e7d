//! What became of every call: counts and durations of the last 30 days, in memory.

mod fleet;
mod series;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tidegate_core::store::Counted;
use tidegate_core::{Clock, Outcome, Stats};

pub use fleet::Fleet;
use series::Series;
use tidegate_core::window::{Grain, Span, Window};

/// The endpoint under which further ones are counted once a platform has its fill of them.
pub const OTHER: &str = "other";

/// The longest name of an endpoint, in bytes.
pub const MAX_NAME: usize = 128;

/// Figures by platform and endpoint; clones share them.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tidegate::{Metrics, Outcome, SystemClock};
/// let metrics = Metrics::new(100, Arc::new(SystemClock::start()));
/// metrics.record("taobao", "taobao.trade.get", Outcome::Success, Duration::from_millis(120));
/// let hour = metrics.get("taobao", None, Duration::from_secs(3600));
/// assert_eq!((hour.count, hour.error_rate), (1, 0.0));
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    series: RwLock<BTreeMap<String, BTreeMap<String, Arc<Series>>>>,
    max_endpoints: usize,
    /// Whether what is counted here is told to others.
    told: bool,
    started_ms: u64,
    clock: Arc<dyn Clock>,
}

/// A resolved place to count at: recording takes no lock and allocates nothing.
#[derive(Clone)]
pub struct Recorder {
    series: Arc<Series>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    /// Counts one call.
    pub fn record(&self, outcome: Outcome, duration: Duration) {
        self.series.record(outcome, duration, self.clock.unix_ms());
    }
}

impl Metrics {
    /// Nothing counted yet; at most `max_endpoints` names are kept apart for each platform.
    #[must_use]
    pub fn new(max_endpoints: usize, clock: Arc<dyn Clock>) -> Self {
        Self::make(max_endpoints, clock, false)
    }

    /// The same where [`take_untold`](Self::take_untold) is called again and again.
    #[must_use]
    pub fn told(max_endpoints: usize, clock: Arc<dyn Clock>) -> Self {
        Self::make(max_endpoints, clock, true)
    }

    fn make(max_endpoints: usize, clock: Arc<dyn Clock>, told: bool) -> Self {
        let started_ms = clock.unix_ms();
        Self(Arc::new(Inner { series: RwLock::default(), max_endpoints, told, started_ms, clock }))
    }

    /// What was counted since the last time this was asked, for a store that others read; nothing unless made by
    /// [`told`](Self::told).
    #[must_use]
    pub fn take_untold(&self) -> Counted {
        let now_ms = self.0.clock.unix_ms();
        let series = self.0.series.read().clone();
        let taken = series.into_iter().map(|(platform, endpoints)| {
            let windows = endpoints.into_iter().map(|(endpoint, series)| (endpoint, series.untold(now_ms)));
            (platform, windows.filter(|(_, window)| !window.is_empty()).collect())
        });
        taken.collect()
    }

    /// The place where one endpoint's calls are counted; of a long name the first 128 bytes.
    #[must_use]
    pub fn recorder(&self, platform: &str, endpoint: &str) -> Recorder {
        let endpoint = &endpoint[..endpoint.floor_char_boundary(MAX_NAME)];
        let series = self.known(platform, endpoint).unwrap_or_else(|| self.place(platform, endpoint));
        Recorder { series, clock: Arc::clone(&self.0.clock) }
    }

    /// The series of an endpoint that has one, or of the others where there is no room for one of its own.
    fn known(&self, platform: &str, endpoint: &str) -> Option<Arc<Series>> {
        let series = self.0.series.read();
        let endpoints = series.get(platform)?;
        let others = || endpoints.get(OTHER).filter(|_| endpoints.len() >= self.0.max_endpoints);
        endpoints.get(endpoint).or_else(others).cloned()
    }

    /// Counts one call.
    pub fn record(&self, platform: &str, endpoint: &str, outcome: Outcome, duration: Duration) {
        self.recorder(platform, endpoint).record(outcome, duration);
    }

    /// The figures of the last `range`, of one endpoint or of the whole platform.
    ///
    /// The window is widened to whole minutes (up to an hour), hours (up to a day) or days, and says from when to
    /// when it reaches.
    #[must_use]
    pub fn get(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        let chosen: Vec<Arc<Series>> = self.0.series.read().get(platform).map_or_else(Vec::new, |endpoints| {
            let wanted = endpoints.iter().filter(|(name, _)| endpoint.is_none_or(|endpoint| endpoint == *name));
            wanted.map(|(_, series)| Arc::clone(series)).collect()
        });
        let now_ms = self.0.clock.unix_ms();
        let span = Span::ending(now_ms, range);
        let mut total = Window::default();
        chosen.iter().for_each(|series| series.add_to(&mut total, span, now_ms));
        total.stats(span)
    }

    /// The figures of one endpoint since the start: counts that only grow, for scrapers.
    #[must_use]
    pub fn ever(&self, platform: &str, endpoint: &str) -> Stats {
        let series = self.0.series.read().get(platform).and_then(|endpoints| endpoints.get(endpoint)).cloned();
        let now_ms = self.0.clock.unix_ms();
        let span = Span { grain: Grain::Day, from_ms: self.0.started_ms, to_ms: now_ms };
        series.map_or_else(Window::default, |series| series.ever(now_ms)).stats(span)
    }

    /// Every platform and endpoint that was counted.
    #[must_use]
    pub fn endpoints(&self) -> BTreeMap<String, Vec<String>> {
        let series = self.0.series.read();
        series.iter().map(|(platform, endpoints)| (platform.clone(), endpoints.keys().cloned().collect())).collect()
    }

    fn place(&self, platform: &str, endpoint: &str) -> Arc<Series> {
        let mut series = self.0.series.write();
        let endpoints = series.entry(platform.to_owned()).or_default();
        let full = endpoints.len() >= self.0.max_endpoints && !endpoints.contains_key(endpoint);
        let name = if full { OTHER } else { endpoint };
        let new = || Arc::new(Series::new(self.0.told));
        Arc::clone(endpoints.entry(name.to_owned()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn further_endpoints_are_counted_together() {
        let metrics = Metrics::new(2, Arc::new(SystemClock::start()));
        for endpoint in ["a", "b", "c", "d", "a"] {
            metrics.record("jd", endpoint, Outcome::Success, Duration::from_millis(5));
        }
        assert_eq!(metrics.endpoints()["jd"], ["a", "b", OTHER]);
        assert_eq!(metrics.get("jd", Some("a"), HOUR).count, 2);
        assert_eq!(metrics.get("jd", Some(OTHER), HOUR).count, 2);
        assert_eq!(metrics.get("jd", None, HOUR).count, 5);
    }

    #[test]
    fn absurd_durations_and_names_do_no_harm() {
        let metrics = Metrics::new(9, Arc::new(SystemClock::start()));
        let name = "é".repeat(1_000);
        (0..100).for_each(|_| metrics.record("jd", &name, Outcome::Success, Duration::MAX));
        let stats = metrics.get("jd", None, HOUR);
        assert_eq!((stats.count, stats.total_ms), (100, 100.0 * 86_400_000.0));
        assert_eq!(metrics.endpoints()["jd"], ["é".repeat(MAX_NAME / 2)]);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let metrics = Metrics::new(9, Arc::new(SystemClock::start()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let recorder = metrics.recorder("pdd", "x");
                    (0..10_000).for_each(|_| recorder.record(Outcome::Error, Duration::from_millis(3)));
                });
            }
            (0..100).for_each(|_| drop(metrics.get("pdd", None, HOUR)));
        });
        let stats = metrics.get("pdd", None, HOUR);
        assert_eq!((stats.errors, stats.total_ms), (40_000, 120_000.0));
    }

    /// A clock that a test moves.
    struct Hand(std::sync::atomic::AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> tidegate_core::Timestamp {
            tidegate_core::Timestamp::from_micros(self.unix_ms() * 1_000)
        }

        fn unix_ms(&self) -> u64 {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    /// The last of so many whole units of time that must be looked at, said by listing every call.
    fn naive(calls: &[(u64, bool, u64)], now_ms: u64, range: Duration) -> (u64, u64, u64, Vec<f64>) {
        let range_ms = u64::try_from(range.as_millis()).unwrap();
        let unit = if range_ms <= 3_600_000 {
            60_000
        } else if range_ms <= 86_400_000 {
            3_600_000
        } else {
            86_400_000
        };
        let from = (now_ms - range_ms) / unit * unit;
        let seen: Vec<_> = calls.iter().filter(|(at, ..)| *at >= from && *at <= now_ms).collect();
        let mut times: Vec<f64> = seen.iter().map(|(_, _, us)| *us as f64 / 1e3).collect();
        times.sort_by(f64::total_cmp);
        let good = seen.iter().filter(|(_, good, _)| *good).count() as u64;
        (seen.len() as u64, good, from, times)
    }

    proptest! {
        #[test]
        fn every_range_says_what_a_list_of_all_calls_says(
            steps in proptest::collection::vec((0u64..40_000_000, any::<bool>(), 1_000u64..60_000_000), 1..80),
        ) {
            let hand = Arc::new(Hand(std::sync::atomic::AtomicU64::new(1_800_000_000_000)));
            let metrics = Metrics::new(9, Arc::clone(&hand) as Arc<dyn Clock>);
            let mut calls = Vec::new();
            for (pause_ms, good, us) in steps {
                let at = hand.0.fetch_add(pause_ms, std::sync::atomic::Ordering::Relaxed) + pause_ms;
                let outcome = if good { Outcome::Success } else { Outcome::Error };
                metrics.record("jd", "x", outcome, Duration::from_micros(us));
                calls.push((at, good, us));
            }
            for range in [HOUR, HOUR * 24, HOUR * 24 * 7, HOUR * 24 * 30] {
                let now = hand.unix_ms();
                let (count, good, from, times) = naive(&calls, now, range);
                let stats = metrics.get("jd", None, range);
                prop_assert_eq!((stats.count, stats.success, stats.errors), (count, good, count - good));
                prop_assert_eq!((stats.from_ms, stats.to_ms), (from, now));
                for (q, told) in [(0.5, stats.p50), (0.95, stats.p95), (0.99, stats.p99)] {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
                    let rank = ((q * count as f64).ceil() as usize).max(1);
                    let exact = times.get(rank - 1).copied().unwrap_or(0.0);
                    prop_assert!((told - exact).abs() <= exact * 0.010_001, "p{q}: {told} for {exact}");
                }
            }
        }
    }
}
