//! Sample data on which policies are tried before they become active.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{HostView, LimitStatus, Quota, Stats};

/// The rate and the burst of every limit.
const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Returns the same statistics for every window, and a full bucket for every limit.
struct SampleView(Stats);

impl HostView for SampleView {
    fn window(&self, _: &str, _: Option<&str>, _: Duration) -> Stats {
        self.0.clone()
    }

    fn limit(&self, _: &str) -> Option<LimitStatus> {
        Some(LimitStatus::full(Quota::per_second(TEN)))
    }
}

/// Returns a view without calls.
pub fn view() -> Arc<dyn HostView> {
    view_of(Stats::default())
}

/// Returns a view with these statistics in every window.
pub fn view_of(stats: Stats) -> Arc<dyn HostView> {
    Arc::new(SampleView(stats))
}
