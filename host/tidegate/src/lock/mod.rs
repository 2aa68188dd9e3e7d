//! Locks with a TTL: each has one holder at a time and is extended while the holder runs.

mod handle;
mod lease;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::store::{LockGrant, LockHeld, LockInfo, LockRequest, LockStore};
use tidegate_core::{Clock, StoreError};
use tokio::sync::Mutex as WaitQueue;
use tokio::time::{Instant, timeout_at};

pub use handle::Lock;
pub use lease::Lease;
pub(crate) use memory::MemoryLocks;

/// The minimum TTL; the extension interval, a third of it, must exceed a round trip.
const MIN_TTL: Duration = Duration::from_millis(100);

/// The maximum TTL, so that the lock of a killed process expires within a day.
const MAX_TTL: Duration = Duration::from_secs(86_400);

/// The maximum wait; practically unlimited, but the deadline still fits into an `Instant`.
const MAX_WAIT: Duration = Duration::from_secs(365 * 86_400);

/// The maximum length of a lock name, an owner or a request id, in bytes.
const MAX_NAME_LENGTH: usize = 200;

/// The locks of one process, or of all processes that share a Redis. Clones share the same locks.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// let host = tidegate::Host::builder().build().unwrap();
/// let lock = host.locks().lock("orders:taobao")?;
/// if let Some(lease) = lock.acquire(Duration::from_secs(5)).await? {
///     // … write with lease.fencing_token(), and stop if !lease.is_held()
///     assert!(lease.is_held());
///     assert!(host.locks().lock("orders:taobao")?.try_acquire().await?.is_none());
///     lease.release().await?;
/// }
/// # Ok::<(), tidegate::LockError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Locks(Arc<LocksInner>);

struct LocksInner {
    store: Arc<dyn LockStore>,
    clock: Arc<dyn Clock>,
    /// The queues of the callers in this process that wait for a lock, by the name of the lock. Only the first caller
    /// in a queue sends requests to the store.
    queues: Mutex<HashMap<String, Weak<WaitQueue<()>>>>,
}

/// An error of a lock operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// The name, the owner, the request id or the TTL is invalid.
    #[error("{0}")]
    Invalid(String),
    /// The store is unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Locks {
    pub(crate) fn new(store: Arc<dyn LockStore>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(LocksInner { store, clock, queues: Mutex::default() }))
    }

    /// Returns a handle to a lock, with a unique owner and a TTL of 30 s.
    ///
    /// # Errors
    /// Returns an error if the name is empty, longer than 200 bytes, or contains control characters.
    pub fn lock(&self, name: &str) -> Result<Lock, LockError> {
        check_name("lock name", name)?;
        Ok(Lock::new(self.clone(), name))
    }

    /// Acquires a lock for an owner in another process; that owner extends and releases the lock itself.
    ///
    /// The request's `id` distinguishes it from other requests of the same owner, so a repeated request counts once. If
    /// the owner disappears just as the lock is granted, the lock stays held until its TTL has passed.
    ///
    /// # Errors
    /// Returns an error if name, owner, id or TTL is invalid, or if the store is unavailable.
    pub async fn acquire_for(
        &self,
        request: LockRequest<'_>,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<Result<LockGrant, LockHeld>, LockError> {
        check_request(request)?;
        check_ttl(ttl)?;
        Ok(self.acquire_with(request.name, request.owner, timeout, || self.0.store.acquire(request, ttl)).await?)
    }

    /// Extends a lock of an owner in another process, so that it expires no sooner than `ttl` from now. Returns false
    /// if the owner no longer holds it.
    ///
    /// # Errors
    /// Returns an error if the TTL is invalid or the store is unavailable.
    pub async fn extend_for(&self, name: &str, owner: &str, token: u64, ttl: Duration) -> Result<bool, LockError> {
        check_ttl(ttl)?;
        Ok(self.0.store.extend(name, owner, token, ttl).await?)
    }

    /// Releases a lock of an owner in another process. Returns how many acquisitions of that owner remain, or `None` if
    /// it no longer held the lock.
    ///
    /// # Errors
    /// Returns an error if name, owner or id is invalid, or if the store is unavailable.
    pub async fn release_for(&self, request: LockRequest<'_>, token: u64) -> Result<Option<u32>, LockError> {
        check_request(request)?;
        Ok(self.0.store.release(request, token).await?)
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

    /// Requests the lock until it is granted or the timeout has passed. It tries again when the lock is released or
    /// expires.
    async fn acquire_with<T, F>(
        &self,
        name: &str,
        owner: &str,
        timeout: Duration,
        try_acquire: impl Fn() -> F,
    ) -> Result<Result<T, LockHeld>, StoreError>
    where
        F: Future<Output = Result<Result<T, LockHeld>, StoreError>>,
    {
        let deadline = Instant::now() + timeout.min(MAX_WAIT);
        let queue = self.queue(name);
        let position = match queue.try_lock() {
            Ok(first) => Some(first),
            // The queued callers wait for this owner: if it queued behind them, it would wait for itself.
            Err(_) if self.is_holder(name, owner).await => None,
            Err(_) => timeout_at(deadline, queue.lock()).await.ok(),
        };
        if position.is_none() {
            // The owner already holds the lock, or the timeout has passed: either way, try once.
            return try_acquire().await;
        }
        let mut released = self.0.store.released(name);
        loop {
            let held = match try_acquire().await? {
                Err(held) if Instant::now() < deadline => held,
                result => return Ok(result),
            };
            let retry_at = deadline.min(Instant::now() + held.ttl);
            // A signal and a timeout both mean that the lock may be free: it was released, or it has expired.
            let _ = timeout_at(retry_at, released.changed()).await;
        }
    }

    /// Returns whether this owner holds the lock; false if the store is unavailable, so that the owner queues up.
    async fn is_holder(&self, name: &str, owner: &str) -> bool {
        matches!(self.0.store.holder(name).await, Ok(Some(held)) if held.owner == owner)
    }

    /// Returns this process's wait queue for a lock, and removes the queues that are no longer used.
    fn queue(&self, name: &str) -> Arc<WaitQueue<()>> {
        let mut queues = self.0.queues.lock();
        if let Some(queue) = queues.get(name).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(WaitQueue::new(()));
        queues.insert(name.to_owned(), Arc::downgrade(&queue));
        queue
    }
}

fn new_request_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn check_request(request: LockRequest<'_>) -> Result<(), LockError> {
    check_name("lock name", request.name)?;
    check_name("lock owner", request.owner)?;
    check_name("request id", request.id)?;
    if request.id.contains(char::is_whitespace) {
        return Err(LockError::Invalid("invalid request id: expected no whitespace".to_owned()));
    }
    Ok(())
}

fn check_name(kind: &str, name: &str) -> Result<(), LockError> {
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || name.contains(char::is_control) {
        let message = format!("invalid {kind}: expected 1 to {MAX_NAME_LENGTH} bytes without control characters");
        return Err(LockError::Invalid(message));
    }
    Ok(())
}

fn check_ttl(ttl: Duration) -> Result<(), LockError> {
    if (MIN_TTL..=MAX_TTL).contains(&ttl) {
        return Ok(());
    }
    Err(LockError::Invalid(format!("invalid ttl of {} ms: expected 100 ms to 1 day", ttl.as_millis())))
}
