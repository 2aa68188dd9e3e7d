//! A held lock: extended in the background, released on drop, and reported as lost before its TTL has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::store::{LockRequest, LockStore};
use tidegate_core::{Clock, StoreError, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::{Lock, LockError, new_request_id};

/// A lock that this process holds. Dropping the last lease of an owner releases the lock.
#[must_use = "dropping a lease releases its lock"]
pub struct Lease(Arc<HeldLock>);

impl Lease {
    pub(super) fn new(held: Arc<HeldLock>) -> Self {
        Self(held)
    }

    /// Returns the fencing token, which is greater than the token of every earlier grant.
    ///
    /// A protected resource stores the greatest token that it has received and rejects requests with a smaller one.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.0.extender.token
    }

    /// Returns whether the lock is held, as far as this process knows.
    ///
    /// It checks the clock, so it is also correct after the process was suspended. It notices a forced release only at
    /// the next extension.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// Waits until the lock is lost.
    ///
    /// It completes before the TTL has passed, so no other owner has acquired the lock by then. It can complete late if
    /// the process was suspended or the lock was released by force; a fencing token protects against both.
    pub async fn lost(&self) {
        // This cannot fail: the sender lives as long as the lease.
        let _ = self.0.extender.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// Ends this lease and returns whether the lock was held until then. If it was the owner's last lease, the lock is
    /// released.
    ///
    /// # Errors
    /// Returns an error if the store is unavailable. The release is then retried in the background until the lock's TTL
    /// has passed.
    pub async fn release(self) -> Result<bool, LockError> {
        let was_held = self.is_held();
        let Some(mut held) = Arc::into_inner(self.0) else { return Ok(was_held) };
        let (sender, result) = oneshot::channel();
        held.on_release = Some(sender);
        drop(held);
        let shut_down = |_| Err(StoreError::unavailable("the runtime that releases the lock has shut down"));
        Ok(result.await.unwrap_or_else(shut_down)?)
    }
}

/// The state that the leases of one grant share.
pub struct HeldLock {
    extender: Arc<LockExtender>,
    extension_task: AbortHandle,
    /// Receives the result of the release.
    on_release: Option<oneshot::Sender<Result<bool, StoreError>>>,
    runtime: Handle,
}

/// Extends and releases one grant.
struct LockExtender {
    store: Arc<dyn LockStore>,
    clock: Arc<dyn Clock>,
    name: Arc<str>,
    owner: Arc<str>,
    token: u64,
    ttl: Duration,
    /// The time until which no other owner can hold the lock, in microseconds of the process's clock.
    held_until: AtomicU64,
    lost: watch::Sender<bool>,
}

impl HeldLock {
    /// Starts to extend a grant whose request was sent at `sent_at`. Must be called within a tokio runtime.
    pub fn start(lock: &Lock, token: u64, sent_at: Timestamp) -> Arc<Self> {
        let inner = &lock.locks.0;
        let extender = Arc::new(LockExtender {
            store: Arc::clone(&inner.store),
            clock: Arc::clone(&inner.clock),
            name: Arc::clone(&lock.name),
            owner: Arc::clone(&lock.owner),
            token,
            ttl: lock.ttl,
            held_until: AtomicU64::new(safe_expiry(sent_at, lock.ttl).as_micros()),
            lost: watch::Sender::new(false),
        });
        let extension_task = tokio::spawn(Arc::clone(&extender).run(sent_at)).abort_handle();
        Arc::new(Self { extender, extension_task, on_release: None, runtime: Handle::current() })
    }

    pub fn is_held(&self) -> bool {
        !*self.extender.lost.borrow() && self.extender.clock.now() < self.extender.held_until()
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.extension_task.abort();
        // The release runs in a separate task, because the future that waits for its result may be dropped.
        self.runtime.spawn(Arc::clone(&self.extender).release(self.on_release.take()));
    }
}

/// Returns the time until which a lock is certainly held that was granted or extended by a request sent at `sent_at`:
/// 99 % of the TTL after `sent_at`, because clock speeds differ.
fn safe_expiry(sent_at: Timestamp, ttl: Duration) -> Timestamp {
    sent_at + ttl * 99 / 100
}

impl LockExtender {
    fn held_until(&self) -> Timestamp {
        Timestamp::from_micros(self.held_until.load(Ordering::Acquire))
    }

    /// Extends the lock at every third of the TTL until it is lost.
    async fn run(self: Arc<Self>, granted_at: Timestamp) {
        let mut last = granted_at;
        loop {
            let next = last + self.ttl / 3;
            tokio::time::sleep(next - self.clock.now()).await;
            match self.extend().await {
                Some(sent_at) => last = sent_at,
                None => break,
            }
        }
        self.lost.send_replace(true);
    }

    /// Extends the lock once; retries while the store is unavailable and the lock cannot have expired. Returns the time
    /// at which the successful request was sent, or `None` if the lock is lost.
    async fn extend(&self) -> Option<Timestamp> {
        loop {
            let sent_at = self.clock.now();
            let left = self.held_until() - sent_at;
            if left.is_zero() {
                return None;
            }
            let extended = self.store.extend(&self.name, &self.owner, self.token, self.ttl);
            // A reply after this time is useless: another owner may hold the lock by then.
            match tokio::time::timeout(left, extended).await {
                Ok(Ok(true)) => {
                    self.held_until.store(safe_expiry(sent_at, self.ttl).as_micros(), Ordering::Release);
                    return Some(sent_at);
                }
                Ok(Ok(false)) | Err(_) => return None,
                Ok(Err(error)) => tracing::warn!(lock = &*self.name, %error, "lock not extended, retrying"),
            }
            self.pause().await;
        }
    }

    /// Releases the lock; retries while the store is unavailable and the lock cannot have expired.
    async fn release(self: Arc<Self>, on_release: Option<oneshot::Sender<Result<bool, StoreError>>>) {
        let id = new_request_id();
        let mut result = self.release_once(&id).await;
        if let Some(sender) = on_release {
            // The receiver may have been dropped.
            let _ = sender.send(result.clone());
        }
        while result.as_ref().is_err_and(StoreError::is_unavailable) && self.clock.now() < self.held_until() {
            self.pause().await;
            result = self.release_once(&id).await;
        }
        if let Err(error) = result {
            tracing::warn!(lock = &*self.name, %error, "lock not released, it expires after its TTL");
        }
    }

    async fn release_once(&self, id: &str) -> Result<bool, StoreError> {
        let request = LockRequest { name: &self.name, owner: &self.owner, id };
        Ok(self.store.release(request, self.token).await?.is_some())
    }

    /// Waits between two attempts.
    async fn pause(&self) {
        tokio::time::sleep((self.ttl / 20).min(self.held_until() - self.clock.now())).await;
    }
}
