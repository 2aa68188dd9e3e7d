//! The bucket of one platform in the memory of this process.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::store::{LimitStore, OnRedisFailure, ReservationParts, Signal, StoreError, StoreReservation};
use tidegate_core::{Bucket, Clock, LimitStatus, Quota, Refusal, ReservationId, Ticket, Timestamp};
use tokio::sync::watch;

/// A [`LimitStore`] in memory; its bucket is not shared with other processes.
pub struct MemoryLimit {
    bucket: Mutex<Bucket>,
    /// The number of changes that may have rescheduled queued calls. A change of this number wakes the calls.
    epoch: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    /// Distinguishes the reservation ids of this bucket from those of an earlier process.
    process_id: u64,
}

/// A [`Signal`] that fires when the epoch changes.
pub struct EpochChanged(watch::Receiver<u64>);

impl Signal for EpochChanged {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // An error means that the bucket was dropped, which counts as a change.
            let _ = self.0.changed().await;
        })
    }
}

impl MemoryLimit {
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        let bucket = Mutex::new(Bucket::full(quota, clock.now()));
        Self { bucket, epoch: watch::Sender::new(0), clock, process_id: rand::random() }
    }

    fn wake(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Calls `f` with the bucket and the current time. The clock is read while the bucket is locked, because an earlier
    /// time could be older than the bucket's last update.
    fn with<T>(&self, f: impl FnOnce(&mut Bucket, Timestamp) -> T) -> T {
        let mut bucket = self.bucket.lock();
        let now = self.clock.now();
        f(&mut bucket, now)
    }
}

impl LimitStore for MemoryLimit {
    type Ticket = Ticket;
    type Changed = EpochChanged;

    async fn reserve(&self, cost: u64, within: Duration) -> Result<StoreReservation<Ticket>, Refusal> {
        self.with(|bucket, now| {
            let reserved = bucket.reserve(cost, within, now)?;
            let parts = ReservationParts { process_id: self.process_id, ..*reserved.id.parts() };
            let id = ReservationId::from_parts(parts);
            Ok(StoreReservation::new(reserved.ticket, reserved.wait, reserved.remaining).with_id(id))
        })
    }

    async fn remaining_wait(&self, ticket: &Ticket) -> Duration {
        self.with(|bucket, now| bucket.remaining_wait(ticket, now))
    }

    fn cancel_wait(&self, ticket: Ticket) {
        if self.with(|bucket, now| bucket.cancel_wait(&ticket, now)) {
            self.wake();
        }
    }

    async fn cancel(&self, id: &ReservationId) -> Result<(), StoreError> {
        // The bucket of an earlier process no longer exists.
        if id.parts().process_id == self.process_id && self.with(|bucket, now| bucket.cancel(id, now)) {
            self.wake();
        }
        Ok(())
    }

    fn changed(&self) -> EpochChanged {
        EpochChanged(self.epoch.subscribe())
    }

    fn quota(&self) -> Quota {
        self.bucket.lock().quota()
    }

    fn cached_status(&self) -> LimitStatus {
        self.with(|bucket, now| LimitStatus::new(bucket.quota(), bucket.level(now), bucket.time_to_full(now)))
    }

    async fn status(&self) -> Result<LimitStatus, StoreError> {
        Ok(self.cached_status())
    }

    async fn update(&self, quota: Quota) -> Result<(), StoreError> {
        self.configure(quota, OnRedisFailure::default());
        Ok(())
    }

    /// Memory is always available, so the failure mode is not used.
    fn configure(&self, quota: Quota, _: OnRedisFailure) {
        self.with(|bucket, now| bucket.update(quota, now));
        self.wake();
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.with(Bucket::reset);
        self.wake();
        Ok(())
    }
}
