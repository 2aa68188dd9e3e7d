//! Call metrics in memory: counts and durations of the last 30 days.

mod fleet;
mod series;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tidegate_core::store::MetricDeltas;
use tidegate_core::{Clock, Outcome, Stats};

pub use fleet::FleetMetrics;
use series::Series;
use tidegate_core::window::{Resolution, Span, Window};

/// The endpoint under which a platform's calls are counted if they name no endpoint, or if the platform already has the
/// maximum number of endpoints.
pub const OTHER_ENDPOINT: &str = "other";

/// The maximum length of an endpoint name, in bytes.
pub const MAX_NAME_LENGTH: usize = 128;

/// Call statistics by platform and endpoint. Clones share the same counters.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tidegate::{Metrics, Outcome, SystemClock};
/// let metrics = Metrics::new(100, Arc::new(SystemClock::new()));
/// metrics.record("taobao", "taobao.trade.get", Outcome::Success, Duration::from_millis(120));
/// let hour = metrics.stats("taobao", None, Duration::from_secs(3600));
/// assert_eq!((hour.count, hour.error_rate), (1, 0.0));
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<MetricsInner>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}

struct MetricsInner {
    series: RwLock<BTreeMap<String, BTreeMap<String, Arc<Series>>>>,
    max_endpoints: usize,
    /// Whether the counts are exported to a shared store.
    export: bool,
    started_ms: u64,
    clock: Arc<dyn Clock>,
}

/// The counters of one endpoint. Recording a call takes no lock and allocates nothing.
#[derive(Clone)]
pub struct Recorder {
    series: Arc<Series>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Records one call.
    pub fn record(&self, outcome: Outcome, duration: Duration) {
        self.series.record(outcome, duration, self.clock.unix_ms());
    }
}

impl Metrics {
    /// Creates empty metrics. For each platform at most `max_endpoints` endpoints are counted separately.
    #[must_use]
    pub fn new(max_endpoints: usize, clock: Arc<dyn Clock>) -> Self {
        Self::create(max_endpoints, clock, false)
    }

    /// Creates empty metrics that also keep the counts for [`take_pending`](Self::take_pending), which the caller must
    /// call regularly.
    pub(crate) fn with_export(max_endpoints: usize, clock: Arc<dyn Clock>) -> Self {
        Self::create(max_endpoints, clock, true)
    }

    fn create(max_endpoints: usize, clock: Arc<dyn Clock>, export: bool) -> Self {
        let started_ms = clock.unix_ms();
        Self(Arc::new(MetricsInner { series: RwLock::default(), max_endpoints, export, started_ms, clock }))
    }

    /// Returns the counts since the previous call of this method, for export to a shared store. The result is empty
    /// unless the metrics were created by [`with_export`](Self::with_export).
    pub(crate) fn take_pending(&self) -> MetricDeltas {
        let now_ms = self.0.clock.unix_ms();
        let series = self.0.series.read().clone();
        let deltas = series.into_iter().map(|(platform, endpoints)| {
            let windows = endpoints.into_iter().map(|(endpoint, series)| (endpoint, series.take_pending(now_ms)));
            (platform, windows.filter(|(_, window)| !window.is_empty()).collect())
        });
        deltas.collect()
    }

    /// Returns the recorder of an endpoint. A longer name is cut to 128 bytes.
    #[must_use]
    pub fn recorder(&self, platform: &str, endpoint: &str) -> Recorder {
        let endpoint = &endpoint[..endpoint.floor_char_boundary(MAX_NAME_LENGTH)];
        let series = self.find(platform, endpoint).unwrap_or_else(|| self.insert(platform, endpoint));
        Recorder { series, clock: Arc::clone(&self.0.clock) }
    }

    /// Returns the series of an endpoint. If it has none and the platform already has the maximum number of endpoints,
    /// returns the series of [`OTHER_ENDPOINT`].
    fn find(&self, platform: &str, endpoint: &str) -> Option<Arc<Series>> {
        let series = self.0.series.read();
        let endpoints = series.get(platform)?;
        let other = || endpoints.get(OTHER_ENDPOINT).filter(|_| endpoints.len() >= self.0.max_endpoints);
        endpoints.get(endpoint).or_else(other).cloned()
    }

    /// Records one call.
    pub fn record(&self, platform: &str, endpoint: &str, outcome: Outcome, duration: Duration) {
        self.recorder(platform, endpoint).record(outcome, duration);
    }

    /// Returns the statistics of the last `range`, for one endpoint or for the whole platform.
    ///
    /// The window is widened to whole minutes (for ranges up to an hour), hours (up to a day) or days. The result
    /// contains its start and end.
    #[must_use]
    pub fn stats(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        let matches: Vec<Arc<Series>> = self.0.series.read().get(platform).map_or_else(Vec::new, |endpoints| {
            let selected = endpoints.iter().filter(|(name, _)| endpoint.is_none_or(|endpoint| endpoint == *name));
            selected.map(|(_, series)| Arc::clone(series)).collect()
        });
        let now_ms = self.0.clock.unix_ms();
        let span = Span::ending(now_ms, range);
        let mut total = Window::default();
        matches.iter().for_each(|series| series.add_to(&mut total, span, now_ms));
        total.stats(span)
    }

    /// Returns the statistics of one endpoint since the start of the process: counters that only grow, for Prometheus.
    #[must_use]
    pub fn totals(&self, platform: &str, endpoint: &str) -> Stats {
        let series = self.0.series.read().get(platform).and_then(|endpoints| endpoints.get(endpoint)).cloned();
        let now_ms = self.0.clock.unix_ms();
        let span = Span { resolution: Resolution::Day, from_ms: self.0.started_ms, to_ms: now_ms };
        series.map_or_else(Window::default, |series| series.totals(now_ms)).stats(span)
    }

