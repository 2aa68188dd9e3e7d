//! The limiter of one platform, in memory.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::clock::millis;
use tidegate_core::{Bucket, Clock, Decision, Quota, Ticket, Timestamp};
use tokio::sync::watch;

/// Nobody waits longer for a slot, whatever the timeout: a queue of minutes is an outage in disguise.
pub const HORIZON: Duration = Duration::from_secs(30);

/// One platform's limit; clones share it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::{sync::Arc, time::Duration};
/// use tidegate::{Decision, Limiter, Quota, Rate, SystemClock};
/// let quota = Quota::new(Rate::parse("40/s").unwrap(), 2).unwrap();
/// let limiter = Limiter::new(quota, Arc::new(SystemClock::start()));
/// assert!(limiter.check(2).is_allowed());
/// assert!(matches!(limiter.check(2), Decision::Limited { .. }));
/// assert!(limiter.acquire(2, Duration::from_secs(1)).await.is_allowed());
/// assert_eq!(limiter.check(3), Decision::Never { max: 2 });
/// # });
/// ```
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    bucket: Mutex<Bucket>,
    /// Counts what may bring slots forward or back, so that those who sleep look again.
    epoch: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

/// The state of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitStatus {
    /// The rate, such as `40/s`.
    pub rate: String,
    /// The burst.
    pub burst: u64,
    /// Whole tokens there now; negative where calls wait for them.
    pub available: i64,
    /// Milliseconds until the burst is whole again.
    pub full_in_ms: u64,
}

impl Limiter {
    /// A limiter with its whole burst.
    #[must_use]
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        let bucket = Mutex::new(Bucket::full(quota, clock.now()));
        Self(Arc::new(Inner { bucket, epoch: watch::Sender::new(0), clock }))
    }

    /// Takes `cost` tokens if they are there now; a refusal takes nothing.
    #[must_use]
    pub fn check(&self, cost: u64) -> Decision {
        self.with(|bucket, now| bucket.check(cost, now))
    }

    /// Waits for `cost` tokens for at most `timeout` (and 30 s), in order of arrival.
    ///
    /// The slot is reserved at once and slept for once; where it would come too late nothing is taken and the answer
    /// comes without waiting. Dropping the future gives the slot back, and those behind move up.
    pub async fn acquire(&self, cost: u64, timeout: Duration) -> Decision {
        let within = timeout.min(HORIZON);
        let mut epoch = self.0.epoch.subscribe();
        let (reserved, deadline) = self.with(|bucket, now| (bucket.reserve(cost, within, now), now + within));
        let mut slot = match reserved {
            Ok(ticket) => Slot { limiter: self, ticket: Some(ticket) },
            Err(refusal) => return refusal,
        };
        loop {
            let (wait, now) = slot.wait();
            if wait.is_zero() {
                return slot.take();
            }
            if now + wait > deadline {
                // Only an update to a slower rate brings this about; dropping the slot gives it back.
                return Decision::Limited { retry_after: wait };
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // The sender lives in `self`, so this ends only with a change.
                _ = epoch.changed() => {}
            }
        }
    }

    /// The quota in force.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.0.bucket.lock().quota()
    }

    /// The state of the limit.
    #[must_use]
    pub fn status(&self) -> LimitStatus {
        self.with(|bucket, now| LimitStatus {
            rate: bucket.quota().rate().to_string(),
            burst: bucket.quota().burst(),
            available: bucket.level(now),
            full_in_ms: millis(bucket.time_to_full(now)),
        })
    }

    /// Grants the whole burst anew; calls that wait are served from it first.
    pub fn reset(&self) {
        self.with(Bucket::reset);
        self.wake();
    }

    /// Changes rate and burst; the level is kept, and calls that wait learn of it at once.
    pub fn update(&self, quota: Quota) {
        self.with(|bucket, now| bucket.update(quota, now));
        self.wake();
    }

    fn wake(&self) {
        self.0.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// The clock is read under the lock: read before it, a thread that was held up would bring an old time.
    fn with<T>(&self, f: impl FnOnce(&mut Bucket, Timestamp) -> T) -> T {
        let mut bucket = self.0.bucket.lock();
        let now = self.0.clock.now();
        f(&mut bucket, now)
    }
}

