//! Blocking admission: the limits of an admitted request.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Allowed, ReservationId};

use super::error::BlockingError;
use super::runtime::BackgroundRuntime;
use crate::admission::Admitted;
use crate::limit_set::Reservations;

/// A request that was admitted; see [`crate::Admitted`].
#[derive(Clone, Debug)]
pub struct BlockingAdmitted {
    pub(super) inner: Admitted,
    pub(super) background: Arc<BackgroundRuntime>,
}

/// The tokens that a call has taken from its limits; see [`crate::Reservations`].
#[derive(Clone, Debug)]
#[must_use = "a call that is not sent should cancel its reservations"]
pub struct BlockingReservations {
    inner: Reservations,
    background: Arc<BackgroundRuntime>,
}

impl BlockingAdmitted {
    /// Sets the cost of the request if no policy set one. The default is 1.
    #[must_use]
    pub fn with_default_cost(self, cost: u64) -> Self {
        Self { inner: self.inner.with_default_cost(cost), ..self }
    }

    /// Returns the cost that the request takes from each limit.
    #[must_use]
    pub const fn cost(&self) -> u64 {
        self.inner.cost()
    }

    /// Returns the names of the limits that apply. The platform's own limit comes first.
    pub fn limits(&self) -> impl Iterator<Item = &str> {
        self.inner.limits()
    }

    /// Returns the file of the policy that decided, or `fallback` if no policy did.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.inner.policy()
    }

    /// Takes the cost from every limit if it is available now.
    ///
    /// # Errors
    /// Returns an error with the [`refusal`](BlockingError::refusal) if one of the limits refuses; this takes nothing
    /// from any limit. Returns an error if called inside an async runtime.
    pub fn check(&self) -> Result<Allowed, BlockingError> {
        Ok(self.background.wait(self.inner.check())??)
    }

    /// Waits for the cost at every limit, at most for `timeout` in total and never longer than 30 s.
    ///
    /// # Errors
    /// Returns the errors of [`BlockingAdmitted::check`].
    pub fn acquire(&self, timeout: Duration) -> Result<Allowed, BlockingError> {
        Ok(self.background.wait(self.inner.acquire(timeout))??)
    }

    /// Waits as [`BlockingAdmitted::acquire`] does and returns reservations. If the request is then not sent, the
    /// caller can cancel them.
    ///
    /// # Errors
    /// Returns the errors of [`BlockingAdmitted::check`].
    pub fn reserve(&self, timeout: Duration) -> Result<BlockingReservations, BlockingError> {
        let inner = self.background.wait(self.inner.reserve(timeout))??;
        Ok(BlockingReservations { inner, background: Arc::clone(&self.background) })
    }
}

impl BlockingReservations {
    /// Returns the smallest number of whole tokens that are left in one of the limits.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.inner.remaining()
    }

    /// Returns the names of the limits with the ids of their reservations.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &ReservationId)> {
        self.inner.ids()
    }

    /// Returns the tokens to the limits; for a call that is not sent.
    ///
    /// # Errors
    /// Returns an error if called inside an async runtime.
    pub fn cancel(self) -> Result<(), BlockingError> {
        self.background.wait(self.inner.cancel())
    }
}
