//! Locks: one holder at a time, for a time, extended while the holder runs.

mod lease;
mod memory;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::store::{Claim, Grant, Held, LockInfo, LockStore};
use tidegate_core::{Clock, StoreError};
use tokio::sync::Mutex as Line;
use tokio::time::{Instant, timeout_at};

use lease::Holding;

pub use lease::Lease;
pub(crate) use memory::MemoryLocks;

/// How long a lock is held without a word from its holder, unless said.
const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// The shortest ttl: a third of it is to be longer than a round trip.
const SHORTEST_TTL: Duration = Duration::from_millis(100);

/// The longest name of a lock or an owner, in bytes.
const MAX_NAME: usize = 200;

/// The locks of one process, or of all that share a Redis; clones share them.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// let host = tidegate::Host::builder().build().unwrap();
/// let lock = host.locks().lock("orders:taobao")?;
/// if let Some(lease) = lock.acquire(Duration::from_secs(5)).await? {
///     // … write with lease.fencing_token(), and stop where !lease.is_held()
///     assert!(lease.is_held());
///     assert!(host.locks().lock("orders:taobao")?.try_acquire().await?.is_none());
///     lease.release().await?;
/// }
/// # Ok::<(), tidegate::LockError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Locks(Arc<Inner>);

struct Inner {
    store: Arc<dyn LockStore>,
    clock: Arc<dyn Clock>,
    /// Those who wait for a lock in this process stand in a line, so that only the first of them asks the store.
    lines: Mutex<HashMap<String, Weak<Line<()>>>>,
}

/// Why a lock was neither granted nor refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The store gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One lock, to be taken by one owner: this handle and its clones.
#[derive(Clone)]
pub struct Lock {
    locks: Locks,
    name: Arc<str>,
    owner: Arc<str>,
    ttl: Duration,
    /// What is held by this handle or a clone of it.
    held: Arc<Mutex<Weak<Holding>>>,
}

impl Locks {
    pub(crate) fn new(store: Arc<dyn LockStore>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { store, clock, lines: Mutex::default() }))
    }

    /// A lock by its name, for an owner of its own and with a ttl of 30 s unless said.
    ///
    /// # Errors
    /// Where the name is empty, longer than 200 bytes, or has control characters.
    pub fn lock(&self, name: &str) -> Result<Lock, LockError> {
        check_text("name of a lock", name)?;
        let owner = format!("{:032x}", rand::random::<u128>());
        Ok(Lock { locks: self.clone(), name: name.into(), owner: owner.into(), ttl: DEFAULT_TTL, held: Arc::default() })
    }

    /// Takes a lock for an owner in another process, who extends it and gives it back by itself.
    ///
    /// `id` tells the request from others of the same owner, so that one that is sent again counts once.
    ///
    /// # Errors
    /// Where name, owner, id or ttl cannot be, or the store gives no answer.
    pub async fn acquire_for(
        &self,
        claim: Claim<'_>,
        ttl: Duration,
        timeout: Duration,
    ) -> Result<Result<Grant, Held>, LockError> {
        check_claim(claim)?;
        check_ttl(ttl)?;
        let contended = self.contend(claim.name, Instant::now() + timeout, || self.0.store.acquire(claim, ttl)).await?;
        Ok(contended)
    }

    /// Lets a lock of an owner in another process end `ttl` from now; false where it is held no longer.
    ///
    /// # Errors
    /// Where the ttl cannot be, or the store gives no answer.
    pub async fn extend_for(&self, name: &str, owner: &str, token: u64, ttl: Duration) -> Result<bool, LockError> {
        check_ttl(ttl)?;
        Ok(self.0.store.extend(name, owner, token, ttl).await?)
    }

    /// Gives back a lock of an owner in another process; says how often it holds it still, `None` where it held it no
    /// longer.
    ///
    /// # Errors
    /// Where the id cannot be, or the store gives no answer.
    pub async fn release_for(&self, claim: Claim<'_>, token: u64) -> Result<Option<u32>, LockError> {
        check_claim(claim)?;
        Ok(self.0.store.release(claim, token).await?)
    }

    /// The locks that are held now, by name.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn list(&self) -> Result<Vec<LockInfo>, StoreError> {
        self.0.store.list().await
    }

    /// Takes a lock away from whoever holds it; whether anyone did.
    ///
    /// Its holder learns of it at its next extension, and a guarded resource by the next holder's fencing token.
    ///
    /// # Errors
    /// Where the store gives no answer.
    pub async fn evict(&self, name: &str) -> Result<bool, StoreError> {
        self.0.store.evict(name).await
    }

    /// Asks until the lock is granted or time is over: woken when it is given back, or when its holder's time ends.
    async fn contend<T, F>(
        &self,
        name: &str,
        deadline: Instant,
        ask: impl Fn() -> F,
    ) -> Result<Result<T, Held>, StoreError>
    where
        F: Future<Output = Result<Result<T, Held>, StoreError>>,
    {
        let line = self.line(name);
        let Ok(_first) = timeout_at(deadline, line.lock()).await else {
            // Others of this process stand before; whoever holds the lock, it is not free.
            return ask().await;
        };
        let mut released = self.0.store.released(name);
        loop {
            let held = match ask().await? {
                Err(held) if Instant::now() < deadline => held,
                ended => return Ok(ended),
            };
            let ended = deadline.min(Instant::now() + held.ttl);
            // Either way it may be free now: it was given back, or its holder's time has ended.
            let _ = timeout_at(ended, released.changed()).await;
        }
    }

    /// The line before a lock in this process; lines that nobody stands in are forgotten.
    fn line(&self, name: &str) -> Arc<Line<()>> {
        let mut lines = self.0.lines.lock();
        if let Some(line) = lines.get(name).and_then(Weak::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::new(Line::new(()));
        lines.insert(name.to_owned(), Arc::downgrade(&line));
        line
    }
}

