//! A lock that is held: extended while it is, given back when it is dropped, and lost before anyone else can have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::store::{Claim, LockStore};
use tidegate_core::{Clock, StoreError, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::{Lock, LockError, new_id};

/// A lock that this process holds; dropping the last lease of an owner gives it back.
#[must_use = "a lease that is dropped gives its lock back"]
pub struct Lease(Arc<Holding>);

impl Lease {
    pub(super) fn new(holding: Arc<Holding>) -> Self {
        Self(holding)
    }

    /// Greater than that of every grant before: whoever guards a resource refuses a smaller one.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.0.kept.token
    }

    /// Whether nobody else can hold the lock now.
    ///
    /// It compares the clock, so it is right even in a process that was stopped for a while.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// Ends once the lock is lost, before anyone else can have it.
    pub async fn lost(&self) {
        // The sender lives as long as the lease.
        let _ = self.0.kept.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// Gives the lock back and says whether it was held until then; with a lease of the same owner left, the lock stays.
    ///
    /// # Errors
    /// Where the store gives no answer; it is tried again until the lock has ended by itself.
    pub async fn release(self) -> Result<bool, LockError> {
        let held = self.is_held();
        let Some(mut holding) = Arc::into_inner(self.0) else { return Ok(held) };
        let (tell, told) = oneshot::channel();
        holding.tell = Some(tell);
        drop(holding);
        let ended = |_| Err(StoreError::away("the runtime that gives locks back has ended"));
        Ok(told.await.unwrap_or_else(ended)?)
    }
}

/// What the leases of one grant share.
pub struct Holding {
    kept: Arc<Kept>,
    keeper: AbortHandle,
    /// Who hears what became of giving it back.
    tell: Option<oneshot::Sender<Result<bool, StoreError>>>,
    runtime: Handle,
}

struct Kept {
    store: Arc<dyn LockStore>,
    clock: Arc<dyn Clock>,
    name: Arc<str>,
    owner: Arc<str>,
    token: u64,
    ttl: Duration,
    /// Until when nobody else can hold it, in microseconds of the process's clock.
    until: AtomicU64,
    lost: watch::Sender<bool>,
}

impl Holding {
    /// Begins to extend what was granted to a request sent at `sent`; within a tokio runtime.
    pub fn start(lock: &Lock, token: u64, sent: Timestamp) -> Arc<Self> {
        let inner = &lock.locks.0;
        let kept = Arc::new(Kept {
            store: Arc::clone(&inner.store),
            clock: Arc::clone(&inner.clock),
            name: Arc::clone(&lock.name),
            owner: Arc::clone(&lock.owner),
            token,
            ttl: lock.ttl,
            until: AtomicU64::new(end(sent, lock.ttl).as_micros()),
            lost: watch::Sender::new(false),
        });
        let keeper = tokio::spawn(Arc::clone(&kept).keep(sent)).abort_handle();
        Arc::new(Self { kept, keeper, tell: None, runtime: Handle::current() })
    }

    pub fn is_held(&self) -> bool {
        !*self.kept.lost.borrow() && self.kept.clock.now() < self.kept.until()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.keeper.abort();
        // In a task of its own: whoever waits for it may be dropped meanwhile.
        self.runtime.spawn(Arc::clone(&self.kept).end(self.tell.take()));
    }
}

/// When a lock that was granted or extended by a request sent at `sent` may be somebody else's: one per cent early, since
/// two clocks never run alike.
fn end(sent: Timestamp, ttl: Duration) -> Timestamp {
    sent + ttl * 99 / 100
}

impl Kept {
    fn until(&self) -> Timestamp {
        Timestamp::from_micros(self.until.load(Ordering::Acquire))
    }

    /// Extends at each third of the ttl until the lock is lost.
    async fn keep(self: Arc<Self>, granted: Timestamp) {
        let mut last = granted;
        loop {
            let next = last + self.ttl / 3;
            tokio::time::sleep(next - self.clock.now()).await;
            match self.extend().await {
                Some(sent) => last = sent,
                None => break,
            }
        }
        self.lost.send_replace(true);
    }

    /// Extends once, trying again while the store is away and the lock cannot have ended; when the request was sent that
    /// succeeded.
    async fn extend(&self) -> Option<Timestamp> {
        loop {
            let sent = self.clock.now();
            let left = self.until() - sent;
            if left.is_zero() {
                return None;
            }
            let extended = self.store.extend(&self.name, &self.owner, self.token, self.ttl);
            // An answer that comes after the end is none: by then another may hold the lock.
            match tokio::time::timeout(left, extended).await {
                Ok(Ok(true)) => {
                    self.until.store(end(sent, self.ttl).as_micros(), Ordering::Release);
                    return Some(sent);
                }
                Ok(Ok(false)) | Err(_) => return None,
                Ok(Err(error)) => tracing::warn!(name = &*self.name, %error, "a lock could not be extended yet"),
            }
            self.pause().await;
        }
    }

    /// Gives the lock back, trying again while the store is away and the lock cannot have ended.
    async fn end(self: Arc<Self>, tell: Option<oneshot::Sender<Result<bool, StoreError>>>) {
        let id = new_id();
        let mut given = self.give_back(&id).await;
        if let Some(tell) = tell {
            // Whoever asked may have been dropped.
            let _ = tell.send(given.clone());
        }
        while given.as_ref().is_err_and(StoreError::is_away) && self.clock.now() < self.until() {
            self.pause().await;
            given = self.give_back(&id).await;
        }
        if let Err(error) = given {
            tracing::warn!(name = &*self.name, %error, "a lock that could not be given back ends by its ttl");
        }
    }

    async fn give_back(&self, id: &str) -> Result<bool, StoreError> {
        let claim = Claim { name: &self.name, owner: &self.owner, id };
        Ok(self.store.release(claim, self.token).await?.is_some())
    }

    /// Between one attempt and the next.
    async fn pause(&self) {
        tokio::time::sleep((self.ttl / 20).min(self.until() - self.clock.now())).await;
    }
}
