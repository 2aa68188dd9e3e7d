//! Locks: one holder at a time, for a time, extended while the holder runs.

mod handle;
mod lease;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::store::{Claim, Grant, Held, LockInfo, LockStore};
use tidegate_core::{Clock, StoreError};
use tokio::sync::Mutex as Line;
use tokio::time::{Instant, timeout_at};

pub use handle::Lock;
pub use lease::Lease;
pub(crate) use memory::MemoryLocks;

/// The shortest ttl: a third of it is to be longer than a round trip.
const SHORTEST_TTL: Duration = Duration::from_millis(100);

/// The longest ttl: what a killed process held has to end some day.
const LONGEST_TTL: Duration = Duration::from_secs(86_400);

/// Nobody waits longer: for ever, and yet a moment that a clock can tell.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 86_400);

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
        Ok(Lock::new(self.clone(), name))
    }

    /// Takes a lock for an owner in another process, who extends it and gives it back by itself.
    ///
    /// `id` tells the request from others of the same owner, so that one that is sent again counts once. An owner that
    /// goes away just when it is granted the lock holds it until the ttl has passed.
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
        Ok(self.contend(claim.name, claim.owner, timeout, || self.0.store.acquire(claim, ttl)).await?)
    }

    /// Lets a lock of an owner in another process end no sooner than `ttl` from now; false where it is held no longer.
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
        owner: &str,
        timeout: Duration,
        ask: impl Fn() -> F,
    ) -> Result<Result<T, Held>, StoreError>
    where
        F: Future<Output = Result<Result<T, Held>, StoreError>>,
    {
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        let line = self.line(name);
        let first = match line.try_lock() {
            Ok(first) => Some(first),
            // Those in the line wait for this very owner: behind them it would wait for itself.
            Err(_) if self.is_holder(name, owner).await => None,
            Err(_) => timeout_at(deadline, line.lock()).await.ok(),
        };
        if first.is_none() {
            // It holds the lock already, or its time is over; either way the store is asked once.
            return ask().await;
        }
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

    /// Whether this owner holds the lock; where that cannot be said it lines up as others do.
    async fn is_holder(&self, name: &str, owner: &str) -> bool {
        matches!(self.0.store.holder(name).await, Ok(Some(held)) if held.owner == owner)
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
    if (SHORTEST_TTL..=LONGEST_TTL).contains(&ttl) {
        return Ok(());
    }
    Err(LockError::Invalid(format!("expected a ttl from 100 ms to 1 day, not {} ms", ttl.as_millis())))
}
