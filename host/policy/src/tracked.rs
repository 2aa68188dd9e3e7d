//! An active policy version: it counts evaluations and faults, and is quarantined if it keeps failing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::{
    Admission, AdmitPolicy, AlertPolicy, AlertVerdict, Clock, Failure, Fault, FaultKind, HostView, Request,
    RetryPolicy, Snapshot, Timestamp, Verdict,
};

use crate::counters::Counters;
use crate::decisions::mask::masked_message;
use crate::decisions::{DecisionLog, LoggedDecision, PolicyId};
use crate::paths::is_candidate;
use crate::policy_log;

/// When a policy is quarantined: after this many faults within this time.
#[derive(Clone, Copy, Debug)]
pub struct FaultThreshold {
    /// The number of faults.
    pub faults: usize,
    /// The length of the time window.
    pub window: Duration,
}

/// What all versions of a policy share.
#[derive(Clone)]
pub struct PolicyContext {
    /// The counters of evaluations and faults.
    pub counters: Arc<Counters>,
    /// When the policy is quarantined.
    pub threshold: FaultThreshold,
    /// The log that receives the policy's decisions.
    pub decision_log: Arc<DecisionLog>,
    /// The clock by which faults are counted.
    pub clock: Arc<dyn Clock>,
}

/// One version of a policy.
pub struct TrackedPolicy<P: ?Sized> {
    /// The policy's file, and the generation in which this version became active.
    pub id: PolicyId,
    /// The number under which a quarantine is recorded: the version of the file. A copy in `previous` has the number of
    /// the newer version.
    version: u64,
    policy: Arc<P>,
    context: PolicyContext,
    /// The times of recent faults, oldest first.
    recent_faults: Mutex<VecDeque<Timestamp>>,
    is_quarantined: AtomicBool,
    /// The previous version, which decides while this one is quarantined.
    previous: Option<Arc<Self>>,
}

impl<P: ?Sized> TrackedPolicy<P> {
    /// Creates a version that follows `last`.
    pub fn new(id: PolicyId, policy: Arc<P>, context: PolicyContext, last: Option<&Arc<Self>>) -> Self {
        let version = context.counters.start_version();
        Self {
            id,
            version,
            policy,
            context,
            recent_faults: Mutex::default(),
            is_quarantined: AtomicBool::new(false),
            previous: last.and_then(|last| last.as_previous_of(version)),
        }
    }

    /// Returns the version that backs up the new `version`: this one, or the previous one if this one is quarantined.
    fn as_previous_of(&self, version: u64) -> Option<Arc<Self>> {
        if self.is_quarantined.load(Ordering::Relaxed) {
            return self.previous.as_ref().map(|previous| previous.without_previous(version));
        }
        Some(self.without_previous(version))
    }

    /// Returns a copy that backs up `version`. It has no previous version itself, so that no chain builds up.
    fn without_previous(&self, version: u64) -> Arc<Self> {
        Arc::new(Self {
            id: self.id.clone(),
            version,
            policy: Arc::clone(&self.policy),
            context: self.context.clone(),
            recent_faults: Mutex::default(),
            is_quarantined: AtomicBool::new(self.is_quarantined.load(Ordering::Relaxed)),
            previous: None,
        })
    }

    /// Returns the version that decides: this one, or the previous one if this one is quarantined. Returns `None` if
    /// both are quarantined.
    pub fn active(&self) -> Option<&Self> {
        if !self.is_quarantined.load(Ordering::Relaxed) {
            return Some(self);
        }
        self.previous.as_deref().filter(|previous| !previous.is_quarantined.load(Ordering::Relaxed))
    }

    /// Evaluates the policy, and logs the decision if there is a decision log.
    fn evaluate_and_log<T: Clone>(
        &self,
        input: &impl Serialize,
        view: &Arc<dyn HostView>,
        evaluate: impl FnOnce(&P, &Arc<dyn HostView>) -> Result<T, Fault>,
        decision: impl FnOnce(Result<T, Fault>) -> LoggedDecision,
    ) -> Result<T, Fault> {
        let PolicyId { path, generation, .. } = &self.id;
        let _span = tracing::debug_span!("policy", policy = &**path, generation).entered();
        let Some(pending) = self.context.decision_log.start(view) else {
            return self.evaluate_and_count(input, |policy| evaluate(policy, view));
        };
        let view = pending.view();
        let result = self.evaluate_and_count(input, |policy| evaluate(policy, &view));
        pending.finish(&self.id, result.is_err(), || decision(result.clone()));
        result
    }

