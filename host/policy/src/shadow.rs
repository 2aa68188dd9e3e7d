//! Candidates: policies that run beside the live ones, change nothing, and report where they differ.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use parking_lot::Mutex;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use tidegate_core::{Action, Failure, RetryPolicy, Verdict, View};

use crate::counted::Counted;
use crate::decisions::mask::mask;

/// Failures that wait for a candidate at most; under more load it sees a sample.
const QUEUE: usize = 256;

/// What a candidate has differed in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Differences {
    /// Failures that both were asked about.
    pub compared: u64,
    /// Of them, those on which the candidate decided otherwise, or faulted.
    pub differing: u64,
    /// Failures that the candidate was too slow for.
    pub dropped: u64,
    /// The last difference.
    pub last: Option<Difference>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The failure; written without secrets.
    #[serde(serialize_with = "masked")]
    pub failure: Failure,
    /// What was decided.
    pub live: Verdict,
    /// What the candidate would have decided; a fault in its words.
    pub candidate: Result<Verdict, String>,
}

fn masked<S: Serializer>(failure: &Failure, to: S) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(failure).map_err(S::Error::custom)?;
    mask(&mut value);
    value.serialize(to)
}

/// A candidate with what it has differed in since it came.
pub struct Candidate {
    policy: Arc<Counted<dyn RetryPolicy>>,
    /// In one place, so that what is read of them belongs together.
    found: Mutex<Differences>,
    dropped: AtomicU64,
}

/// One question to a candidate.
struct Question {
    candidate: Arc<Candidate>,
    failure: Failure,
    live: Verdict,
    /// Whether the live policy of that place had no opinion.
    passed: bool,
    view: Arc<dyn View>,
}

/// The thread that asks candidates: nobody waits for it.
pub struct Shadow(SyncSender<Question>);

impl Candidate {
    /// A candidate that has not been asked yet.
    pub fn new(policy: Arc<Counted<dyn RetryPolicy>>) -> Arc<Self> {
        Arc::new(Self { policy, found: Mutex::default(), dropped: AtomicU64::new(0) })
    }

    /// What it has differed in.
    pub fn differences(&self) -> Differences {
        Differences { dropped: self.dropped.load(Ordering::Relaxed), ..self.found.lock().clone() }
    }

    fn compare(&self, question: Question) {
        let given = self.policy.in_force().map(|policy| policy.classify(&question.failure, &question.view));
        let candidate = match given {
            Some(Ok(verdict)) => Ok(verdict),
            Some(Err(fault)) => Err(fault.to_string()),
            None => Err("set aside for its faults".to_owned()),
        };
        let agrees = |verdict: &Verdict| match verdict.action {
            // What the next in the chain says is said in both cases.
            Action::Default => question.passed,
            _ => leads_alike(verdict, &question.live),
        };
        if candidate.as_ref().is_ok_and(agrees) {
            self.found.lock().compared += 1;
            return;
        }
        let Question { failure, live, .. } = question;
        let (platform, path) = (&failure.platform, &*self.policy.author.path);
        tracing::debug!(platform, policy = path, ?live, ?candidate, "a candidate differs");
        let mut found = self.found.lock();
        found.compared += 1;
        found.differing += 1;
        found.last = Some(Difference { failure, live, candidate });
    }
}

/// Whether two verdicts lead to the same; reasons are words for the log.
fn leads_alike(one: &Verdict, other: &Verdict) -> bool {
    (one.action, one.class, one.after_ms) == (other.action, other.class, other.after_ms)
}

impl Shadow {
    /// Starts the thread; it ends with the last handle.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start() -> std::io::Result<Self> {
        let (sender, questions) = sync_channel(QUEUE);
        thread::Builder::new().name("tidegate-shadow".to_owned()).spawn(move || answer(questions))?;
        Ok(Self(sender))
    }

    /// Asks a candidate about what was decided, soon and elsewhere.
    ///
    /// `passed` says that the live policy of its place had no opinion.
    pub fn ask(
        &self,
        candidate: &Arc<Candidate>,
        failure: &Failure,
        live: &Verdict,
        passed: bool,
        view: &Arc<dyn View>,
    ) {
        let (failure, live, view) = (failure.clone(), live.clone(), Arc::clone(view));
        let question = Question { candidate: Arc::clone(candidate), failure, live, passed, view };
        if let Err(TrySendError::Full(question) | TrySendError::Disconnected(question)) = self.0.try_send(question) {
            question.candidate.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn answer(questions: Receiver<Question>) {
    for question in questions {
        let candidate = Arc::clone(&question.candidate);
        candidate.compare(question);
    }
}
