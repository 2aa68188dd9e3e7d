//! The store of the metrics of all processes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::StoreFuture;
use crate::Stats;
use crate::window::Window;

/// Counts to add to a store, by platform and endpoint.
pub type MetricDeltas = BTreeMap<String, BTreeMap<String, Window>>;

/// Counts by platform and endpoint. Every process adds to them, and every process can read them.
///
/// The store uses its own clock: added counts belong to the minute in which they arrive.
pub trait MetricStore: Send + Sync {
    /// Adds the counts since the last call of this method. Counts that cannot be added now are kept and added before
    /// those of the next call. All counts are added exactly once.
    fn add(&self, deltas: MetricDeltas) -> StoreFuture<'_, ()>;

    /// Returns the statistics of the last `range` for one endpoint or for the whole platform. The range is widened to
    /// whole minutes, hours or days.
    fn stats<'a>(&'a self, platform: &'a str, endpoint: Option<&'a str>, range: Duration) -> StoreFuture<'a, Stats>;

    /// Returns every platform and endpoint that has counts from the last 30 days.
    fn endpoints(&self) -> StoreFuture<'_, BTreeMap<String, Vec<String>>>;

    /// Adds the minutes that have ended to their hours and days, and returns how many it added. Each minute is added
    /// once, even if several processes do this at the same time.
    fn roll_up(&self) -> StoreFuture<'_, u64>;
}
