//! The limiter for threads that may block.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Decision, LimitStatus, Quota};

use super::{Engine, Error};

/// One platform's limit; see [`crate::Limiter`].
#[derive(Clone)]
pub struct Limiter {
    pub(super) inner: crate::Limiter,
    pub(super) engine: Arc<Engine>,
}

impl Limiter {
    /// Takes `cost` tokens if they are there now; a refusal takes nothing.
    ///
    /// # Errors
    /// Inside an async runtime.
    pub fn check(&self, cost: u64) -> Result<Decision, Error> {
        self.engine.wait(self.inner.check(cost))
    }

    /// Waits for `cost` tokens for at most `timeout` (and 30 s), in order of arrival.
    ///
    /// # Errors
    /// Inside an async runtime.
    pub fn acquire(&self, cost: u64, timeout: Duration) -> Result<Decision, Error> {
        self.engine.wait(self.inner.acquire(cost, timeout))
    }

    /// The state of the limit.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime.
    pub fn status(&self) -> Result<LimitStatus, Error> {
        Ok(self.engine.wait(self.inner.status())??)
    }

    /// Grants the whole burst anew.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime.
    pub fn reset(&self) -> Result<(), Error> {
        Ok(self.engine.wait(self.inner.reset())??)
    }

    /// Changes rate and burst for all who share the limit; the level is kept.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime.
    pub fn update(&self, quota: Quota) -> Result<(), Error> {
        Ok(self.engine.wait(self.inner.update(quota))??)
    }
}
