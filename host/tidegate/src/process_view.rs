//! The data that policies can query: this process's metrics and limits, from memory.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tidegate_core::{HostView, LimitStatus, Stats};

use crate::Host;
use crate::host::HostInner;

/// The [`HostView`] of a host. It does not keep the host alive.
pub struct ProcessView(pub Weak<HostInner>);

impl ProcessView {
    fn host(&self) -> Option<Host> {
        self.0.upgrade().map(Host)
    }
}

impl HostView for ProcessView {
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        self.host().map(|host| host.metrics().get(platform, endpoint, range)).unwrap_or_default()
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        Some(self.host()?.limiter(name).ok()?.cached_status())
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
