//! Candidates: policies that run beside the active ones. Their verdicts have no effect; only differences are reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tidegate_core::{Action, Failure, Fault, FaultKind, HostView, RetryPolicy, Verdict};

use crate::decisions::mask::Masker;
use crate::tracked::TrackedPolicy;

/// The maximum number of failures that wait for candidates. Further failures are not compared.
const QUEUE_CAPACITY: usize = 256;

/// How often a candidate's verdict differed from the active policy's verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CandidateDifferences {
    /// The number of failures that both classified.
    pub compared: u64,
    /// How many of them the candidate decided differently, or faulted on.
    pub differing: u64,
    /// The number of failures that were skipped because the candidate was too slow.
    pub dropped: u64,
    /// The last difference.
    pub last: Option<CandidateDifference>,
}

/// One difference between a candidate and the active policy. It is serialized without secrets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CandidateDifference {
    /// The failure.
    pub failure: Failure,
    /// The actual verdict.
    pub active: Verdict,
    /// The candidate's verdict or its fault. It is serialized with the key `verdict` or `fault`, as in the decision
    /// log.
    pub candidate: Result<Verdict, Fault>,
}

impl Serialize for CandidateDifference {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { failure, active, candidate } = self;
        let candidate = verdict_or_fault(candidate);
        let mut value = json!({ "failure": failure, "active": active, "candidate": candidate });
        let mut masker = Masker::default();
        masker.mask(&mut value);
        masker.mask_repeated(&mut value);
        value.serialize(to)
    }
}

fn verdict_or_fault(result: &Result<Verdict, Fault>) -> Value {
    match result {
        Ok(verdict) => json!({ "verdict": verdict }),
        Err(fault) => json!({ "fault": { "kind": fault.kind, "message": fault.message } }),
    }
}

/// A candidate and its differences since it was loaded.
pub struct Candidate {
    policy: Arc<TrackedPolicy<dyn RetryPolicy>>,
    /// The counts share one lock, so that readers see consistent counts.
    differences: Mutex<CandidateDifferences>,
    dropped: AtomicU64,
}

/// A queued comparison of a candidate with the actual verdict.
struct Comparison {
    candidate: Arc<Candidate>,
    failure: Failure,
    active: Verdict,
    /// Whether the active policy of the same name abstained.
    abstained: bool,
    view: Arc<dyn HostView>,
}

/// The background thread that runs candidates. No caller waits for it.
pub struct CandidateRunner(SyncSender<Comparison>);

impl Candidate {
    /// Creates a candidate without differences.
    pub fn new(policy: Arc<TrackedPolicy<dyn RetryPolicy>>) -> Arc<Self> {
        Arc::new(Self { policy, differences: Mutex::default(), dropped: AtomicU64::new(0) })
    }

    /// Returns whether the candidate reads the body of the response.
    pub fn reads_body(&self) -> bool {
        self.policy.reads_body()
    }

    /// Returns the differences so far.
    pub fn differences(&self) -> CandidateDifferences {
        CandidateDifferences { dropped: self.dropped.load(Ordering::Relaxed), ..self.differences.lock().clone() }
    }

    fn compare(&self, comparison: Comparison) {
        let result = self.policy.active().map(|policy| policy.classify(&comparison.failure, &comparison.view));
        let candidate = match result {
            Some(Ok(verdict)) => Ok(verdict),
            Some(Err(fault)) => Err(fault),
            None => Err(Fault::new(FaultKind::Trap, "quarantined after repeated faults")),
        };
        let agrees = |verdict: &Verdict| match verdict.action {
            // If both abstain, the next policy of the chain decides in both cases.
            Action::Default => comparison.abstained,
            _ => is_equivalent(verdict, &comparison.active),
        };
        if candidate.as_ref().is_ok_and(agrees) {
            self.differences.lock().compared += 1;
            return;
        }
        let Comparison { failure, active, .. } = comparison;
        let (platform, path) = (&failure.platform, &*self.policy.id.path);
        tracing::debug!(platform, policy = path, ?active, ?candidate, "candidate verdict differs");
        let mut differences = self.differences.lock();
        differences.compared += 1;
        differences.differing += 1;
        differences.last = Some(CandidateDifference { failure, active, candidate });
    }
}

/// Whether two verdicts have the same effect. Their reasons, which are only logged, may differ.
fn is_equivalent(one: &Verdict, other: &Verdict) -> bool {
    (one.action, one.class, one.after_ms) == (other.action, other.class, other.after_ms)
}

impl CandidateRunner {
    /// Starts the thread. It ends when the last handle is dropped.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub fn start() -> std::io::Result<Self> {
        let (sender, comparisons) = sync_channel(QUEUE_CAPACITY);
        thread::Builder::new().name("tidegate-candidates".to_owned()).spawn(move || run(comparisons))?;
        Ok(Self(sender))
    }

    /// Queues a comparison of a candidate with the actual verdict. Drops it if the queue is full.
    ///
    /// `abstained` says whether the active policy of the same name abstained.
    pub fn submit(
        &self,
        candidate: &Arc<Candidate>,
        failure: &Failure,
        active: &Verdict,
        abstained: bool,
        view: &Arc<dyn HostView>,
    ) {
        let (failure, active, view) = (failure.clone(), active.clone(), Arc::clone(view));
        let comparison = Comparison { candidate: Arc::clone(candidate), failure, active, abstained, view };
        let sent = self.0.try_send(comparison);
        if let Err(TrySendError::Full(comparison) | TrySendError::Disconnected(comparison)) = sent {
            comparison.candidate.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn run(comparisons: Receiver<Comparison>) {
    for comparison in comparisons {
        let candidate = Arc::clone(&comparison.candidate);
        candidate.compare(comparison);
    }
}
