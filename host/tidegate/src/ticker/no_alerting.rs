//! The replacement for `alerting.rs` in builds without policies: no rules and no notifications.

use tidegate_core::StoreError;

use crate::Host;

/// Tracks whether Redis is unavailable.
pub struct Alerting {
    redis_unavailable: bool,
}

impl Alerting {
    pub const fn new(_: &Host) -> Self {
        Self { redis_unavailable: false }
    }

    pub async fn run(&mut self, _: u64) {
        std::future::pending().await
    }

    pub async fn leadership_lost(&mut self) {}

    pub async fn drain(&mut self) {}

    pub const fn is_redis_unavailable(&self) -> bool {
        self.redis_unavailable
    }

    pub fn record_redis_failure(&mut self, error: &StoreError) {
        if !self.redis_unavailable {
            tracing::warn!(%error, "redis unavailable, no leader");
        }
        self.redis_unavailable = true;
    }

    pub const fn record_redis_success(&mut self) {
        self.redis_unavailable = false;
    }
}
