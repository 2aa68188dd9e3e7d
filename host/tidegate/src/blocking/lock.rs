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
    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Returns the name of the owner.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.inner.owner()
    }

    /// Sets how long the lock stays held after its last extension.
    ///
    /// # Errors
    /// Returns an error if the TTL is shorter than 100 ms or longer than a day.
    pub fn with_ttl(mut self, ttl: Duration) -> Result<Self, BlockingError> {
        self.inner = self.inner.with_ttl(ttl)?;
        Ok(self)
    }

    /// Sets the owner's name. The name must be unique among all owners.
    ///
    /// # Errors
    /// Returns an error if the name is empty, longer than 200 bytes, or contains control characters.
    pub fn with_owner(mut self, owner: &str) -> Result<Self, BlockingError> {
        self.inner = self.inner.with_owner(owner)?;
        Ok(self)
    }

    /// Acquires the lock without waiting.
    ///
    /// # Errors
    /// Returns the errors of [`BlockingLock::acquire`].
    pub fn try_acquire(&self) -> Result<BlockingLease, BlockingError> {
        self.acquire(Duration::ZERO)
    }

    /// Waits at most `timeout` for the lock.
    ///
    /// # Errors
    /// Returns an error with [`BlockingError::lock_error`] if another owner held the lock the whole time
    /// ([`LockError::held`](crate::LockError::held)) or Redis is unavailable. Returns an error if called inside an
    /// async runtime.
    pub fn acquire(&self, timeout: Duration) -> Result<BlockingLease, BlockingError> {
        let lease = self.background.wait(self.inner.acquire(timeout))??;
        Ok(BlockingLease {
            name: lease.name().to_owned(),
            fencing_token: lease.fencing_token(),
            inner: Some(lease),
            background: Arc::clone(&self.background),
        })
    }
}

/// A lock that this process holds and extends; see [`crate::Lease`].
#[derive(Debug)]
#[must_use = "dropping a lease releases its lock"]
pub struct BlockingLease {
    name: String,
    fencing_token: u64,
    /// `Some` until the release.
    inner: Option<Lease>,
    background: Arc<BackgroundRuntime>,
}

impl BlockingLease {
    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the fencing token, which is greater than the token of every earlier grant.
    #[must_use]
    pub const fn fencing_token(&self) -> u64 {
        self.fencing_token
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
