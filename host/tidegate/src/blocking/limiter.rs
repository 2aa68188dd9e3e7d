//! The blocking limiter.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Allowed, LimitStatus, Quota, ReservationId};

use super::error::BlockingError;
use super::runtime::BackgroundRuntime;
use crate::limiter::{Limiter, Reservation};

/// The rate limit of one platform; see [`crate::Limiter`].
#[derive(Clone, Debug)]
pub struct BlockingLimiter {
    pub(super) inner: Limiter,
    pub(super) background: Arc<BackgroundRuntime>,
}

/// Tokens that a call has taken from a limit; see [`crate::Reservation`].
#[derive(Clone, Debug)]
#[must_use = "a call that is not sent should cancel its reservation"]
pub struct BlockingReservation {
    inner: Reservation,
    background: Arc<BackgroundRuntime>,
}

impl BlockingReservation {
    /// Returns the number of whole tokens that are left.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.inner.remaining()
    }

    /// Returns the id for [`BlockingLimiter::cancel`]; `None` if Redis was unavailable and the call was allowed without
    /// its bucket.
    #[must_use]
    pub const fn id(&self) -> Option<&ReservationId> {
        self.inner.id()
    }

    /// Returns the tokens to the bucket, for a call that is not sent.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn cancel(self) -> Result<(), BlockingError> {
        Ok(self.background.wait(self.inner.cancel())??)
    }
}

impl BlockingLimiter {
    /// Takes `cost` tokens if they are available now.
    ///
    /// # Errors
    /// Returns an error with the [`refusal`](BlockingError::refusal) if they are not; a refusal takes nothing. Returns
    /// an error if called inside an async runtime.
    pub fn check(&self, cost: u64) -> Result<Allowed, BlockingError> {
        Ok(self.background.wait(self.inner.check(cost))??)
    }

    /// Waits for `cost` tokens, at most for `timeout` and never longer than 30 s. Calls are served in order of arrival.
    ///
    /// # Errors
    /// Returns an error with the [`refusal`](BlockingError::refusal) if the tokens will not be available in time; a
    /// refusal takes nothing. Returns an error if called inside an async runtime.
    pub fn acquire(&self, cost: u64, timeout: Duration) -> Result<Allowed, BlockingError> {
        Ok(self.background.wait(self.inner.acquire(cost, timeout))??)
    }

    /// Waits as [`BlockingLimiter::acquire`] does and returns a reservation. If the call is then not sent, the caller
    /// can cancel the reservation.
    ///
    /// # Errors
    /// Returns an error with the [`refusal`](BlockingError::refusal) if the tokens will not be available in time; a
    /// refusal takes nothing. Returns an error if called inside an async runtime.
    pub fn reserve(&self, cost: u64, timeout: Duration) -> Result<BlockingReservation, BlockingError> {
        let inner = self.background.wait(self.inner.reserve(cost, timeout))??;
        Ok(BlockingReservation { inner, background: Arc::clone(&self.background) })
    }

    /// Cancels a reservation whose call is not sent and returns its cost to the bucket; see [`crate::Limiter::cancel`].
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn cancel(&self, id: &ReservationId) -> Result<(), BlockingError> {
        Ok(self.background.wait(self.inner.cancel(id))??)
    }

    /// Returns the quota that this process received last, without a request to the store.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.inner.quota()
    }

    /// Returns the state that this process received last, without a request to the store.
    #[must_use]
    pub fn cached_status(&self) -> LimitStatus {
        self.inner.cached_status()
    }

    /// Returns the current state of the limit.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn status(&self) -> Result<LimitStatus, BlockingError> {
        Ok(self.background.wait(self.inner.status())??)
    }

    /// Refills the bucket to the full burst. Waiting calls get their tokens first.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn reset(&self) -> Result<(), BlockingError> {
        Ok(self.background.wait(self.inner.reset())??)
    }

    /// Changes the rate and the burst for all processes that share the limit. The tokens in the bucket are kept.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn update(&self, quota: Quota) -> Result<(), BlockingError> {
        Ok(self.background.wait(self.inner.update(quota))??)
    }
}
