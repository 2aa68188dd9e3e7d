//! The blocking lock.

use std::sync::Arc;
use std::time::Duration;

use super::error::BlockingError;
use super::runtime::BackgroundRuntime;
use crate::lock::{Lease, Lock};

/// A lock and its owner; see [`crate::Lock`].
#[derive(Clone, Debug)]
pub struct BlockingLock {
    pub(super) inner: Lock,
    pub(super) background: Arc<BackgroundRuntime>,
}

impl BlockingLock {
    /// Sets how long the lock stays held after its last extension.
    ///
    /// # Errors
    /// Returns an error if the TTL is shorter than 100 ms or longer than a day.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self, BlockingError> {
        self.inner = self.inner.ttl(ttl)?;
        Ok(self)
    }

    /// Sets the owner's name. The name must be unique among all owners.
    ///
    /// # Errors
    /// Returns an error if the name is empty, longer than 200 bytes, or contains control characters.
    pub fn owner(mut self, owner: &str) -> Result<Self, BlockingError> {
        self.inner = self.inner.owner(owner)?;
        Ok(self)
    }

    /// Acquires the lock without waiting. Returns `None` if another owner holds it.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn try_acquire(&self) -> Result<Option<BlockingLease>, BlockingError> {
        self.acquire(Duration::ZERO)
    }

    /// Waits at most `timeout` for the lock. Returns `None` if another owner held it the whole time.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime.
    pub fn acquire(&self, timeout: Duration) -> Result<Option<BlockingLease>, BlockingError> {
        let lease = self.background.wait(self.inner.acquire(timeout))??;
        Ok(lease.map(|inner| BlockingLease { inner: Some(inner), background: Arc::clone(&self.background) }))
    }
}

/// A lock that this process holds and extends; see [`crate::Lease`].
#[derive(Debug)]
#[must_use = "dropping a lease releases its lock"]
pub struct BlockingLease {
    /// `Some` until the release.
    inner: Option<Lease>,
    background: Arc<BackgroundRuntime>,
}

impl BlockingLease {
    /// Returns the fencing token, which is greater than the token of every earlier grant.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.inner.as_ref().map_or(0, Lease::fencing_token)
    }

    /// Returns whether this lease still holds the lock, so that no other owner can.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.inner.as_ref().is_some_and(Lease::is_held)
    }

    /// Releases the lock and returns whether it was held until then.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable, or if called inside an async runtime. The release is
    /// then retried in the background until the lock's TTL has passed.
    pub fn release(mut self) -> Result<bool, BlockingError> {
        match self.inner.take() {
            Some(inner) => Ok(self.background.wait(inner.release())??),
            None => Ok(false),
        }
    }
}

impl Drop for BlockingLease {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        // Waits for the release if this thread may block. Otherwise a program that ends would leave the lock held.
        let _ = self.background.wait(inner.release());
    }
}
