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
        self.redis_unavailable = false;
        std::future::pending().await
    }

    pub async fn leadership_lost(&mut self) {}

    pub const fn was_leader(&self) -> bool {
        false
    }

    pub const fn is_redis_unavailable(&self) -> bool {
        self.redis_unavailable
    }

    pub async fn record_redis_failure(&mut self, error: &StoreError) {
        if !self.redis_unavailable {
            tracing::warn!(%error, "redis unavailable, no leader");
        }
        self.redis_unavailable = true;
    }

    pub async fn record_other_leader(&mut self) -> Result<(), StoreError> {
        self.redis_unavailable = false;
        Ok(())
    }

    pub async fn drain(&mut self) {}
}
