//! A lock to be taken, by one owner.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::StoreError;
use tidegate_core::store::{Claim, Held};

use super::lease::{Holding, Lease};
use super::{Inner, LockError, Locks, check_text, check_ttl, new_id};

/// How long a lock is held without a word from its holder, unless said.
const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// One lock, to be taken by one owner: this handle and its clones.
#[derive(Clone)]
pub struct Lock {
    pub(super) locks: Locks,
    pub(super) name: Arc<str>,
    pub(super) owner: Arc<str>,
    pub(super) ttl: Duration,
    own: Arc<Mutex<Own>>,
}

/// What this handle and its clones share.
#[derive(Default)]
struct Own {
    held: Weak<Holding>,
    /// The request that got no answer: it may have been granted, and asked again by its id it counts once.
    unanswered: Option<String>,
}

impl Lock {
    pub(super) fn new(locks: Locks, name: &str) -> Self {
        // People who list locks find the process by its number.
        let owner = format!("{}-{:032x}", std::process::id(), rand::random::<u128>());
        Self { locks, name: name.into(), owner: owner.into(), ttl: DEFAULT_TTL, own: Arc::default() }
    }

    /// How long the lock is held without a word from its holder; extended at a third of it.
    ///
    /// # Errors
    /// Where it is shorter than 100 ms or longer than a day.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self, LockError> {
        check_ttl(ttl)?;
        self.ttl = ttl;
        Ok(self)
    }

    /// An owner by name, such as one that a restarted process is to find again; nobody else may use it.
    ///
    /// # Errors
    /// Where it is empty, longer than 200 bytes, or has control characters.
    pub fn owner(mut self, owner: &str) -> Result<Self, LockError> {
        check_text("owner of a lock", owner)?;
        self.owner = owner.into();
        self.own = Arc::default();
        Ok(self)
    }

    /// Takes the lock if nobody else holds it; `None` where somebody does.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn try_acquire(&self) -> Result<Option<Lease>, LockError> {
        self.acquire(Duration::ZERO).await
    }

    /// Waits for the lock for at most `timeout`; `None` where somebody else held it all the time.
    ///
    /// In one process those who wait are served in the order in which they came. Dropping the future leaves no trace.
    ///
    /// # Errors
    /// Where the store gives no answer. The lock may have been granted all the same: until the ttl has passed, this
    /// handle alone can take it.
    pub async fn acquire(&self, timeout: Duration) -> Result<Option<Lease>, LockError> {
        if let Some(lease) = self.again() {
            return Ok(Some(lease));
        }
        let contended = self.locks.contend(&self.name, &self.owner, timeout, || self.ask()).await?;
        Ok(contended.ok())
    }

    /// What this owner holds already; the lock is given back with the last lease of it.
    fn again(&self) -> Option<Lease> {
        self.own.lock().held.upgrade().filter(|holding| holding.is_held()).map(Lease::new)
    }

    /// Asks the store in a task of its own: were the caller dropped meanwhile, the lease would be dropped after it, and
    /// given back.
    async fn ask(&self) -> Result<Result<Lease, Held>, StoreError> {
        let lock = self.clone();
        let asked = tokio::spawn(async move { lock.take().await });
        let ended = |_| Err(StoreError::away("the runtime that asks for locks has ended"));
        asked.await.unwrap_or_else(ended)
    }

    async fn take(&self) -> Result<Result<Lease, Held>, StoreError> {
        let Inner { store, clock, .. } = &*self.locks.0;
        let id = self.own.lock().unanswered.take().unwrap_or_else(new_id);
        // Read before sending: the lock cannot end before so long after it.
        let sent = clock.now();
        let claim = Claim { name: &self.name, owner: &self.owner, id: &id };
        match store.acquire(claim, self.ttl).await {
            Ok(Ok(grant)) => {
                let holding = Holding::start(self, grant.fencing_token, sent);
                self.own.lock().held = Arc::downgrade(&holding);
                Ok(Ok(Lease::new(holding)))
            }
            Ok(Err(held)) => Ok(Err(held)),
            Err(error) => {
                self.own.lock().unanswered = Some(id);
                Err(error)
            }
        }
    }
}
