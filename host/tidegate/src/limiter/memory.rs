//! One platform's bucket in the memory of this process.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::millis;
use tidegate_core::store::{LimitStatus, LimitStore, OnFailure, Reserved, Signal, StoreError};
use tidegate_core::{Bucket, Clock, Decision, Quota, Receipt, Ticket, Timestamp};
use tokio::sync::watch;

/// A bucket that no other process knows of.
pub struct MemoryLimit {
    bucket: Mutex<Bucket>,
    /// Counts what may bring slots forward or back, so that those who sleep look again.
    epoch: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    /// Tells this bucket's receipts from those of an earlier process.
    origin: u64,
}

/// Ends when the epoch has changed.
pub struct Moved(watch::Receiver<u64>);

impl Signal for Moved {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // An error says that the bucket is gone, which is a change as well.
            let _ = self.0.changed().await;
        })
    }
}

impl MemoryLimit {
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        let bucket = Mutex::new(Bucket::full(quota, clock.now()));
        Self { bucket, epoch: watch::Sender::new(0), clock, origin: rand::random() }
    }

    fn wake(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// The clock is read under the lock: read before it, a thread that was held up would bring an old time.
    fn with<T>(&self, f: impl FnOnce(&mut Bucket, Timestamp) -> T) -> T {
        let mut bucket = self.bucket.lock();
        let now = self.clock.now();
        f(&mut bucket, now)
    }
}

impl LimitStore for MemoryLimit {
    type Ticket = Ticket;
    type Moved = Moved;

    async fn reserve(&self, cost: u64, within: Duration) -> Result<Reserved<Ticket>, Decision> {
        self.with(|bucket, now| {
            let ticket = bucket.reserve(cost, within, now)?;
            let (wait, level) = (bucket.wait(&ticket, now), bucket.level(now));
            let receipt = Some(Receipt { origin: self.origin, ..bucket.receipt(cost) });
            Ok(Reserved { ticket, wait, remaining: u64::try_from(level).unwrap_or(0), receipt })
        })
    }

    async fn look(&self, ticket: &Ticket) -> Duration {
        self.with(|bucket, now| bucket.wait(ticket, now))
    }

    fn cancel(&self, ticket: Ticket) {
        if self.with(|bucket, now| bucket.cancel(&ticket, now)) {
            self.wake();
        }
    }

    async fn give_back(&self, receipt: &Receipt) -> Result<(), StoreError> {
        // Another process's bucket ended with it.
        if receipt.origin == self.origin && self.with(|bucket, now| bucket.give_back(receipt, now)) {
            self.wake();
        }
        Ok(())
    }

    fn moved(&self) -> Moved {
        Moved(self.epoch.subscribe())
    }

    fn quota(&self) -> Quota {
        self.bucket.lock().quota()
    }

    fn seen(&self) -> LimitStatus {
        self.with(|bucket, now| LimitStatus {
            rate: bucket.quota().rate().to_string(),
            burst: bucket.quota().burst(),
            available: bucket.level(now),
            full_in_ms: millis(bucket.time_to_full(now)),
        })
    }

    async fn status(&self) -> Result<LimitStatus, StoreError> {
        Ok(self.seen())
    }

    async fn update(&self, quota: Quota) -> Result<(), StoreError> {
        self.configure(quota, OnFailure::default());
        Ok(())
    }

    /// Memory is never away.
    fn configure(&self, quota: Quota, _: OnFailure) {
        self.with(|bucket, now| bucket.update(quota, now));
        self.wake();
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.with(Bucket::reset);
        self.wake();
        Ok(())
    }
}
