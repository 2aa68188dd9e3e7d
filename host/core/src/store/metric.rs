//! Where the figures of all processes come together.

use std::collections::BTreeMap;

use super::Answer;
use crate::window::{Span, Window};

/// Counts by platform and endpoint that processes add to and anyone reads.
pub trait MetricStore: Send + Sync {
    /// Adds what one platform's endpoints counted since the last time, each once however often it is sent.
    fn add<'a>(&'a self, platform: &'a str, counted: &'a BTreeMap<String, Window>) -> Answer<'a, ()>;

    /// What was counted in `span`, of one endpoint or of the whole platform.
    fn read<'a>(&'a self, platform: &'a str, endpoint: Option<&'a str>, span: Span) -> Answer<'a, Window>;

    /// The endpoints of each of these platforms that were counted within the last 30 days.
    fn endpoints<'a>(&'a self, platforms: &'a [String]) -> Answer<'a, BTreeMap<String, Vec<String>>>;

    /// Adds the minutes that have ended to their hours and days, each once; how many there were.
    fn roll_up<'a>(&'a self, platforms: &'a [String]) -> Answer<'a, u64>;
}
