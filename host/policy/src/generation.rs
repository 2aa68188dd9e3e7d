//! What is in force at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tidegate_core::{Action, Admission, AdmitPolicy, Failure, Fault, Request, RetryPolicy, Verdict, View, fallback};

use crate::counted::Counted;
use crate::counters::Counters;
use crate::rules::Rule;
use crate::shadow::{Candidate, Differences, Shadow};

/// The name under which the built-in classifier decides.
const FALLBACK: &str = "fallback";
/// The policy of whatever has none of its own.
const DEFAULT: &str = "default";

/// One immutable set of policies; calls in flight finish on theirs while the next one is swapped in.
pub struct Generation {
    pub(crate) number: u64,
    /// What policies may look at.
    pub(crate) view: Arc<dyn View>,
    /// The classifiers by platform, and `default`.
    pub(crate) retry: BTreeMap<String, Arc<Counted<dyn RetryPolicy>>>,
    /// The admission policies, likewise.
    pub(crate) admit: BTreeMap<String, Arc<Counted<dyn AdmitPolicy>>>,
    /// Classifiers that only report.
    pub(crate) candidates: BTreeMap<String, Arc<Candidate>>,
    pub(crate) shadow: Option<Arc<Shadow>>,
    pub(crate) rules: Arc<[Rule]>,
    pub(crate) entries: Vec<Entry>,
    /// Why the directory cannot be read.
    pub(crate) lost: Option<String>,
}

/// What the status tells of one file, counts apart.
pub struct Entry {
    pub path: String,
    pub kind: &'static str,
    pub generation: Option<u64>,
    pub hash: Option<String>,
    pub stale: Option<(String, u64)>,
    pub counters: Arc<Counters>,
    pub candidate: Option<Arc<Candidate>>,
}

/// A verdict with who gave it.
#[derive(Clone, Debug)]
pub struct Decided<T = Verdict> {
    /// The verdict, to be clamped by attempts, cap and deadline.
    pub verdict: T,
    /// The file that gave it (`retry/taobao.rhai`), or `fallback`.
    pub by: Arc<str>,
    /// The generation that was asked.
    pub generation: u64,
    /// How a policy misbehaved, so that the fallback had to decide.
    pub fault: Option<Fault>,
}

/// What is known of one policy file.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyStatus {
    /// Its path within the directory.
    pub path: String,
    /// `rhai`, `wasm` or `rules`.
    pub kind: &'static str,
    /// The generation in which the version in force came; absent where none ever was good.
    pub generation: Option<u64>,
    /// The beginning of the SHA-256 of the version in force.
    pub hash: Option<String>,
    /// How often it was asked.
    pub evaluations: u64,
    /// The time within which half of its verdicts come, in microseconds, to within a factor of two.
    pub p50_us: f64,
    /// The time within which 99 of 100 come.
    pub p99_us: f64,
    /// How often it misbehaved, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How it misbehaved the last time.
    pub last_fault: Option<String>,
    /// Why it is set aside for its faults until it is edited.
    pub set_aside: Option<String>,
    /// Why the file as it is now is not in force: `file:line:column: message`, one a line.
    pub stale: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub stale_since_ms: Option<u64>,
    /// Where it differs from the live one; only candidates have it.
    pub differences: Option<Differences>,
}

impl Generation {
    /// Counts up with every change of what is in force.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The alert rules in force, by name.
    #[must_use]
    pub fn rules(&self) -> Arc<[Rule]> {
        Arc::clone(&self.rules)
    }

    /// The verdict of the platform's classifier, else of `retry/default`, else of the fallback.
    ///
    /// Where a policy misbehaves, or is set aside for it, the fallback decides at once.
    #[must_use]
    pub fn classify(&self, failure: &Failure) -> Decided {
        let decided = self.classify_live(failure);
        if let Some(shadow) = &self.shadow {
            self.ask_candidates(shadow, failure, &decided);
        }
        decided
    }

    /// Asks the candidates for the places of the chain that were asked.
    fn ask_candidates(&self, shadow: &Shadow, failure: &Failure, decided: &Decided) {
        for name in [failure.platform.as_str(), DEFAULT] {
            // Whether the live policy of this place left it to the next.
            let passed =
                decided.fault.is_none() && self.retry.get(name).is_none_or(|live| live.author.path != decided.by);
            if let Some(candidate) = self.candidates.get(name) {
                shadow.ask(candidate, failure, &decided.verdict, passed, &self.view);
            }
            if !passed {
                break;
            }
        }
    }

    fn classify_live(&self, failure: &Failure) -> Decided {
        let chain = [failure.platform.as_str(), DEFAULT];
        for policy in chain.iter().filter_map(|name| self.retry.get(*name)) {
            let Some(policy) = policy.in_force() else { return self.fall_back(failure, None) };
            match policy.classify(failure, &self.view) {
                Ok(verdict) if verdict.action == Action::Default => {}
                Ok(verdict) => return self.decided(verdict, Arc::clone(&policy.author.path), None),
                Err(fault) => return self.fall_back(failure, Some(fault)),
            }
        }
        self.fall_back(failure, None)
    }

    fn fall_back(&self, failure: &Failure, fault: Option<Fault>) -> Decided {
        self.decided(fallback::classify(failure), FALLBACK.into(), fault)
    }

    /// The verdict of the platform's admission policy, else of `admit/default`; else the platform's limit alone decides.
    #[must_use]
    pub fn admit(&self, request: &Request) -> Decided<Admission> {
        let chain = [request.platform.as_str(), DEFAULT];
        for policy in chain.iter().filter_map(|name| self.admit.get(*name)) {
            let Some(policy) = policy.in_force() else { break };
            match policy.admit(request, &self.view) {
                Ok(Admission::Default) => {}
                Ok(verdict) => return self.decided(verdict, Arc::clone(&policy.author.path), None),
                Err(fault) => return self.decided(Admission::Default, FALLBACK.into(), Some(fault)),
            }
        }
        self.decided(Admission::Default, FALLBACK.into(), None)
    }

    /// Why the directory cannot be read, so that no edit comes in force.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Whether any request is admitted by a policy.
    #[must_use]
    pub fn admits(&self) -> bool {
        !self.admit.is_empty()
    }

    fn decided<T>(&self, verdict: T, by: Arc<str>, fault: Option<Fault>) -> Decided<T> {
        Decided { verdict, by, generation: self.number, fault }
    }

    /// What is known of every file, by path.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        self.entries.iter().map(Entry::status).collect()
    }
}

impl Entry {
    fn status(&self) -> PolicyStatus {
        PolicyStatus {
            path: self.path.clone(),
            kind: self.kind,
            generation: self.generation,
            hash: self.hash.as_ref().map(|hash| hash.chars().take(12).collect()),
            evaluations: self.counters.evaluations(),
            p50_us: self.counters.time_us(500),
            p99_us: self.counters.time_us(990),
            faults: self.counters.faults(),
            last_fault: self.counters.last_fault().map(|fault| fault.to_string()),
            set_aside: self.counters.aside(),
            stale: self.stale.as_ref().map(|(why, _)| why.clone()),
            stale_since_ms: self.stale.as_ref().map(|(_, since)| *since),
            differences: self.candidate.as_ref().map(|candidate| candidate.differences()),
        }
    }
}
