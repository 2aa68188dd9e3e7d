//! The handle with which one owner acquires a lock.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::StoreError;
use tidegate_core::store::{LockReply, LockRequest};

use super::lease::{Grant, HeldLock, Lease};
use super::queue::LockQueues;
use super::request::{LockError, check_name, check_ttl, new_request_id};

/// The TTL of a lock unless [`Lock::with_ttl`] sets another.
const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// A lock and its owner. A handle and its clones are one owner.
#[derive(Clone)]
pub struct Lock {
    queues: Arc<LockQueues>,
    name: Arc<str>,
    owner: Arc<str>,
    ttl: Duration,
    owner_state: Arc<Mutex<OwnerState>>,
}

/// The state that a handle and its clones share.
#[derive(Default)]
struct OwnerState {
    held: Weak<HeldLock>,
    /// The id of a request whose outcome is unknown. It may have been granted; if it is sent again with the same id, it
    /// counts once.
    unconfirmed: Option<String>,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, owner, ttl, .. } = self;
        f.debug_struct("Lock").field("name", name).field("owner", owner).field("ttl", ttl).finish_non_exhaustive()
    }
}

impl Lock {
    pub(super) fn new(queues: Arc<LockQueues>, name: &str) -> Self {
        // The process id helps an operator who lists locks to find the process.
        let owner = format!("{}-{:032x}", std::process::id(), rand::random::<u128>());
        Self { queues, name: name.into(), owner: owner.into(), ttl: DEFAULT_TTL, owner_state: Arc::default() }
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the owner.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Sets how long the lock stays held after its last extension. The lease extends it at every third of this time.
    ///
    /// # Errors
    /// Returns an error if the TTL is shorter than 100 ms or longer than a day.
    pub fn with_ttl(mut self, ttl: Duration) -> Result<Self, LockError> {
        check_ttl(ttl)?;
        self.ttl = ttl;
        Ok(self)
    }

    /// Sets the owner's name, for example so that a restarted process is the same owner again. The name must be unique
    /// among all owners.
    ///
    /// # Errors
    /// Returns an error if the name is empty, longer than 200 bytes, or contains control characters.
    pub fn with_owner(mut self, owner: &str) -> Result<Self, LockError> {
        check_name("lock owner", owner)?;
        self.owner = owner.into();
        self.owner_state = Arc::default();
        Ok(self)
    }

    /// Acquires the lock without waiting.
    ///
    /// # Errors
    /// Returns the errors of [`Lock::acquire`].
    ///
    /// # Panics
    /// Panics if called outside of a tokio runtime.
    pub async fn try_acquire(&self) -> Result<Lease, LockError> {
        self.acquire(Duration::ZERO).await
    }

    /// Waits at most `timeout` for the lock.
    ///
    /// Within one process, waiting callers acquire the lock in order of arrival. Dropping the future cancels the wait
    /// and releases the lock if it was just granted.
    ///
    /// # Errors
    /// Returns an error with [`LockError::held`] if another owner held the lock the whole time.
    ///
    /// Returns an error if the store is unavailable. The store may have granted the lock nevertheless. In this case
    /// only this handle can acquire the lock until the TTL has passed.
    ///
    /// # Panics
    /// Panics if called outside of a tokio runtime.
    pub async fn acquire(&self, timeout: Duration) -> Result<Lease, LockError> {
        if let Some(lease) = self.current_lease() {
            return Ok(lease);
        }
        match self.queues.acquire(&self.name, &self.owner, timeout, || self.try_once()).await? {
            LockReply::Granted(lease) => Ok(lease),
            LockReply::Held(held) => Err(LockError::another_owner(held)),
        }
    }

    /// Returns another lease if this owner already holds the lock; the lock is released with its last lease.
    fn current_lease(&self) -> Option<Lease> {
        self.owner_state.lock().held.upgrade().filter(|held| held.is_held()).map(Lease::new)
    }

    /// Sends one request to the store, in a separate task. If the caller is dropped meanwhile, the task still receives
    /// the lease, drops it and so releases the lock.
    async fn try_once(&self) -> Result<LockReply<Lease>, StoreError> {
        let lock = self.clone();
        let request = tokio::spawn(async move { lock.send_request().await });
        let shut_down = |_| Err(StoreError::unavailable("the runtime that acquires the lock has shut down"));
        request.await.unwrap_or_else(shut_down)
    }

    async fn send_request(&self) -> Result<LockReply<Lease>, StoreError> {
        let LockQueues { store, clock, .. } = &*self.queues;
        let id = self.owner_state.lock().unconfirmed.take().unwrap_or_else(new_request_id);
        // The clock is read before the request is sent, because the TTL cannot start earlier.
        let sent_at = clock.now();
        let request = LockRequest::new(&self.name, &self.owner, &id);
        match store.acquire(request, self.ttl).await {
            Ok(LockReply::Granted(grant)) => {
                let held = HeldLock::start(Grant {
                    store: Arc::clone(store),
                    clock: Arc::clone(clock),
                    name: Arc::clone(&self.name),
                    owner: Arc::clone(&self.owner),
                    token: grant.fencing_token,
                    ttl: self.ttl,
                    sent_at,
                });
                self.owner_state.lock().held = Arc::downgrade(&held);
                Ok(LockReply::Granted(Lease::new(held)))
            }
            Ok(LockReply::Held(held)) => Ok(LockReply::Held(held)),
            Err(error) => {
                self.owner_state.lock().unconfirmed = Some(id);
                Err(error)
            }
        }
    }
}
