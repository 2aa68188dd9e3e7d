//! The policies that are active at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidegate_core::{
    Action, Admission, AdmitPolicy, Failure, Fault, HostView, Request, RetryPolicy, Verdict, fallback,
};

use crate::candidate::{Candidate, CandidateRunner};
use crate::hashes::PolicyHashes;
use crate::rules::Rule;
use crate::status::{PolicyStatus, StatusEntry};
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

/// A verdict and the policy that returned it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolicyDecision<T = Verdict> {
    /// The verdict. The bounds of `[retry]` and the limits of the platform still apply.
    pub verdict: T,
    /// The file that returned it, such as `retry/taobao.rhai`, or `fallback`.
    pub policy: Arc<str>,
    /// The generation that was used.
    pub generation: u64,
    /// The fault of a policy, if the fallback decided because of one.
    pub fault: Option<Fault>,
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

    /// Returns whether the policy of the platform, `retry/default` or one of their candidates reads [`Failure::body`].
    /// Otherwise the caller may omit the body.
    #[must_use]
    pub fn reads_body(&self, platform: &str) -> bool {
        [platform, DEFAULT].into_iter().any(|name| {
            self.retry.get(name).is_some_and(|policy| policy.reads_body())
                || self.candidates.get(name).is_some_and(|candidate| candidate.reads_body())
        })
    }

    /// Queues the candidates of every policy that was evaluated for the decision.
    fn run_candidates(&self, runner: &CandidateRunner, failure: &Failure, decision: &PolicyDecision) {
        for name in [failure.platform.as_str(), DEFAULT] {
            let abstained =
                decision.fault.is_none() && self.retry.get(name).is_none_or(|active| active.id.path != decision.policy);
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

    /// Returns whether a policy is evaluated for failures of this platform. If not, [`Generation::classify`] returns
    /// the verdict of the fallback, within a microsecond.
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

    fn decision<T>(&self, verdict: T, policy: Arc<str>, fault: Option<Fault>) -> PolicyDecision<T> {
        PolicyDecision { verdict, policy, generation: self.number, fault }
    }

    /// Returns the status of every file, by path.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        self.entries.iter().map(StatusEntry::status).collect()
    }
}
