//! The state of the configuration file.

use serde::Serialize;

/// The state of the configuration file.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ConfigStatus {
    /// The number of new configurations that were activated since the start.
    pub reloads: u64,
    /// Why the current file is not active, as lines of `file:line:column: message`; `None` if it is active.
    pub stale: Option<String>,
    /// The changed settings that take effect only after a restart.
    pub needs_restart: Vec<String>,
}
