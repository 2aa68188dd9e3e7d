//! The status of policy files.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tidegate_core::FaultKind;

use crate::candidate::{Candidate, CandidateDifferences};
use crate::counters::Counters;
use crate::paths::PolicyLanguage;

/// The status of one policy file.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PolicyStatus {
    /// The path within the directory.
    pub path: String,
    /// The language.
    pub language: PolicyLanguage,
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
    pub faults: BTreeMap<FaultKind, u64>,
    /// The last fault.
    pub last_fault: Option<String>,
    /// Why the policy is quarantined after its faults. A change of the file ends the quarantine.
    pub quarantined: Option<String>,
    /// Why the current file is rejected: `file:line:column: message`, one per line.
    pub stale: Option<String>,
    /// When the file became stale, in milliseconds since 1970.
    pub stale_since_ms: Option<u64>,
    /// The differences from the active policy. Only candidates have them.
    pub differences: Option<CandidateDifferences>,
}

/// What the status reports about one file. The counters are read when the status is requested.
pub struct StatusEntry {
    pub path: String,
    pub language: PolicyLanguage,
    pub generation: Option<u64>,
    pub hash: Option<String>,
    pub stale: Option<StaleReason>,
    pub counters: Arc<Counters>,
    pub candidate: Option<Arc<Candidate>>,
}

/// Why a file is stale: its current content is not the active version.
#[derive(Clone)]
pub struct StaleReason {
    pub message: String,
    pub since_ms: u64,
}

impl StatusEntry {
    /// Returns the status of the file.
    pub fn status(&self) -> PolicyStatus {
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
