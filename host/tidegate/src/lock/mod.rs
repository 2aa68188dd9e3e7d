//! Locks with a TTL: each has one holder at a time and is extended while the holder runs.

mod handle;
mod lease;
mod memory;
mod queue;
mod request;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::store::{LockGrant, LockInfo, LockReply, LockRequest, LockStore};
use tidegate_core::{Clock, StoreError};

pub use handle::Lock;
pub use lease::Lease;
pub(crate) use memory::MemoryLocks;
use queue::LockQueues;
pub use request::{LockError, LockHolder};
use request::{check_name, check_request, check_ttl};

/// The locks of one process, or of all processes that share a Redis. Clones share the same locks.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// let host = tidegate::Host::builder().build().unwrap();
/// let lock = host.locks().lock("orders:taobao")?;
/// let lease = lock.acquire(Duration::from_secs(5)).await?;
/// // … write with lease.fencing_token(), and stop if !lease.is_held()
/// let busy = host.locks().lock("orders:taobao")?.try_acquire().await.unwrap_err();
/// assert!(busy.held().is_some_and(|held| held.ttl <= Duration::from_secs(30)));
/// lease.release().await?;
/// # Ok::<(), tidegate::LockError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Locks(Arc<LockQueues>);

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").finish_non_exhaustive()
    }
}

impl Locks {
    pub(crate) fn new(store: Arc<dyn LockStore>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(LockQueues::new(store, clock)))
    }

    /// Returns a handle to a lock, with a unique owner and a TTL of 30 s.
    ///
    /// # Errors
    /// Returns an error if the name is empty, longer than 200 bytes, or contains control characters.
    pub fn lock(&self, name: &str) -> Result<Lock, LockError> {
        check_name("lock name", name)?;
        Ok(Lock::new(Arc::clone(&self.0), name))
    }

    /// Waits at most `timeout` for a lock on behalf of an owner in another process; that owner extends and releases the
    /// lock itself.
    ///
    /// The request's `id` distinguishes it from other requests of the same owner, so a repeated request counts once. If
    /// the owner disappears just as the lock is granted, the lock stays held until its TTL has passed.
    ///
    /// # Errors
    /// Returns an error with [`LockError::held`] if another owner held the lock the whole time. Returns an error if
    /// name, owner, id or TTL is invalid, or if the store is unavailable.
    pub async fn acquire_for(
        &self,
        request: LockRequest<'_>,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<LockGrant, LockError> {
        check_request(request)?;
        check_ttl(ttl)?;
        match self.0.acquire(request.name, request.owner, timeout, || self.0.store.acquire(request, ttl)).await? {
            LockReply::Granted(grant) => Ok(grant),
            LockReply::Held(held) => Err(LockError::another_owner(held)),
        }
    }

    /// Extends a lock that an owner in another process holds, so that it expires no sooner than `ttl` from now. Returns
    /// false if the owner no longer holds it.
    ///
    /// # Errors
    /// Returns an error if the TTL is invalid or the store is unavailable.
    pub async fn extend_for(&self, holder: LockHolder<'_>, ttl: Duration) -> Result<bool, LockError> {
        let LockHolder { name, owner, fencing_token } = holder;
        check_ttl(ttl)?;
        Ok(self.0.store.extend(name, owner, fencing_token, ttl).await?)
    }

    /// Releases a lock that an owner in another process holds. Returns how many acquisitions of that owner remain, or
    /// `None` if it no longer held the lock.
    ///
    /// `id` distinguishes the request from other requests of the same owner, so a repeated request counts once.
    ///
    /// # Errors
    /// Returns an error if name, owner or id is invalid, or if the store is unavailable.
    pub async fn release_for(&self, holder: LockHolder<'_>, id: &str) -> Result<Option<u32>, LockError> {
        let LockHolder { name, owner, fencing_token } = holder;
        let request = LockRequest::new(name, owner, id);
        check_request(request)?;
        Ok(self.0.store.release(request, fencing_token).await?)
    }

    /// Returns the locks that are held now, sorted by name.
    ///
    /// # Errors
    /// Returns an error if the store is unavailable.
    pub async fn list(&self) -> Result<Vec<LockInfo>, StoreError> {
        self.0.store.list().await
    }

    /// Revokes a lock from its holder. Returns whether the lock was held.
    ///
    /// The holder learns of it at its next extension. A protected resource rejects the holder once it has received the
    /// next holder's fencing token.
    ///
    /// # Errors
    /// Returns an error if the store is unavailable.
    pub async fn force_release(&self, name: &str) -> Result<bool, StoreError> {
        self.0.store.force_release(name).await
    }
}
