//! What policies may look at: this process's metrics and limits, from memory.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tidegate_core::{LimitState, Stats, View};

use crate::Host;
use crate::host::Inner;

/// The view of a host; it does not keep the host alive.
pub struct HostView(pub Weak<Inner>);

impl HostView {
    fn host(&self) -> Option<Host> {
        self.0.upgrade().map(Host)
    }
}

impl View for HostView {
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        self.host().map(|host| host.metrics().get(platform, endpoint, range)).unwrap_or_default()
    }

    fn limit(&self, name: &str) -> Option<LimitState> {
        let limiter = self.host()?.limiter(name).ok()?;
        let seen = limiter.seen();
        let rate = limiter.quota().rate().per_second();
        Some(LimitState { available: seen.available, burst: seen.burst, rate, full_in_ms: seen.full_in_ms })
    }
}

/// A view whose windows are another's.
pub struct Windowed<F> {
    /// Answers for windows.
    pub windows: F,
    /// Answers for limits.
    pub limits: Arc<dyn View>,
}

impl<F: Fn(&str, Option<&str>, Duration) -> Stats + Send + Sync> View for Windowed<F> {
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        (self.windows)(platform, endpoint, range)
    }

    fn limit(&self, name: &str) -> Option<LimitState> {
        self.limits.limit(name)
    }
}