    /// Evaluates the policy and counts the result. If the engine panics, the result is a trap of its policy; the panic
    /// must not reach the caller.
    fn evaluate_and_count<T>(
        &self,
        input: &impl Serialize,
        evaluate: impl FnOnce(&P) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let counters = &self.context.counters;
        let started_at = counters.start_evaluation();
        let evaluate = || catch_unwind(AssertUnwindSafe(|| evaluate(&self.policy)));
        let result = policy_log::with_input(input, evaluate);
        let result = result.unwrap_or_else(|_| Err(Fault::new(FaultKind::Trap, "the policy engine panicked")));
        counters.record_time(started_at);
        // A message may repeat a part of the input. It goes to logs and to the policy status.
        let result = result.map_err(|fault| Fault::new(fault.kind, masked_message(&fault.message, input)));
        result.inspect_err(|fault| {
            let now = self.context.clock.now();
            counters.record_fault(&self.id.path, fault, now);
            self.quarantine_if_over_threshold(fault, now);
        })
    }

    fn quarantine_if_over_threshold(&self, fault: &Fault, now: Timestamp) {
        let mut recent = self.recent_faults.lock();
        let PolicyContext { counters, threshold, .. } = &self.context;
        recent.push_back(now);
        if recent.len() < threshold.faults {
            return;
        }
        let first = recent.pop_front();
        let is_over = first.is_some_and(|first| now - first <= threshold.window);
        if is_over && !self.is_quarantined.swap(true, Ordering::Relaxed) {
            let consequence = match &self.previous {
                _ if is_candidate(&self.id.path) => "the candidate is not evaluated",
                Some(_) => "the previous version decides",
                None if self.id.path.starts_with("alerts") => "the state of the rule stays unchanged",
                None => "the fallback decides",
            };
            let reason = format!("too many faults, last: {fault}; {consequence} until the file changes");
            counters.quarantine(self.version, &self.id.path, reason);
        }
    }
}

impl RetryPolicy for TrackedPolicy<dyn RetryPolicy> {
    fn classify(&self, failure: &Failure, view: &Arc<dyn HostView>) -> Result<Verdict, Fault> {
        let decision = |result| {
            let mut failure = failure.clone();
            // The body is logged only for the policies that read it.
            failure.body.take_if(|_| !self.policy.reads_body());
            LoggedDecision::Retry(failure, result)
        };
        self.evaluate_and_log(failure, view, |policy, view| policy.classify(failure, view), decision)
    }

    fn reads_body(&self) -> bool {
        // The previous version may have to decide at any time.
        self.policy.reads_body() || self.previous.as_ref().is_some_and(|previous| previous.policy.reads_body())
    }
}

impl AdmitPolicy for TrackedPolicy<dyn AdmitPolicy> {
    fn admit(&self, request: &Request, view: &Arc<dyn HostView>) -> Result<Admission, Fault> {
        let decision = |result| LoggedDecision::Admit(request.clone(), result);
        self.evaluate_and_log(request, view, |policy, view| policy.admit(request, view), decision)
    }
}

