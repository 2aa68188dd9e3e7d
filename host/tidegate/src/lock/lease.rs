//! A held lock: extended in the background, released on drop, and reported as lost before its TTL has passed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::store::{LockRequest, LockStore};
use tidegate_core::{Clock, StoreError, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::request::{LockError, new_request_id};

/// A lock that this process holds. Dropping the last lease of an owner releases the lock.
#[must_use = "dropping a lease releases its lock"]
pub struct Lease(Arc<HeldLock>);

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grant = &self.0.extender.grant;
        f.debug_struct("Lease")
            .field("name", &grant.name)
            .field("owner", &grant.owner)
            .field("fencing_token", &grant.token)
            .field("is_held", &self.is_held())
            .finish()
    }
}

impl Lease {
    pub(super) fn new(held: Arc<HeldLock>) -> Self {
        Self(held)
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.extender.grant.name
    }

    /// Returns the fencing token, which is greater than the token of every earlier grant.
    ///
    /// A protected resource stores the greatest token that it has received and rejects requests with a smaller one.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.0.extender.grant.token
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
    /// Use it to stop work that needs the lock:
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # async fn synchronize_orders() {}
    /// let host = tidegate::Host::builder().build().unwrap();
    /// let lease = host.locks().lock("orders:taobao")?.try_acquire().await?;
    /// tokio::select! {
    ///     () = synchronize_orders() => {}
    ///     () = lease.lost() => eprintln!("stopped: the lock is lost"),
    /// }
    /// lease.release().await?;
    /// # Ok::<(), tidegate::LockError>(())
    /// # }).unwrap();
    /// ```
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

/// A lock that a store granted.
pub struct Grant {
    pub store: Arc<dyn LockStore>,
    pub clock: Arc<dyn Clock>,
    pub name: Arc<str>,
    pub owner: Arc<str>,
    /// The fencing token.
    pub token: u64,
    pub ttl: Duration,
    /// The time at which the request was sent.
    pub sent_at: Timestamp,
}

/// Extends and releases one grant.
struct LockExtender {
    grant: Grant,
    /// The time until which no other owner can hold the lock, in microseconds of the process's clock.
    held_until: AtomicU64,
    lost: watch::Sender<bool>,
}

impl HeldLock {
    /// Starts to extend a grant. Must be called within a tokio runtime.
    pub fn start(grant: Grant) -> Arc<Self> {
        let held_until = AtomicU64::new(safe_expiry(grant.sent_at, grant.ttl).as_micros());
        let extender = Arc::new(LockExtender { grant, held_until, lost: watch::Sender::new(false) });
        let extension_task = tokio::spawn(Arc::clone(&extender).run()).abort_handle();
        Arc::new(Self { extender, extension_task, on_release: None, runtime: Handle::current() })
    }

    pub fn is_held(&self) -> bool {
        !*self.extender.lost.borrow() && self.extender.grant.clock.now() < self.extender.held_until()
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
    async fn run(self: Arc<Self>) {
        let Grant { clock, ttl, sent_at, .. } = &self.grant;
        let mut last = *sent_at;
        loop {
            let next = last + *ttl / 3;
            tokio::time::sleep(next - clock.now()).await;
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
        let Grant { store, clock, name, owner, token, ttl, .. } = &self.grant;
        loop {
            let sent_at = clock.now();
            let left = self.held_until() - sent_at;
            if left.is_zero() {
                return None;
            }
            let extended = store.extend(name, owner, *token, *ttl);
            // A reply after this time is useless: another owner may hold the lock by then.
            match tokio::time::timeout(left, extended).await {
                Ok(Ok(true)) => {
                    self.held_until.store(safe_expiry(sent_at, *ttl).as_micros(), Ordering::Release);
                    return Some(sent_at);
                }
                Ok(Ok(false)) | Err(_) => return None,
                Ok(Err(error)) => tracing::warn!(lock = &**name, %error, "lock not extended, retrying"),
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
        while result.as_ref().is_err_and(StoreError::is_unavailable) && self.grant.clock.now() < self.held_until() {
            self.pause().await;
            result = self.release_once(&id).await;
        }
        if let Err(error) = result {
            tracing::warn!(lock = &*self.grant.name, %error, "lock not released, it expires after its TTL");
        }
    }

    async fn release_once(&self, id: &str) -> Result<bool, StoreError> {
        let Grant { store, name, owner, token, .. } = &self.grant;
        Ok(store.release(LockRequest::new(name, owner, id), *token).await?.is_some())
    }

    /// Waits between two attempts.
    async fn pause(&self) {
        let Grant { clock, ttl, .. } = &self.grant;
        tokio::time::sleep((*ttl / 20).min(self.held_until() - clock.now())).await;
    }
}
