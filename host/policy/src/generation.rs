//! The policies that are active at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tidegate_core::{
    Action, Admission, AdmitPolicy, Failure, Fault, HostView, Request, RetryPolicy, Verdict, fallback,
};

use crate::candidate::{Candidate, CandidateRunner, Differences};
use crate::counters::Counters;
use crate::hashes::PolicyHashes;
use crate::rules::Rule;
use crate::slot::StaleReason;
use crate::tracked::TrackedPolicy;

/// The name of the built-in fallback in a [`PolicyDecision`].
const FALLBACK: &str = "fallback";
/// The name of the policy that decides if a platform has no policy, or if its policy abstains.
const DEFAULT: &str = "default";

/// One immutable set of policies. Calls in progress finish with their generation while the next one is swapped in.
pub struct Generation {
    pub(crate) number: u64,
    /// The metrics and limits that policies may read.
    pub(crate) view: Arc<dyn HostView>,
    /// The retry policies by platform, and `default`.
    pub(crate) retry: BTreeMap<String, Arc<TrackedPolicy<dyn RetryPolicy>>>,
    /// The admission policies by platform, and `default`.
    pub(crate) admit: BTreeMap<String, Arc<TrackedPolicy<dyn AdmitPolicy>>>,
    /// The candidates, which only report their differences, by platform, and `default`.
    pub(crate) candidates: BTreeMap<String, Arc<Candidate>>,
    pub(crate) candidate_runner: Option<Arc<CandidateRunner>>,
    pub(crate) rules: Arc<[Rule]>,
    pub(crate) entries: Vec<StatusEntry>,
    pub(crate) hashes: PolicyHashes,
    /// Why the directory cannot be read.
    pub(crate) directory_error: Option<String>,
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Generation");
        debug.field("number", &self.number).field("rules", &self.rules);
        debug.field("directory_error", &self.directory_error).finish_non_exhaustive()
    }
}

/// What the status reports about one file. The counters are read when the status is requested.
pub struct StatusEntry {
    pub path: String,
    pub language: &'static str,
    pub generation: Option<u64>,
    pub hash: Option<String>,
    pub stale: Option<StaleReason>,
    pub counters: Arc<Counters>,
    pub candidate: Option<Arc<Candidate>>,
}

/// A verdict and the policy that returned it.
#[derive(Clone, Debug)]
pub struct PolicyDecision<T = Verdict> {
    /// The verdict. The caller still applies `max_attempts`, `max_delay` and `deadline` of `[retry]`.
    pub verdict: T,
    /// The file that returned it, such as `retry/taobao.rhai`, or `fallback`.
    pub by: Arc<str>,
    /// The generation that was used.
    pub generation: u64,
    /// The fault of a policy, if the fallback decided because of one.
    pub fault: Option<Fault>,
}

/// The status of one policy file.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyStatus {
    /// The path within the directory.
    pub path: String,
    /// `rhai`, `wasm` or `toml`.
    pub language: &'static str,
    /// The generation in which the active version became active. `None` if no version is active.
    pub generation: Option<u64>,
    /// The first 12 digits of the active version's SHA-256.
    pub hash: Option<String>,
    /// The number of evaluations.
    pub evaluations: u64,
    /// The median evaluation time in microseconds, rounded up to a power of two times 0.256 µs.
    pub p50_us: f64,
    /// The 99th percentile of the evaluation time in microseconds, rounded in the same way.
    pub p99_us: f64,
    /// The number of faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// The last fault.
    pub last_fault: Option<String>,
    /// Why the policy is quarantined after its faults. A change of the file ends the quarantine.
    pub quarantined: Option<String>,
    /// Why the current file is rejected: `file:line:column: message`, one per line.
    pub stale: Option<String>,
    /// When the file became stale, in milliseconds since 1970.
    pub stale_since_ms: Option<u64>,
    /// The differences from the active policy. Only candidates have them.
    pub differences: Option<Differences>,
}

impl Generation {
    /// Returns the generation's number. It increases with every change of the active policies.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the active alert rules, by name.
    #[must_use]
    pub fn rules(&self) -> Arc<[Rule]> {
        Arc::clone(&self.rules)
    }

    /// Returns the hashes of the active policies and alert rules.
    #[must_use]
    pub const fn hashes(&self) -> &PolicyHashes {
        &self.hashes
    }

