//! The data that a policy can read besides its input: metrics and limits, from memory.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Stats;

/// Read-only access to metrics and limits, as this process knows them.
pub trait HostView: Send + Sync {
    /// Returns the statistics of the last `range` for a platform or one of its endpoints. The range is widened to whole
    /// minutes, hours or days.
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats;

    /// Returns the last known state of the limit `name`, if there is one.
    fn limit(&self, name: &str) -> Option<LimitState>;
}

/// The state of a limit in plain values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitState {
    /// The whole tokens in the bucket; negative if calls wait for tokens.
    pub available: i64,
    /// The burst.
    pub burst: u64,
    /// The rate, in tokens per second.
    pub rate: f64,
    /// Milliseconds until the bucket is full.
    pub full_in_ms: u64,
}

/// A [`HostView`] without limits. A function of the range returns its statistics, for every platform and endpoint.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{FnHostView, HostView, Stats};
/// let view = FnHostView(|range: Duration| Stats { count: range.as_secs(), ..Stats::default() });
/// assert_eq!(view.window("jd", None, Duration::from_secs(3_600)).count, 3_600);
/// assert_eq!(view.limit("jd"), None);
/// ```
pub struct FnHostView<F>(pub F);

impl<F: Fn(Duration) -> Stats + Send + Sync> HostView for FnHostView<F> {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        (self.0)(range)
    }

    fn limit(&self, _: &str) -> Option<LimitState> {
        None
    }
}