impl AlertPolicy for TrackedPolicy<dyn AlertPolicy> {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn HostView>) -> Result<AlertVerdict, Fault> {
        match self.active() {
            Some(policy) => {
                let decision = |result| LoggedDecision::Alert(snapshot.clone(), result);
                policy.evaluate_and_log(snapshot, view, |policy, view| policy.evaluate(snapshot, view), decision)
            }
            // A rule has no fallback: the fault leaves its state unchanged.
            None => Err(Fault::new(FaultKind::Trap, "quarantined after repeated faults")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidegate_core::{FnHostView, ManualClock, Stats, Timestamp};

    use super::*;

    struct RepeatingPolicy;

    impl RetryPolicy for RepeatingPolicy {
        fn classify(&self, failure: &Failure, _: &Arc<dyn HostView>) -> Result<Verdict, Fault> {
            Err(Fault::new(FaultKind::Trap, failure.message.clone().unwrap_or_default()))
        }
    }

    struct PanickingPolicy;

    impl RetryPolicy for PanickingPolicy {
        fn classify(&self, _: &Failure, _: &Arc<dyn HostView>) -> Result<Verdict, Fault> {
            panic!("on purpose")
        }
    }

    fn view() -> Arc<dyn HostView> {
        Arc::new(FnHostView(|_| Stats::default()))
    }

    fn policy_id() -> PolicyId {
        PolicyId { path: "retry/x.rhai".into(), rule: None, generation: 1 }
    }

    fn context(counters: &Arc<Counters>, threshold: FaultThreshold, clock: &Arc<ManualClock>) -> PolicyContext {
        let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
        let decision_log = Arc::new(DecisionLog::new(Arc::clone(&clock)));
        PolicyContext { counters: Arc::clone(counters), threshold, decision_log, clock }
    }

    fn version(
        counters: &Arc<Counters>,
        last: Option<&Arc<TrackedPolicy<dyn RetryPolicy>>>,
    ) -> Arc<TrackedPolicy<dyn RetryPolicy>> {
        let threshold = FaultThreshold { faults: 3, window: Duration::from_secs(3_600) };
        let context = context(counters, threshold, &Arc::default());
        Arc::new(TrackedPolicy::new(policy_id(), Arc::new(PanickingPolicy), context, last))
    }

    fn fault_three_times(policy: &TrackedPolicy<dyn RetryPolicy>) {
        for _ in 0..3 {
            assert!(policy.classify(&Failure::default(), &view()).is_err());
        }
    }

    #[test]
    fn secrets_in_the_message_of_a_fault_are_masked() {
        let counters = Arc::new(Counters::default());
        let threshold = FaultThreshold { faults: 1, window: Duration::from_secs(1) };
        let context = context(&counters, threshold, &Arc::default());
        let policy: TrackedPolicy<dyn RetryPolicy> =
            TrackedPolicy::new(policy_id(), Arc::new(RepeatingPolicy), context, None);
        let message = r#"expected a number, found '{"access_token":"hunter2"}'"#;
        let failure = Failure::default().with_message(message);
        let expected = r#"expected a number, found '{"access_token":"***"}'"#;
        assert_eq!(policy.classify(&failure, &view()).unwrap_err().message, expected);
        assert_eq!(counters.last_fault().map(|fault| fault.message), Some(expected.to_owned()));
        assert!(!counters.quarantine_reason().unwrap().contains("hunter2"));
    }

    #[test]
    fn engine_panic_is_counted_as_trap() {
        let counters = Arc::new(Counters::default());
        let policy = version(&counters, None);
        for _ in 0..2 {
            assert_eq!(policy.classify(&Failure::default(), &view()).unwrap_err().kind, FaultKind::Trap);
        }
        assert_eq!((counters.evaluations(), counters.faults()), (2, BTreeMap::from([(FaultKind::Trap, 2)])));
        assert_eq!(counters.last_fault().map(|fault| fault.kind), Some(FaultKind::Trap));
        assert!(policy.active().is_some(), "two faults are below the threshold");
    }

    #[test]
    fn quarantine_activates_previous_version_until_the_file_changes() {
        let counters = Arc::new(Counters::default());
        let first = version(&counters, None);
        let second = version(&counters, Some(&first));
        fault_three_times(&second);
        let previous = second.active().expect("the first version");
        let reason = counters.quarantine_reason();
        assert!(reason.as_ref().unwrap().contains("the previous version decides"), "{reason:?}");
        fault_three_times(previous);
        assert!(second.active().is_none());
        let third = version(&counters, Some(&second));
        assert!(third.active().is_some_and(|policy| std::ptr::eq(policy, &*third)), "an edit ends the quarantine");
        assert_eq!(counters.quarantine_reason(), None);
        fault_three_times(&third);
        assert!(third.active().is_none(), "both earlier versions are quarantined");
    }

    #[test]
    fn late_fault_of_old_version_does_not_quarantine_new_version() {
        let counters = Arc::new(Counters::default());
        let first = version(&counters, None);
        let _second = version(&counters, Some(&first));
        fault_three_times(&first);
        assert!(first.active().is_none());
        assert_eq!(counters.quarantine_reason(), None, "the second version has not faulted");
    }

    #[test]
    fn policy_is_quarantined_by_too_many_faults_within_the_window() {
        let rows: [(&[u64], bool); 5] = [
            (&[0, 30_000], false),
            (&[0, 30_000, 60_000], true),
            (&[0, 30_000, 60_001], false),
            (&[0, 50_000, 100_000, 150_000, 200_000], false),
            (&[0, 50_000, 100_000, 100_001], true),
        ];
        for (faults_at_ms, is_quarantined) in rows {
            let (counters, clock) = (Arc::new(Counters::default()), Arc::new(ManualClock::default()));
            let context = context(&counters, FaultThreshold { faults: 3, window: Duration::from_secs(60) }, &clock);
            let policy: TrackedPolicy<dyn RetryPolicy> =
                TrackedPolicy::new(policy_id(), Arc::new(PanickingPolicy), context, None);
            for at_ms in faults_at_ms {
                clock.set(Timestamp::from_micros(*at_ms * 1_000));
                assert!(policy.classify(&Failure::default(), &view()).is_err());
            }
            assert_eq!(policy.active().is_none(), is_quarantined, "{faults_at_ms:?}");
        }
    }
}
