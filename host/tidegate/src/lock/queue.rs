//! Waiting for a lock: in each process one caller at a time sends requests to the store.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::store::{LockReply, LockStore};
use tidegate_core::{Clock, StoreError};
use tokio::sync::Mutex as WaitQueue;
use tokio::time::{Instant, timeout_at};

/// The maximum wait; practically unlimited, but the deadline still fits into an `Instant`.
const MAX_WAIT: Duration = Duration::from_secs(365 * 86_400);

/// The store of locks, and the callers of this process that wait for one.
pub struct LockQueues {
    pub store: Arc<dyn LockStore>,
    pub clock: Arc<dyn Clock>,
    /// The queues of the callers in this process that wait for a lock, by the name of the lock. Only the first caller
    /// in a queue sends requests to the store.
    queues: Mutex<HashMap<String, Weak<WaitQueue<()>>>>,
}

impl LockQueues {
    pub fn new(store: Arc<dyn LockStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, queues: Mutex::default() }
    }

    /// Requests the lock until it is granted or the timeout has passed. It tries again when the lock is released or
    /// expires.
    ///
    /// The deadline is in tokio's time and not in the time of the clock, because the waits that it ends are.
    pub async fn acquire<T, F>(
        &self,
        name: &str,
        owner: &str,
        timeout: Duration,
        try_acquire: impl Fn() -> F,
    ) -> Result<LockReply<T>, StoreError>
    where
        F: Future<Output = Result<LockReply<T>, StoreError>>,
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
        let mut released = self.store.released(name);
        loop {
            let held = match try_acquire().await? {
                LockReply::Held(held) if Instant::now() < deadline => held,
                reply => return Ok(reply),
            };
            let retry_at = deadline.min(Instant::now() + held.ttl);
            // A signal and a timeout both mean that the lock may be free: it was released, or it has expired.
            let _ = timeout_at(retry_at, released.changed()).await;
        }
    }

    /// Returns whether this owner holds the lock; false if the store is unavailable, so that the owner queues up.
    async fn is_holder(&self, name: &str, owner: &str) -> bool {
        matches!(self.store.holder(name).await, Ok(Some(held)) if held.owner == owner)
    }

    /// Returns this process's wait queue for a lock, and removes the queues that are no longer used.
    fn queue(&self, name: &str) -> Arc<WaitQueue<()>> {
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.get(name).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(WaitQueue::new(()));
        queues.insert(name.to_owned(), Arc::downgrade(&queue));
        queue
    }

    /// Returns whether no caller waits for any lock.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.queues.lock().values().all(|queue| queue.strong_count() == 0)
    }
}
