//! What the processes that share one Redis say about themselves.

use serde::{Deserialize, Serialize};

/// What a process says about itself to the other processes of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessInfo {
    /// The name of the machine or container; empty if it is unknown.
    pub host: String,
    /// The process id on that machine.
    pub pid: u32,
    /// The version of tidegate.
    pub version: String,
    /// The hash of the active retry and admission policies; `None` if the process has no policies.
    pub policies_hash: Option<String>,
    /// The hash of the active alert rules; `None` if the process has no policies.
    pub rules_hash: Option<String>,
    /// The paths of quarantined policies.
    pub quarantined: Vec<String>,
}

/// One process of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetProcess {
    /// The random id of the process.
    pub id: String,
    /// Whether it is the process that returns this.
    pub is_self: bool,
    /// What the process says about itself.
    #[serde(flatten)]
    pub info: ProcessInfo,
}
