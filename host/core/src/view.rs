//! What a policy may look at besides its input: read-only, from memory.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Stats;

/// Metrics and limits as this process knows them.
pub trait View: Send + Sync {
    /// The figures of the last `range` of a platform or one of its endpoints, widened to whole minutes, hours or days.
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats;

    /// The limit of that name as it was last heard of, if there is one.
    fn limit(&self, name: &str) -> Option<LimitState>;
}

/// The state of a limit in plain values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitState {
    /// Whole tokens there now; negative where calls wait for them.
    pub available: i64,
    /// The burst.
    pub burst: u64,
    /// Tokens a second.
    pub rate: f64,
    /// Milliseconds until the burst is whole again.
    pub full_in_ms: u64,
}

/// A view without limits, whose windows a function gives for every scope.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{Stats, View, Windows};
/// let hour = Windows(|range: Duration| Stats { count: range.as_secs(), ..Stats::default() });
/// assert_eq!(hour.window("jd", None, Duration::from_secs(3_600)).count, 3_600);
/// assert_eq!(hour.limit("jd"), None);
/// ```
pub struct Windows<F>(pub F);

impl<F: Fn(Duration) -> Stats + Send + Sync> View for Windows<F> {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        (self.0)(range)
    }

    fn limit(&self, _: &str) -> Option<LimitState> {
        None
    }
}
