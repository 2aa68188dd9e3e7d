//! Where the figures of all processes come together.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Answer;
use crate::Stats;
use crate::window::Window;

/// What was counted, by platform and endpoint.
pub type Counted = BTreeMap<String, BTreeMap<String, Window>>;

/// Counts by platform and endpoint that processes add to and anyone reads.
///
/// Time is the store's own: what is added counts in the minute in which it arrives.
pub trait MetricStore: Send + Sync {
    /// Adds what was counted since the last time; what cannot be added now goes first the next time, and each once.
    fn add(&self, counted: Counted) -> Answer<'_, ()>;

    /// The figures of the last `range` (widened to whole minutes, hours or days), of one endpoint or of the platform.
    fn figures<'a>(&'a self, platform: &'a str, endpoint: Option<&'a str>, range: Duration) -> Answer<'a, Stats>;

    /// Every platform and endpoint that was counted within the last 30 days.
    fn endpoints(&self) -> Answer<'_, BTreeMap<String, Vec<String>>>;

    /// Adds the minutes that have ended to their hours and days, each once whoever else does the same; how many.
    fn roll_up(&self) -> Answer<'_, u64>;
}
