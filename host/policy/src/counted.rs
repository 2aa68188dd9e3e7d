//! A policy in force: its counts, and the end of patience with one that keeps misbehaving.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_core::{
    Admission, AdmitPolicy, AlertPolicy, AlertVerdict, Failure, Fault, FaultKind, Request, RetryPolicy, Snapshot,
    Verdict, View,
};

use crate::counters::Counters;

/// When a policy is set aside: so many faults within so long.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The faults.
    pub faults: usize,
    /// The time.
    pub window: Duration,
}

/// One version of a policy.
pub struct Counted<P: ?Sized> {
    /// The file it came from, within the directory.
    pub path: Arc<str>,
    policy: Arc<P>,
    counters: Arc<Counters>,
    patience: Patience,
    /// When it misbehaved, oldest first.
    recent: Mutex<VecDeque<Instant>>,
    aside: AtomicBool,
    /// The version before it, which decides where this one is set aside.
    before: Option<Arc<Self>>,
}

impl<P: ?Sized> Counted<P> {
    /// A version of the policy of `path`; `last` is the one that it follows.
    pub fn new(
        path: &str,
        policy: Arc<P>,
        counters: &Arc<Counters>,
        patience: Patience,
        last: Option<&Arc<Self>>,
    ) -> Self {
        counters.take_back();
        Self {
            path: path.into(),
            policy,
            counters: Arc::clone(counters),
            patience,
            recent: Mutex::default(),
            aside: AtomicBool::new(false),
            before: last.and_then(|last| last.rest()),
        }
    }

    /// The same version without the one before it, so that no chain grows; none where it was set aside.
    fn rest(&self) -> Option<Arc<Self>> {
        if self.aside.load(Ordering::Relaxed) {
            return self.before.clone();
        }
        Some(Arc::new(Self {
            path: Arc::clone(&self.path),
            policy: Arc::clone(&self.policy),
            counters: Arc::clone(&self.counters),
            patience: self.patience,
            recent: Mutex::default(),
            aside: AtomicBool::new(false),
            before: None,
        }))
    }

    /// The version that decides: this one, the one before it, or none.
    pub fn in_force(&self) -> Option<&Self> {
        if !self.aside.load(Ordering::Relaxed) {
            return Some(self);
        }
        self.before.as_deref().filter(|before| !before.aside.load(Ordering::Relaxed))
    }

    /// Asks the policy. A panic of an engine is a trap of its policy: it must not take the caller along.
    fn ask<T>(&self, ask: impl FnOnce(&P) -> Result<T, Fault>) -> Result<T, Fault> {
        let _span = tracing::debug_span!("policy", path = &*self.path).entered();
        let timed = self.counters.begin();
        let answer = catch_unwind(AssertUnwindSafe(|| ask(&self.policy)));
        let answer = answer.unwrap_or_else(|_| Err(Fault::new(FaultKind::Trap, "its engine panicked")));
        self.counters.end(timed);
        answer.inspect_err(|fault| {
            self.counters.count(&self.path, fault);
            self.bear(fault);
        })
    }

    /// Sets the policy aside where it has misbehaved too often too fast.
    fn bear(&self, fault: &Fault) {
        let (now, mut recent) = (Instant::now(), self.recent.lock());
        recent.push_back(now);
        if recent.len() < self.patience.faults {
            return;
        }
        let first = recent.pop_front();
        if first.is_some_and(|first| now - first <= self.patience.window) && !self.aside.swap(true, Ordering::Relaxed) {
            let then = if self.before.is_some() { "the version before it decides" } else { "the fallback decides" };
            self.counters.set_aside(&self.path, format!("{then} until it is edited; the last fault: {fault}"));
        }
    }
}

impl RetryPolicy for Counted<dyn RetryPolicy> {
    fn classify(&self, failure: &Failure, view: &Arc<dyn View>) -> Result<Verdict, Fault> {
        self.ask(|policy| policy.classify(failure, view))
    }
}

impl AdmitPolicy for Counted<dyn AdmitPolicy> {
    fn admit(&self, request: &Request, view: &Arc<dyn View>) -> Result<Admission, Fault> {
        self.ask(|policy| policy.admit(request, view))
    }
}

impl AlertPolicy for Counted<dyn AlertPolicy> {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn View>) -> Result<AlertVerdict, Fault> {
        match self.in_force() {
            Some(policy) => policy.ask(|policy| policy.evaluate(snapshot, view)),
            // A rule has no fallback: its state stays as it was.
            None => Err(Fault::new(FaultKind::Trap, "set aside for its faults")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidegate_core::{Stats, Windows};

    use super::*;

    struct Panics;

    impl RetryPolicy for Panics {
        fn classify(&self, _: &Failure, _: &Arc<dyn View>) -> Result<Verdict, Fault> {
            panic!("on purpose")
        }
    }

    fn view() -> Arc<dyn View> {
        Arc::new(Windows(|_| Stats::default()))
    }

    fn version(
        counters: &Arc<Counters>,
        last: Option<&Arc<Counted<dyn RetryPolicy>>>,
    ) -> Arc<Counted<dyn RetryPolicy>> {
        let patience = Patience { faults: 3, window: Duration::from_secs(3_600) };
        Arc::new(Counted::new("retry/x.rhai", Arc::new(Panics), counters, patience, last))
    }

    #[test]
    fn a_panic_is_a_trap_and_is_counted() {
        let counters = Arc::new(Counters::default());
        let policy = version(&counters, None);
        for _ in 0..2 {
            assert_eq!(policy.classify(&Failure::default(), &view()).unwrap_err().kind, FaultKind::Trap);
        }
        assert_eq!((counters.evaluations(), counters.faults()), (2, BTreeMap::from([("trap", 2)])));
        assert_eq!(counters.last_fault().map(|fault| fault.kind), Some(FaultKind::Trap));
        assert!(policy.in_force().is_some(), "two are borne");
    }

    #[test]
    fn too_many_faults_bring_the_version_before_back_and_an_edit_forgives() {
        let counters = Arc::new(Counters::default());
        let first = version(&counters, None);
        let second = version(&counters, Some(&first));
        let wear_out = |policy: &Counted<dyn RetryPolicy>| {
            for _ in 0..3 {
                assert!(policy.classify(&Failure::default(), &view()).is_err());
            }
        };
        wear_out(&second);
        let standing = second.in_force().expect("the first one");
        assert!(counters.aside().unwrap().contains("the version before it decides"), "{:?}", counters.aside());
        wear_out(standing);
        assert!(second.in_force().is_none());
        let third = version(&counters, Some(&second));
        assert!(third.in_force().is_some_and(|policy| std::ptr::eq(policy, &*third)), "an edit forgives");
        assert_eq!(counters.aside(), None);
        wear_out(&third);
        assert!(third.in_force().is_none(), "neither of the two before it was good");
    }

    #[test]
    fn faults_far_apart_are_borne() {
        let counters = Arc::new(Counters::default());
        let patience = Patience { faults: 2, window: Duration::ZERO };
        let policy: Counted<dyn RetryPolicy> =
            Counted::new("retry/x.rhai", Arc::new(Panics), &counters, patience, None);
        for _ in 0..5 {
            assert!(policy.classify(&Failure::default(), &view()).is_err());
        }
        assert!(policy.in_force().is_some());
    }
}
