//! The data that a policy can read besides its input: metrics and limits, from memory.

use std::fmt;
use std::time::Duration;

use crate::{LimitStatus, Stats};

/// Read-only access to metrics and limits, as this process knows them.
pub trait HostView: Send + Sync {
    /// Returns the statistics of the last `range` for a platform or one of its endpoints. The range is widened to whole
    /// minutes, hours or days.
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats;

    /// Returns the last known state of the limit `name`, if there is one.
    fn limit(&self, name: &str) -> Option<LimitStatus>;
}

/// A [`HostView`] without limits. A function of the range returns its statistics, for every platform and endpoint.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{FnHostView, HostView, Stats};
/// let view = FnHostView(|range: Duration| {
///     let mut stats = Stats::default();
///     stats.count = range.as_secs();
///     stats
/// });
/// assert_eq!(view.window("jd", None, Duration::from_secs(3_600)).count, 3_600);
/// assert_eq!(view.limit("jd"), None);
/// ```
pub struct FnHostView<F>(pub F);

impl<F> fmt::Debug for FnHostView<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FnHostView")
    }
}

impl<F: Fn(Duration) -> Stats + Send + Sync> HostView for FnHostView<F> {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        (self.0)(range)
    }

    fn limit(&self, _: &str) -> Option<LimitStatus> {
        None
    }
}
