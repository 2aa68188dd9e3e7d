//! Alerting where there are no policies: nobody is told anything.

use tidegate_core::StoreError;

use crate::Host;

/// What is left of alerting: whether Redis is away.
pub struct Alerting {
    away: bool,
}

impl Alerting {
    pub const fn new(_: &Host) -> Self {
        Self { away: false }
    }

    pub async fn tick_on(&mut self, _: u64) {
        std::future::pending().await
    }

    pub async fn deposed(&mut self) {}

    pub async fn arrive(&mut self) {}

    pub const fn is_away(&self) -> bool {
        self.away
    }

    pub fn away(&mut self, error: &StoreError) {
        if !self.away {
            tracing::warn!(%error, "nobody leads");
        }
        self.away = true;
    }

    pub const fn back(&mut self) {
        self.away = false;
    }
}