    /// Returns every platform with its endpoints.
    #[must_use]
    pub fn endpoints(&self) -> BTreeMap<String, Vec<String>> {
        let series = self.0.series.read();
        series.iter().map(|(platform, endpoints)| (platform.clone(), endpoints.keys().cloned().collect())).collect()
    }

    fn insert(&self, platform: &str, endpoint: &str) -> Arc<Series> {
        let mut series = self.0.series.write();
        let endpoints = series.entry(platform.to_owned()).or_default();
        let full = endpoints.len() >= self.0.max_endpoints && !endpoints.contains_key(endpoint);
        let name = if full { OTHER_ENDPOINT } else { endpoint };
        let new = || Arc::new(Series::new(self.0.export));
        Arc::clone(endpoints.entry(name.to_owned()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;
    use proptest::prelude::*;
    use tidegate_core::{ManualClock, Timestamp};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn endpoints_beyond_the_maximum_are_counted_together() {
        let metrics = Metrics::new(2, Arc::new(SystemClock::new()));
        for endpoint in ["a", "b", "c", "d", "a"] {
            metrics.record("jd", endpoint, Outcome::Success, Duration::from_millis(5));
        }
        assert_eq!(metrics.endpoints()["jd"], ["a", "b", OTHER_ENDPOINT]);
        assert_eq!(metrics.stats("jd", Some("a"), HOUR).count, 2);
        assert_eq!(metrics.stats("jd", Some(OTHER_ENDPOINT), HOUR).count, 2);
        assert_eq!(metrics.stats("jd", None, HOUR).count, 5);
    }

    #[test]
    fn extreme_durations_and_names_are_clamped() {
        let metrics = Metrics::new(9, Arc::new(SystemClock::new()));
        let name = "é".repeat(1_000);
        (0..100).for_each(|_| metrics.record("jd", &name, Outcome::Success, Duration::MAX));
        let stats = metrics.stats("jd", None, HOUR);
        assert_eq!((stats.count, stats.total_ms), (100, 100.0 * 86_400_000.0));
        assert_eq!(metrics.endpoints()["jd"], ["é".repeat(MAX_NAME_LENGTH / 2)]);
    }

    #[test]
    fn concurrent_recording_loses_no_call() {
        let metrics = Metrics::new(9, Arc::new(SystemClock::new()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let recorder = metrics.recorder("pdd", "x");
                    (0..10_000).for_each(|_| recorder.record(Outcome::Error, Duration::from_millis(3)));
                });
            }
            (0..100).for_each(|_| drop(metrics.stats("pdd", None, HOUR)));
        });
        let stats = metrics.stats("pdd", None, HOUR);
        assert_eq!((stats.errors, stats.total_ms), (40_000, 120_000.0));
    }

    /// Computes count, successes, start of the window and sorted durations in milliseconds from a list of all calls.
    fn reference_stats(calls: &[(u64, bool, u64)], now_ms: u64, range: Duration) -> (u64, u64, u64, Vec<f64>) {
        let range_ms = u64::try_from(range.as_millis()).unwrap();
        let unit = if range_ms <= 3_600_000 {
            60_000
        } else if range_ms <= 86_400_000 {
            3_600_000
        } else {
            86_400_000
        };
        let from = (now_ms - range_ms) / unit * unit;
        let in_window: Vec<_> = calls.iter().filter(|(at, ..)| *at >= from && *at <= now_ms).collect();
        let mut times: Vec<f64> = in_window.iter().map(|(_, _, us)| *us as f64 / 1e3).collect();
        times.sort_by(f64::total_cmp);
        let succeeded = in_window.iter().filter(|(_, succeeded, _)| *succeeded).count() as u64;
        (in_window.len() as u64, succeeded, from, times)
    }

    proptest! {
        #[test]
        fn stats_of_every_range_match_a_list_of_all_calls(
            steps in proptest::collection::vec((0u64..40_000_000, any::<bool>(), 1_000u64..60_000_000), 1..80),
        ) {
            let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
            let metrics = Metrics::new(9, Arc::clone(&clock) as Arc<dyn Clock>);
            let mut calls = Vec::new();
            for (pause_ms, succeeded, us) in steps {
                clock.advance(Duration::from_millis(pause_ms));
                let at = clock.unix_ms();
                let outcome = if succeeded { Outcome::Success } else { Outcome::Error };
                metrics.record("jd", "x", outcome, Duration::from_micros(us));
                calls.push((at, succeeded, us));
            }
            for range in [HOUR, HOUR * 24, HOUR * 24 * 7, HOUR * 24 * 30] {
                let now = clock.unix_ms();
                let (count, succeeded, from, times) = reference_stats(&calls, now, range);
                let stats = metrics.stats("jd", None, range);
                prop_assert_eq!((stats.count, stats.success, stats.errors), (count, succeeded, count - succeeded));
                prop_assert_eq!((stats.from_ms, stats.to_ms), (from, now));
                for (q, estimate) in [(0.5, stats.p50), (0.95, stats.p95), (0.99, stats.p99)] {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
                    let rank = ((q * count as f64).ceil() as usize).max(1);
                    let exact = times.get(rank - 1).copied().unwrap_or(0.0);
                    prop_assert!((estimate - exact).abs() <= exact * 0.010_001, "p{q}: {estimate}, exact {exact}");
                }
            }
        }
    }
}
