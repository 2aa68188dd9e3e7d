//! The counters of one policy file: evaluations, faults and evaluation times.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_core::{Fault, FaultKind, Timestamp};

/// The minimum time between two logged faults of a file. Without it, a policy that faults on every call would log
/// thousands of lines a second.
const FAULT_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// One evaluation in this many is timed, because reading the clock twice costs as much as a short condition.
const TIMING_INTERVAL: u64 = 8;
/// The upper bound of the first time bucket, in nanoseconds. Each further bucket is twice as wide.
const FIRST_BUCKET_NS: u64 = 256;
/// The number of time buckets. The last one ends at about a second.
const BUCKETS: usize = 23;

/// The counters of one file. They survive reloads.
#[derive(Default)]
pub struct Counters {
    evaluations: AtomicU64,
    faults: [AtomicU64; FaultKind::ALL.len()],
    times: [AtomicU64; BUCKETS],
    latest: Mutex<LatestState>,
}

#[derive(Default)]
struct LatestState {
    fault: Option<Fault>,
    fault_logged_at: Option<Timestamp>,
    /// The number of faults since the last logged one.
    suppressed_lines: u64,
    quarantine_reason: Option<String>,
    version: u64,
}

impl Counters {
    /// Returns the number of evaluations.
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// Returns the number of faults by kind. Kinds without faults are omitted.
    pub fn faults(&self) -> BTreeMap<FaultKind, u64> {
        let counts = FaultKind::ALL.iter().zip(&self.faults);
        let counts = counts.map(|(kind, count)| (*kind, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Returns the last fault.
    pub fn last_fault(&self) -> Option<Fault> {
        self.latest.lock().fault.clone()
    }

    /// Returns why the policy is quarantined, if it is.
    pub fn quarantine_reason(&self) -> Option<String> {
        self.latest.lock().quarantine_reason.clone()
    }

    /// Returns a quantile of the evaluation times in microseconds, rounded up to a power of two times 0.256 µs. Returns
    /// 0 if no evaluation was timed.
    #[allow(clippy::cast_precision_loss, reason = "times stay far below 2^53 ns")]
    pub fn time_quantile_us(&self, per_mille: u64) -> f64 {
        let counts: Vec<_> = self.times.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let rank = (counts.iter().sum::<u64>() * per_mille).div_ceil(1_000);
        let mut cumulative = 0;
        let bucket = counts.iter().position(|count| {
            cumulative += count;
            rank > 0 && cumulative >= rank
        });
        bucket.map_or(0.0, |bucket| (FIRST_BUCKET_NS << bucket) as f64 / 1_000.0)
    }

    /// Counts an evaluation. Returns its start time, for [`Counters::record_time`], if it is one of those that are
    /// timed. That is a measurement, so it does not use the registry's clock, which a test may stop.
    pub fn start_evaluation(&self) -> Option<Instant> {
        let before = self.evaluations.fetch_add(1, Ordering::Relaxed);
        before.is_multiple_of(TIMING_INTERVAL).then(Instant::now)
    }

    /// Records the time of an evaluation, if it is timed.
    pub fn record_time(&self, started_at: Option<Instant>) {
        let Some(started_at) = started_at else { return };
        let ns = u64::try_from(started_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let bucket = (0..BUCKETS).find(|bucket| ns <= FIRST_BUCKET_NS << bucket).unwrap_or(BUCKETS - 1);
        if let Some(count) = self.times.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a fault, and logs it unless one was logged shortly before `now`.
    pub fn record_fault(&self, path: &str, fault: &Fault, now: Timestamp) {
        let index = FaultKind::ALL.iter().position(|kind| *kind == fault.kind);
        if let Some(count) = index.and_then(|index| self.faults.get(index)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut latest = self.latest.lock();
        latest.fault = Some(fault.clone());
        if latest.fault_logged_at.is_some_and(|at| now - at < FAULT_LOG_INTERVAL) {
            latest.suppressed_lines += 1;
            return;
        }
        latest.fault_logged_at = Some(now);
        let suppressed_lines = std::mem::take(&mut latest.suppressed_lines);
        drop(latest);
        tracing::warn!(policy = path, %fault, suppressed_lines, "policy fault");
    }

    /// Records that this version of the policy is quarantined, unless it was replaced meanwhile.
    pub fn quarantine(&self, version: u64, path: &str, reason: String) {
        let mut latest = self.latest.lock();
        if latest.version == version {
            tracing::error!(policy = path, reason, "policy quarantined");
            latest.quarantine_reason = Some(reason);
        }
    }

    /// Registers a new version of the file, which ends a quarantine. Returns its number.
    pub fn start_version(&self) -> u64 {
        let mut latest = self.latest.lock();
        latest.quarantine_reason = None;
        latest.version += 1;
        latest.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_log_is_rate_limited_but_every_fault_is_counted() {
        let counters = Counters::default();
        let suppressed_after = |ms: u64| {
            let now = Timestamp::from_micros(ms * 1_000);
            counters.record_fault("retry/x.rhai", &Fault::new(FaultKind::Trap, "on purpose"), now);
            counters.latest.lock().suppressed_lines
        };
        assert_eq!([0, 1, 9_999, 10_000, 10_001].map(suppressed_after), [0, 1, 2, 0, 1]);
        assert_eq!(counters.faults(), BTreeMap::from([(FaultKind::Trap, 5)]));
    }

    #[test]
    fn time_quantiles_are_exact_to_a_factor_of_two() {
        let counters = Counters::default();
        assert!(counters.time_quantile_us(500) < f64::EPSILON, "nothing was timed");
        for _ in 0..99 {
            counters.times[2].fetch_add(1, Ordering::Relaxed);
        }
        counters.times[12].fetch_add(1, Ordering::Relaxed);
        let quantiles = [500, 990, 1_000].map(|per_mille| counters.time_quantile_us(per_mille));
        assert_eq!(quantiles, [1.024, 1.024, 1_048.576]);
    }
}
