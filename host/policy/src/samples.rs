//! What policies are tried on before they come in force.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{LimitState, Stats, View};

/// These figures in every window, and a full limit of every name.
struct Samples(Stats);

impl View for Samples {
    fn window(&self, _: &str, _: Option<&str>, _: Duration) -> Stats {
        self.0.clone()
    }

    fn limit(&self, _: &str) -> Option<LimitState> {
        Some(LimitState { available: 10, burst: 10, rate: 10.0, full_in_ms: 0 })
    }
}

/// The view that goes with samples: no calls.
pub fn view() -> Arc<dyn View> {
    view_of(Stats { success_rate: 1.0, ..Stats::default() })
}

/// The view that has these figures in every window.
pub fn view_of(stats: Stats) -> Arc<dyn View> {
    Arc::new(Samples(stats))
}
