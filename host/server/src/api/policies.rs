//! The status of every policy file, of the configuration and of the decision log.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tidegate::{ConfigStatus, Host};
use tidegate_policy::{CandidateDifference, CandidateDifferences, DecisionsStatus, PolicyStatus};
use utoipa::ToSchema;

/// Every policy file, the configuration and the decision log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policies, examples(json!({
    "generation": 1, "policies": [], "directory_error": null,
    "config": { "reloads": 0, "stale": null, "needs_restart": [] },
    "decisions": { "file": null, "written": 0, "dropped": 0, "error": null }
})))]
pub struct PoliciesResponse {
    /// The active generation of policies. It increases with every change of a policy.
    pub generation: u64,
    /// Every policy file.
    pub policies: Vec<PolicyInfo>,
    /// Why the policy directory cannot be read.
    #[schema(required)]
    pub directory_error: Option<String>,
    /// The configuration file.
    pub config: ConfigInfo,
    /// The decision log. Null if the server has no policies.
    #[schema(required)]
    pub decisions: Option<DecisionsInfo>,
}

/// One policy file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy)]
pub struct PolicyInfo {
    /// The path within the policy directory.
    pub path: String,
    /// The language: `rhai`, `wasm` or `toml`.
    pub language: String,
    /// The generation in which the active version became active. Null if no version is active.
    #[schema(required)]
    pub generation: Option<u64>,
    /// The first 12 digits of the active version's SHA-256.
    #[schema(required)]
    pub hash: Option<String>,
    /// The number of evaluations.
    pub evaluations: u64,
    /// The median evaluation time in microseconds, rounded up to a power of two times 0.256 µs.
    pub p50_us: f64,
    /// The 99th percentile of the evaluation time in microseconds, rounded in the same way.
    pub p99_us: f64,
    /// The number of faults, by kind.
    pub faults: BTreeMap<String, u64>,
    /// The last fault.
    #[schema(required)]
    pub last_fault: Option<String>,
    /// Why the policy is quarantined after its faults. A change of the file ends the quarantine.
    #[schema(required)]
    pub quarantined: Option<String>,
    /// Why the current file is rejected: `file:line:column: message`, one per line.
    #[schema(required)]
    pub stale: Option<String>,
    /// When the file became stale, in milliseconds since 1970.
    #[schema(required)]
    pub stale_since_ms: Option<u64>,
    /// The differences from the active policy. Only candidates have them.
    #[schema(required)]
    pub differences: Option<DifferencesInfo>,
}

impl From<PolicyStatus> for PolicyInfo {
    fn from(status: PolicyStatus) -> Self {
        Self {
            path: status.path,
            language: status.language.to_string(),
            generation: status.generation,
            hash: status.hash,
            evaluations: status.evaluations,
            p50_us: status.p50_us,
            p99_us: status.p99_us,
            faults: status.faults.into_iter().map(|(kind, count)| (kind.to_string(), count)).collect(),
            last_fault: status.last_fault,
            quarantined: status.quarantined,
            stale: status.stale,
            stale_since_ms: status.stale_since_ms,
            differences: status.differences.map(DifferencesInfo::from),
        }
    }
}

/// How often a candidate's verdict differed from the active policy's verdict.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CandidateDifferences)]
pub struct DifferencesInfo {
    /// The number of failures that both classified.
    pub compared: u64,
    /// How many of them the candidate decided differently, or faulted on.
    pub differing: u64,
    /// The number of failures that were skipped because the candidate was too slow.
    pub dropped: u64,
    /// The last difference.
    #[schema(required)]
    pub last: Option<DifferenceInfo>,
}

impl From<CandidateDifferences> for DifferencesInfo {
    fn from(differences: CandidateDifferences) -> Self {
        let CandidateDifferences { compared, differing, dropped, last, .. } = differences;
        Self { compared, differing, dropped, last: last.as_ref().map(DifferenceInfo::from) }
    }
}

/// One difference between a candidate and the active policy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CandidateDifference)]
pub struct DifferenceInfo {
    /// The failure, in the format that `tidegate eval` reads, without secrets.
    #[schema(value_type = Object)]
    pub failure: Value,
    /// The verdict of the active policy.
    #[schema(value_type = Object)]
    pub active: Value,
    /// The candidate's `verdict`, or its `fault` with `kind` and `message`, as in the decision log.
    #[schema(value_type = Object)]
    pub candidate: Value,
}

impl From<&CandidateDifference> for DifferenceInfo {
    /// Uses the JSON form of the difference, which masks secrets.
    fn from(difference: &CandidateDifference) -> Self {
        let mut value = serde_json::to_value(difference).unwrap_or_default();
        let mut field = |name: &str| value.get_mut(name).map(Value::take).unwrap_or_default();
        Self { failure: field("failure"), active: field("active"), candidate: field("candidate") }
    }
}

/// The state of the configuration file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Config)]
pub struct ConfigInfo {
    /// The number of new configurations that were activated since the start.
    pub reloads: u64,
    /// Why the current file is not active, as lines of `file:line:column: message`. Null if it is active.
    #[schema(required)]
    pub stale: Option<String>,
    /// The changed settings that take effect only after a restart.
    pub needs_restart: Vec<String>,
}

impl From<ConfigStatus> for ConfigInfo {
    fn from(status: ConfigStatus) -> Self {
        let ConfigStatus { reloads, stale, needs_restart, .. } = status;
        Self { reloads, stale, needs_restart }
    }
}

/// The state of the decision log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decisions)]
pub struct DecisionsInfo {
    /// The file. Null if decisions are not logged.
    #[schema(required)]
    pub file: Option<String>,
    /// The number of lines written since the start.
    pub written: u64,
    /// The number of lines lost, because the writer was too slow or the file could not be written.
    pub dropped: u64,
    /// Why the file cannot be written now.
    #[schema(required)]
    pub error: Option<String>,
}

impl From<DecisionsStatus> for DecisionsInfo {
    fn from(status: DecisionsStatus) -> Self {
        let DecisionsStatus { file, written, dropped, error, .. } = status;
        Self { file: file.map(|file| file.display().to_string()), written, dropped, error }
    }
}

/// Returns the status of every policy file, of the configuration and of the decision log.
#[must_use]
pub fn status(host: &Host) -> PoliciesResponse {
    let policies = host.policies();
    let generation = policies.map(|policies| policies.generation());
    PoliciesResponse {
        generation: generation.as_ref().map_or(0, |generation| generation.number()),
        policies: policies.into_iter().flat_map(|policies| policies.status()).map(PolicyInfo::from).collect(),
        directory_error: generation.and_then(|generation| generation.directory_error().map(str::to_owned)),
        config: host.config_status().into(),
        decisions: policies.map(|policies| policies.decision_log_status().into()),
    }
}