    /// Returns the verdict of the platform's policy. If it abstains or does not exist, `retry/default` decides, and
    /// then the built-in fallback.
    ///
    /// If a policy faults or is quarantined, the fallback decides at once.
    #[must_use]
    pub fn classify(&self, failure: &Failure) -> PolicyDecision {
        let decision = self.classify_active(failure);
        if let Some(runner) = &self.candidate_runner {
            self.run_candidates(runner, failure, &decision);
        }
        decision
    }

    /// Queues the candidates of every policy that was evaluated for the decision.
    fn run_candidates(&self, runner: &CandidateRunner, failure: &Failure, decision: &PolicyDecision) {
        for name in [failure.platform.as_str(), DEFAULT] {
            let abstained =
                decision.fault.is_none() && self.retry.get(name).is_none_or(|active| active.id.path != decision.by);
            if let Some(candidate) = self.candidates.get(name) {
                runner.submit(candidate, failure, &decision.verdict, abstained, &self.view);
            }
            if !abstained {
                break;
            }
        }
    }

    fn classify_active(&self, failure: &Failure) -> PolicyDecision {
        let chain = [failure.platform.as_str(), DEFAULT];
        for policy in chain.iter().filter_map(|name| self.retry.get(*name)) {
            let Some(policy) = policy.active() else { return self.fall_back(failure, None) };
            match policy.classify(failure, &self.view) {
                Ok(verdict) if verdict.action == Action::Default => {}
                Ok(verdict) => return self.decision(verdict, Arc::clone(&policy.id.path), None),
                Err(fault) => return self.fall_back(failure, Some(fault)),
            }
        }
        self.fall_back(failure, None)
    }

    fn fall_back(&self, failure: &Failure, fault: Option<Fault>) -> PolicyDecision {
        self.decision(fallback::classify(failure), FALLBACK.into(), fault)
    }

    /// Returns whether a policy is evaluated for failures of this platform. If not, [`Generation::classify`] returns the
    /// verdict of the fallback, within a microsecond.
    #[must_use]
    pub fn has_retry_policy(&self, platform: &str) -> bool {
        [platform, DEFAULT].iter().any(|name| self.retry.contains_key(*name))
    }

    /// Returns whether a policy is evaluated for requests to this platform. If not, [`Generation::admit`] returns
    /// [`Admission::Default`] at once.
    #[must_use]
    pub fn has_admission_policy(&self, platform: &str) -> bool {
        [platform, DEFAULT].iter().any(|name| self.admit.contains_key(*name))
    }

    /// Returns the verdict of the platform's admission policy. If it abstains or does not exist, `admit/default`
    /// decides, and then the platform's limit alone.
    #[must_use]
    pub fn admit(&self, request: &Request) -> PolicyDecision<Admission> {
        let chain = [request.platform.as_str(), DEFAULT];
        for policy in chain.iter().filter_map(|name| self.admit.get(*name)) {
            let Some(policy) = policy.active() else { break };
            match policy.admit(request, &self.view) {
                Ok(Admission::Default) => {}
                Ok(verdict) => return self.decision(verdict, Arc::clone(&policy.id.path), None),
                Err(fault) => return self.decision(Admission::Default, FALLBACK.into(), Some(fault)),
            }
        }
        self.decision(Admission::Default, FALLBACK.into(), None)
    }

    /// Returns why the directory cannot be read. While it cannot be read, no edit becomes active.
    #[must_use]
    pub fn directory_error(&self) -> Option<&str> {
        self.directory_error.as_deref()
    }

    fn decision<T>(&self, verdict: T, by: Arc<str>, fault: Option<Fault>) -> PolicyDecision<T> {
        PolicyDecision { verdict, by, generation: self.number, fault }
    }

    /// Returns the status of every file, by path.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        self.entries.iter().map(StatusEntry::status).collect()
    }
}

impl StatusEntry {
    fn status(&self) -> PolicyStatus {
        PolicyStatus {
            path: self.path.clone(),
            language: self.language,
            generation: self.generation,
            hash: self.hash.as_ref().map(|hash| hash.chars().take(12).collect()),
            evaluations: self.counters.evaluations(),
            p50_us: self.counters.time_quantile_us(500),
            p99_us: self.counters.time_quantile_us(990),
            faults: self.counters.faults(),
            last_fault: self.counters.last_fault().map(|fault| fault.to_string()),
            quarantined: self.counters.quarantine_reason(),
            stale: self.stale.as_ref().map(|stale| stale.message.clone()),
            stale_since_ms: self.stale.as_ref().map(|stale| stale.since_ms),
            differences: self.candidate.as_ref().map(|candidate| candidate.differences()),
        }
    }
}
