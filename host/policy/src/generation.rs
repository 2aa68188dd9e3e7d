//! What is in force at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tidegate_core::{Action, Failure, Fault, RetryPolicy, Verdict, fallback};

use crate::counted::{Counted, Counters};
use crate::rules::Rule;

/// The name under which the built-in classifier decides.
const FALLBACK: &str = "fallback";

/// One immutable set of policies; calls in flight finish on theirs while the next one is swapped in.
pub struct Generation {
    pub(crate) number: u64,
    /// The classifiers by platform, and `default`.
    pub(crate) retry: BTreeMap<String, Arc<Counted<dyn RetryPolicy>>>,
    pub(crate) rules: Arc<[Rule]>,
    pub(crate) entries: Vec<Entry>,
}

/// What the status tells of one file, counts apart.
pub struct Entry {
    pub path: String,
    pub kind: &'static str,
    pub generation: Option<u64>,
    pub hash: Option<String>,
    pub stale: Option<String>,
    pub counters: Arc<Counters>,
}

/// A verdict with who gave it.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The verdict, to be clamped by attempts, cap and deadline.
    pub verdict: Verdict,
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
    /// How often it misbehaved, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How it misbehaved the last time.
    pub last_fault: Option<String>,
    /// Why the file as it is now is not in force: `file:line:column: message`, one a line.
    pub stale: Option<String>,
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
    /// Where a policy misbehaves the fallback decides at once.
    #[must_use]
    pub fn classify(&self, failure: &Failure) -> Decided {
        let chain = [failure.platform.as_str(), "default"];
        for policy in chain.iter().filter_map(|name| self.retry.get(*name)) {
            match policy.classify(failure) {
                Ok(verdict) if verdict.action == Action::Default => {}
                Ok(verdict) => return self.decided(verdict, Arc::clone(&policy.path), None),
                Err(fault) => return self.fall_back(failure, Some(fault)),
            }
        }
        self.fall_back(failure, None)
    }

    fn fall_back(&self, failure: &Failure, fault: Option<Fault>) -> Decided {
        self.decided(fallback::classify(failure), FALLBACK.into(), fault)
    }

    fn decided(&self, verdict: Verdict, by: Arc<str>, fault: Option<Fault>) -> Decided {
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
            faults: self.counters.faults(),
            last_fault: self.counters.last_fault().map(|fault| fault.to_string()),
            stale: self.stale.clone(),
        }
    }
}
