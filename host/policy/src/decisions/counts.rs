//! What the decision log reports about itself.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use serde::Serialize;

/// What the queue and the writer count.
#[derive(Default)]
pub struct LogCounts {
    /// The number of lines written.
    pub written: AtomicU64,
    /// The number of lines lost.
    pub dropped: AtomicU64,
    /// Why the file cannot be written now.
    pub error: Mutex<Option<String>>,
}

/// The status of the decision log.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DecisionsStatus {
    /// The file. Without one, decisions are not logged.
    pub file: Option<PathBuf>,
    /// The number of lines written since the start.
    pub written: u64,
    /// The number of lines lost, because the writer was too slow or the file could not be written.
    pub dropped: u64,
    /// Why the file cannot be written now.
    pub error: Option<String>,
}
