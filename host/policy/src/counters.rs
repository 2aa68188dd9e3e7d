//! What is counted of every file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_core::{Fault, FaultKind};

/// A policy that faults on every call says so once in this time: thousands of lines a second help nobody.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// One evaluation in so many is timed: reading the clock twice costs as much as a short condition.
const TIMED: u64 = 8;
/// The first bucket of times ends here, in nanoseconds; each further one is twice as wide.
const FIRST: u64 = 256;
/// How many buckets there are: the last one ends at a second.
const BUCKETS: usize = 23;

/// The counts of one file; they survive its reloads.
#[derive(Default)]
pub struct Counters {
    evaluations: AtomicU64,
    faults: [AtomicU64; FaultKind::ALL.len()],
    times: [AtomicU64; BUCKETS],
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    fault: Option<Fault>,
    logged: Option<Instant>,
    unlogged: u64,
    aside: Option<String>,
    /// The version that came last.
    version: u64,
}

impl Counters {
    /// How often the policy was asked.
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// How often it misbehaved, by kind; kinds that never happened are left out.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let counts = FaultKind::ALL.iter().zip(&self.faults);
        let counts = counts.map(|(kind, count)| (kind.name(), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// The latest misbehaviour.
    pub fn last_fault(&self) -> Option<Fault> {
        self.last.lock().fault.clone()
    }

    /// Why the policy is set aside, if it is.
    pub fn aside(&self) -> Option<String> {
        self.last.lock().aside.clone()
    }

    /// The time that so many of a thousand evaluations took at most, in microseconds, to within a factor of two; 0
    /// where none was timed.
    #[allow(clippy::cast_precision_loss, reason = "times stay far below 2^53 ns")]
    pub fn time_us(&self, of_thousand: u64) -> f64 {
        let counts: Vec<_> = self.times.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() * of_thousand).div_ceil(1_000);
        let mut seen = 0;
        let found = counts.iter().position(|count| {
            seen += count;
            wanted > 0 && seen >= wanted
        });
        found.map_or(0.0, |bucket| (FIRST << bucket) as f64 / 1_000.0)
    }

    /// Counts an evaluation that begins; the answer goes to [`Counters::end`].
    pub fn begin(&self) -> Option<Instant> {
        let before = self.evaluations.fetch_add(1, Ordering::Relaxed);
        before.is_multiple_of(TIMED).then(Instant::now)
    }

    /// Counts how long it took, where it was timed.
    pub fn end(&self, timed: Option<Instant>) {
        let Some(since) = timed else { return };
        let ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let bucket = (0..BUCKETS).find(|bucket| ns <= FIRST << bucket).unwrap_or(BUCKETS - 1);
        if let Some(count) = self.times.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a misbehaviour.
    pub fn count(&self, path: &str, fault: &Fault) {
        let index = FaultKind::ALL.iter().position(|kind| *kind == fault.kind);
        if let Some(count) = index.and_then(|index| self.faults.get(index)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut last = self.last.lock();
        last.fault = Some(fault.clone());
        if last.logged.is_some_and(|at| at.elapsed() < LOG_EVERY) {
            last.unlogged += 1;
            return;
        }
        last.logged = Some(Instant::now());
        let unlogged = std::mem::take(&mut last.unlogged);
        drop(last);
        tracing::warn!(policy = path, %fault, unlogged, "a policy misbehaved");
    }

    /// Notes that this version of the policy is set aside, unless another one has come meanwhile.
    pub fn set_aside(&self, version: u64, path: &str, why: String) {
        let mut last = self.last.lock();
        if last.version == version {
            tracing::error!(policy = path, why, "a policy is set aside");
            last.aside = Some(why);
        }
    }

    /// Notes that a new version has come, and numbers it.
    pub fn take_back(&self) -> u64 {
        let mut last = self.last.lock();
        last.aside = None;
        last.version += 1;
        last.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_in_a_while_is_logged_and_all_are_counted() {
        let counters = Counters::default();
        for _ in 0..3 {
            counters.count("retry/x.rhai", &Fault::new(FaultKind::Trap, "on purpose"));
        }
        assert_eq!(counters.faults(), BTreeMap::from([("trap", 3)]));
        assert_eq!(counters.last.lock().unlogged, 2);
    }

    #[test]
    fn times_are_told_to_within_a_factor_of_two() {
        let counters = Counters::default();
        assert!(counters.time_us(500) < f64::EPSILON, "nothing was timed");
        for _ in 0..99 {
            counters.times[2].fetch_add(1, Ordering::Relaxed);
        }
        counters.times[12].fetch_add(1, Ordering::Relaxed);
        let told = [500, 990, 1_000].map(|of| counters.time_us(of));
        assert_eq!(told, [1.024, 1.024, 1_048.576]);
    }
}
