//! What the processes that share one Redis say about themselves.

use serde::{Deserialize, Serialize};

/// What a process says about itself to the other processes of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
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
    /// Whether the configuration file of the process is rejected, so that an earlier configuration is active.
    pub is_config_stale: bool,
}

impl ProcessInfo {
    /// Creates the information about a process without policies.
    #[must_use]
    pub fn new(host: impl Into<String>, pid: u32, version: impl Into<String>) -> Self {
        Self { host: host.into(), pid, version: version.into(), ..Self::default() }
    }
}

/// One process of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FleetProcess {
    /// The random id of the process.
    pub id: String,
    /// Whether it is the process that returns this.
    pub is_self: bool,
    /// What the process says about itself.
    #[serde(flatten)]
    pub info: ProcessInfo,
}

impl FleetProcess {
    /// Creates an entry of the fleet.
    #[must_use]
    pub fn new(id: impl Into<String>, is_self: bool, info: ProcessInfo) -> Self {
        Self { id: id.into(), is_self, info }
    }
}