/// A reserved slot; dropped before its time, it goes back.
struct Slot<'a> {
    limiter: &'a Limiter,
    ticket: Option<Ticket>,
}

impl Slot<'_> {
    fn wait(&self) -> (Duration, Timestamp) {
        let ticket = self.ticket.as_ref();
        self.limiter.with(|bucket, now| (ticket.map_or(Duration::ZERO, |ticket| bucket.wait(ticket, now)), now))
    }

    fn take(&mut self) -> Decision {
        self.ticket = None;
        let available = self.limiter.with(|bucket, now| bucket.level(now));
        Decision::Allowed { remaining: u64::try_from(available).unwrap_or(0) }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        if self.limiter.with(|bucket, now| bucket.cancel(&ticket, now)) {
            self.limiter.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;
    use tidegate_core::Rate;
    use tokio::time::Instant;

    fn quota(rate: &str, burst: u64) -> Quota {
        Quota::new(Rate::parse(rate).unwrap(), burst).unwrap()
    }

    fn limiter(rate: &str, burst: u64) -> Limiter {
        Limiter::new(quota(rate, burst), Arc::new(SystemClock::start()))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_served_in_order_at_the_rate() {
        let (limiter, start) = (limiter("10/s", 1), Instant::now());
        let waits = (0..5).map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { (limiter.acquire(1, SECOND).await.is_allowed(), start.elapsed().as_millis()) })
        });
        let waits: Vec<_> = waits.collect();
        for (place, wait) in waits.into_iter().enumerate() {
            let (allowed, at) = wait.await.unwrap();
            assert!(allowed);
            assert!(
                (place as u128 * 100..=place as u128 * 100 + 2).contains(&at),
                "place {place} was served at {at} ms"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_served_in_time_is_told_at_once() {
        let (limiter, start) = (limiter("1/s", 1), Instant::now());
        assert!(limiter.acquire(1, SECOND).await.is_allowed());
        let refusal = limiter.acquire(1, SECOND / 2).await;
        assert_eq!(refusal, Decision::Limited { retry_after: SECOND });
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_gives_its_slot_back() {
        let limiter = limiter("1/s", 1);
        assert!(limiter.check(1).is_allowed());
        let gone = tokio::time::timeout(SECOND / 10, limiter.acquire(1, SECOND * 5)).await;
        assert!(gone.is_err());
        assert_eq!(limiter.status().available, 0);
        assert!(limiter.acquire(1, SECOND).await.is_allowed());
    }

    #[tokio::test(start_paused = true)]
    async fn those_behind_one_who_leaves_are_woken_earlier() {
        let (limiter, start) = (limiter("1/s", 1), Instant::now());
        assert!(limiter.check(1).is_allowed());
        let wait = |limiter: &Limiter| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.acquire(1, SECOND * 9).await })
        };
        let (first, second) = (wait(&limiter), wait(&limiter));
        tokio::task::yield_now().await;
        first.abort();
        assert!(second.await.unwrap().is_allowed());
        assert!(start.elapsed() < SECOND * 3 / 2, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_moves_those_who_sleep_both_ways() {
        let (limiter, start) = (limiter("1/s", 1), Instant::now());
        assert!(limiter.check(1).is_allowed());
        let sleeper = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire(1, SECOND * 20).await }
        });
        tokio::task::yield_now().await;
        limiter.update(quota("10/s", 1));
        assert!(sleeper.await.unwrap().is_allowed());
        assert!(start.elapsed() < SECOND / 5, "{:?}", start.elapsed());

        let sleeper = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire(1, SECOND).await }
        });
        tokio::task::yield_now().await;
        limiter.update(quota("1/m", 1));
        assert!(matches!(sleeper.await.unwrap(), Decision::Limited { .. }));
        assert!(start.elapsed() < SECOND / 2, "it was told at once");
    }
}
