//! What is counted of every policy.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_core::{AlertPolicy, AlertVerdict, Failure, Fault, FaultKind, RetryPolicy, Snapshot, Verdict, Windows};

/// A policy that faults on every call says so once in this time: thousands of lines a second help nobody.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The counts of one file; they survive its reloads.
#[derive(Default)]
pub struct Counters {
    evaluations: AtomicU64,
    faults: [AtomicU64; FaultKind::ALL.len()],
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    fault: Option<Fault>,
    logged: Option<Instant>,
    unlogged: u64,
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

    fn count(&self, path: &str, fault: &Fault) {
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
}

/// A policy with its counts.
pub struct Counted<P: ?Sized> {
    /// The file it came from, within the directory.
    pub path: Arc<str>,
    policy: Arc<P>,
    counters: Arc<Counters>,
}

impl<P: ?Sized> Counted<P> {
    /// The policy of `path`, counted from now on.
    pub fn new(path: &str, policy: Arc<P>, counters: &Arc<Counters>) -> Self {
        Self { path: path.into(), policy, counters: Arc::clone(counters) }
    }

    /// Asks the policy. A panic of an engine is a trap of its policy: it must not take the caller along.
    fn ask<T>(&self, ask: impl FnOnce(&P) -> Result<T, Fault>) -> Result<T, Fault> {
        self.counters.evaluations.fetch_add(1, Ordering::Relaxed);
        let answer = catch_unwind(AssertUnwindSafe(|| ask(&self.policy)));
        let answer = answer.unwrap_or_else(|_| Err(Fault::new(FaultKind::Trap, "its engine panicked")));
        answer.inspect_err(|fault| self.counters.count(&self.path, fault))
    }
}

impl RetryPolicy for Counted<dyn RetryPolicy> {
    fn classify(&self, failure: &Failure) -> Result<Verdict, Fault> {
        self.ask(|policy| policy.classify(failure))
    }
}

impl AlertPolicy for Counted<dyn AlertPolicy> {
    fn evaluate(&self, snapshot: &Snapshot, windows: &dyn Windows) -> Result<AlertVerdict, Fault> {
        self.ask(|policy| policy.evaluate(snapshot, windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Panics;

    impl RetryPolicy for Panics {
        fn classify(&self, _: &Failure) -> Result<Verdict, Fault> {
            panic!("on purpose")
        }
    }

    #[test]
    fn a_panic_is_a_trap_and_is_counted() {
        let counters = Arc::new(Counters::default());
        let policy: Counted<dyn RetryPolicy> = Counted::new("retry/x.rhai", Arc::new(Panics), &counters);
        for _ in 0..2 {
            assert_eq!(policy.classify(&Failure::default()).unwrap_err().kind, FaultKind::Trap);
        }
        assert_eq!((counters.evaluations(), counters.faults()), (2, BTreeMap::from([("trap", 2)])));
        assert_eq!(counters.last_fault().map(|fault| fault.kind), Some(FaultKind::Trap));
        assert_eq!(counters.last.lock().unlogged, 1, "the second one is not logged");
    }
}
