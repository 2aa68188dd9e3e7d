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
use crate::decisions::{Author, Decision, Decisions};
use crate::slot::is_candidate;

/// When a policy is set aside: so many faults within so long.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The faults.
    pub faults: usize,
    /// The time.
    pub window: Duration,
}

/// What is kept of a policy, and how far it is borne.
#[derive(Clone)]
pub struct Care {
    /// What it did is counted here.
    pub counters: Arc<Counters>,
    /// When it is set aside.
    pub patience: Patience,
    /// What it decided is written here.
    pub decisions: Arc<Decisions>,
}

/// One version of a policy.
pub struct Counted<P: ?Sized> {
    /// The file it came from, within the directory, and since when it is in force.
    pub author: Author,
    /// The version of the file that it is, or stands behind.
    version: u64,
    policy: Arc<P>,
    care: Care,
    /// When it misbehaved, oldest first.
    recent: Mutex<VecDeque<Instant>>,
    aside: AtomicBool,
    /// The version before it, which decides where this one is set aside.
    before: Option<Arc<Self>>,
}

impl<P: ?Sized> Counted<P> {
    /// A version of a policy; `last` is the one that it follows.
    pub fn new(author: Author, policy: Arc<P>, care: Care, last: Option<&Arc<Self>>) -> Self {
        let version = care.counters.take_back();
        Self {
            author,
            version,
            policy,
            care,
            recent: Mutex::default(),
            aside: AtomicBool::new(false),
            before: last.and_then(|last| last.rest(version)),
        }
    }

    /// The same version without the one before it, so that no chain grows; none where it was set aside.
    fn rest(&self, version: u64) -> Option<Arc<Self>> {
        if self.aside.load(Ordering::Relaxed) {
            return self.before.as_ref().map(|before| before.behind(version));
        }
        Some(self.behind(version))
    }

    /// The same, behind a version of the file that came after it.
    fn behind(&self, version: u64) -> Arc<Self> {
        Arc::new(Self {
            author: self.author.clone(),
            version,
            policy: Arc::clone(&self.policy),
            care: self.care.clone(),
            recent: Mutex::default(),
            aside: AtomicBool::new(self.aside.load(Ordering::Relaxed)),
            before: None,
        })
    }

    /// The version that decides: this one, the one before it, or none.
    pub fn in_force(&self) -> Option<&Self> {
        if !self.aside.load(Ordering::Relaxed) {
            return Some(self);
        }
        self.before.as_deref().filter(|before| !before.aside.load(Ordering::Relaxed))
    }

    /// Asks the policy, and has the decision written where decisions are.
    fn ask<T: Clone>(
        &self,
        view: &Arc<dyn View>,
        ask: impl FnOnce(&P, &Arc<dyn View>) -> Result<T, Fault>,
        decision: impl FnOnce(Result<T, Fault>) -> Decision,
    ) -> Result<T, Fault> {
        let Author { path, generation, .. } = &self.author;
        let _span = tracing::debug_span!("policy", policy = &**path, generation).entered();
        let Some(followed) = self.care.decisions.follow(view) else { return self.guard(|policy| ask(policy, view)) };
        let view = followed.view();
        let answer = self.guard(|policy| ask(policy, &view));
        followed.end(&self.author, answer.is_err(), || decision(answer.clone()));
        answer
    }

    /// Asks and counts. A panic of an engine is a trap of its policy: it must not take the caller along.
    fn guard<T>(&self, ask: impl FnOnce(&P) -> Result<T, Fault>) -> Result<T, Fault> {
        let Care { counters, .. } = &self.care;
        let timed = counters.begin();
        let answer = catch_unwind(AssertUnwindSafe(|| ask(&self.policy)));
        let answer = answer.unwrap_or_else(|_| Err(Fault::new(FaultKind::Trap, "its engine panicked")));
        counters.end(timed);
        answer.inspect_err(|fault| {
            counters.count(&self.author.path, fault);
            self.bear(fault);
        })
    }

    /// Sets the policy aside where it has misbehaved too often too fast.
    fn bear(&self, fault: &Fault) {
        let (now, mut recent) = (Instant::now(), self.recent.lock());
        let Care { counters, patience, .. } = &self.care;
        recent.push_back(now);
        if recent.len() < patience.faults {
            return;
        }
        let first = recent.pop_front();
        if first.is_some_and(|first| now - first <= patience.window) && !self.aside.swap(true, Ordering::Relaxed) {
            let then = match &self.before {
                _ if is_candidate(&self.author.path) => "nobody asks it",
                Some(_) => "the version before it decides",
                None => "the fallback decides",
            };
            let why = format!("{then} until it is edited; the last fault: {fault}");
            counters.set_aside(self.version, &self.author.path, why);
        }
    }
}

impl RetryPolicy for Counted<dyn RetryPolicy> {
    fn classify(&self, failure: &Failure, view: &Arc<dyn View>) -> Result<Verdict, Fault> {
        let decision = |answer| Decision::Retry(failure.clone(), answer);
        self.ask(view, |policy, view| policy.classify(failure, view), decision)
    }
}

impl AdmitPolicy for Counted<dyn AdmitPolicy> {
    fn admit(&self, request: &Request, view: &Arc<dyn View>) -> Result<Admission, Fault> {
        let decision = |answer| Decision::Admit(request.clone(), answer);
        self.ask(view, |policy, view| policy.admit(request, view), decision)
    }
}

impl AlertPolicy for Counted<dyn AlertPolicy> {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn View>) -> Result<AlertVerdict, Fault> {
        match self.in_force() {
            Some(policy) => {
                let decision = |answer| Decision::Alert(snapshot.clone(), answer);
                policy.ask(view, |policy, view| policy.evaluate(snapshot, view), decision)
            }
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

    fn author() -> Author {
        Author { path: "retry/x.rhai".into(), rule: None, generation: 1 }
    }

    fn care(counters: &Arc<Counters>, patience: Patience) -> Care {
        Care { counters: Arc::clone(counters), patience, decisions: Arc::default() }
    }

    fn version(
        counters: &Arc<Counters>,
        last: Option<&Arc<Counted<dyn RetryPolicy>>>,
    ) -> Arc<Counted<dyn RetryPolicy>> {
        let patience = Patience { faults: 3, window: Duration::from_secs(3_600) };
        Arc::new(Counted::new(author(), Arc::new(Panics), care(counters, patience), last))
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
    fn a_late_fault_of_a_version_is_not_told_of_the_one_after_it() {
        let counters = Arc::new(Counters::default());
        let first = version(&counters, None);
        let _second = version(&counters, Some(&first));
        for _ in 0..3 {
            assert!(first.classify(&Failure::default(), &view()).is_err());
        }
        assert!(first.in_force().is_none());
        assert_eq!(counters.aside(), None, "the second one has done nothing");
    }

    #[test]
    fn faults_far_apart_are_borne() {
        let counters = Arc::new(Counters::default());
        let patience = Patience { faults: 2, window: Duration::ZERO };
        let policy: Counted<dyn RetryPolicy> =
            Counted::new(author(), Arc::new(Panics), care(&counters, patience), None);
        for _ in 0..5 {
            assert!(policy.classify(&Failure::default(), &view()).is_err());
        }
        assert!(policy.in_force().is_some());
    }
}