impl Lock {
    /// How long the lock is held without a word from its holder; extended at a third of it.
    ///
    /// # Errors
    /// Where it is shorter than 100 ms.
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
        self.held = Arc::default();
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
    /// Where the store gives no answer.
    pub async fn acquire(&self, timeout: Duration) -> Result<Option<Lease>, LockError> {
        if let Some(lease) = self.again() {
            return Ok(Some(lease));
        }
        let deadline = Instant::now() + timeout;
        let contended = self.locks.contend(&self.name, deadline, || self.ask()).await?;
        Ok(contended.ok())
    }

    /// What this owner holds already; the lock is given back with the last lease of it.
    fn again(&self) -> Option<Lease> {
        self.held.lock().upgrade().filter(|holding| holding.is_held()).map(Lease::new)
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
        let id = new_id();
        // Read before sending: the lock cannot end before so long after it.
        let sent = clock.now();
        let claim = Claim { name: &self.name, owner: &self.owner, id: &id };
        let granted = store.acquire(claim, self.ttl).await?;
        Ok(granted.map(|grant| {
            let holding = Holding::start(self, grant.fencing_token, sent);
            *self.held.lock() = Arc::downgrade(&holding);
            Lease::new(holding)
        }))
    }
}

fn new_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn check_claim(claim: Claim<'_>) -> Result<(), LockError> {
    check_text("name of a lock", claim.name)?;
    check_text("owner of a lock", claim.owner)?;
    check_text("id of a request", claim.id)?;
    if claim.id.contains(char::is_whitespace) {
        return Err(LockError::Invalid("expected an id of a request without spaces".to_owned()));
    }
    Ok(())
}

fn check_text(what: &str, text: &str) -> Result<(), LockError> {
    if text.is_empty() || text.len() > MAX_NAME || text.contains(char::is_control) {
        let expected = format!("expected a {what} of 1 to {MAX_NAME} bytes without control characters");
        return Err(LockError::Invalid(expected));
    }
    Ok(())
}

fn check_ttl(ttl: Duration) -> Result<(), LockError> {
    let longest = Duration::from_secs(86_400);
    if (SHORTEST_TTL..=longest).contains(&ttl) {
        return Ok(());
    }
    Err(LockError::Invalid(format!("expected a ttl from 100 ms to 1 day, not {} ms", ttl.as_millis())))
}
