//! Locks for threads that may block.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Error};

/// One lock, to be taken by one owner; see [`crate::Lock`].
#[derive(Clone)]
pub struct Lock {
    pub(super) inner: crate::Lock,
    pub(super) engine: Arc<Engine>,
}

impl Lock {
    /// How long the lock is held without a word from its holder.
    ///
    /// # Errors
    /// Where it is shorter than 100 ms or longer than a day.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self, Error> {
        self.inner = self.inner.ttl(ttl)?;
        Ok(self)
    }

    /// An owner by name; nobody else may use it.
    ///
    /// # Errors
    /// Where it is empty, longer than 200 bytes, or has control characters.
    pub fn owner(mut self, owner: &str) -> Result<Self, Error> {
        self.inner = self.inner.owner(owner)?;
        Ok(self)
    }

    /// Takes the lock if nobody else holds it; `None` where somebody does.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime.
    pub fn try_acquire(&self) -> Result<Option<Lease>, Error> {
        self.acquire(Duration::ZERO)
    }

    /// Waits for the lock for at most `timeout`; `None` where somebody else held it all the time.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime.
    pub fn acquire(&self, timeout: Duration) -> Result<Option<Lease>, Error> {
        let lease = self.engine.wait(self.inner.acquire(timeout))??;
        Ok(lease.map(|inner| Lease { inner: Some(inner), engine: Arc::clone(&self.engine) }))
    }
}

/// A lock that this process holds, extended while it does; see [`crate::Lease`].
#[must_use = "a lease that is dropped gives its lock back"]
pub struct Lease {
    /// There until it is given back.
    inner: Option<crate::Lease>,
    engine: Arc<Engine>,
}

impl Lease {
    /// Greater than that of every grant before; 0 only while it is being given back.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.inner.as_ref().map_or(0, crate::Lease::fencing_token)
    }

    /// Whether nobody else can hold the lock now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.inner.as_ref().is_some_and(crate::Lease::is_held)
    }

    /// Gives the lock back and says whether it was held until then.
    ///
    /// # Errors
    /// Where Redis is away, or inside an async runtime; the lock ends by itself then.
    pub fn release(mut self) -> Result<bool, Error> {
        match self.inner.take() {
            Some(inner) => Ok(self.engine.wait(inner.release())??),
            None => Ok(false),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        // Where this thread may wait it does, so that the end of a program does not leave the lock behind.
        let _ = self.engine.wait(inner.release());
    }
}
