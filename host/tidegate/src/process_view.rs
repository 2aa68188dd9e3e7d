//! The data that policies can query: this process's metrics and limits, from memory.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{HostView, LimitStatus, Stats};

use crate::limiters::WeakLimiters;
use crate::metrics::Metrics;

/// The [`HostView`] of a host. It does not keep the host's limiters alive, nor their connection to Redis.
pub struct ProcessView {
    pub metrics: Metrics,
    pub limiters: WeakLimiters,
}

impl HostView for ProcessView {
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        self.metrics.stats(platform, endpoint, range)
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        Some(self.limiters.upgrade()?.get(name).ok()?.cached_status())
    }
}

/// A [`HostView`] that takes windows and limits from different sources.
pub struct CombinedView<F> {
    /// The source of windows.
    pub windows: F,
    /// The source of limits.
    pub limits: Arc<dyn HostView>,
}

impl<F: Fn(&str, Option<&str>, Duration) -> Stats + Send + Sync> HostView for CombinedView<F> {
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        (self.windows)(platform, endpoint, range)
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        self.limits.limit(name)
    }
}
