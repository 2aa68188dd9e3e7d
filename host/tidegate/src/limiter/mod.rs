//! The limiter of one platform: asks, waits, gives back; where the bucket lives is its store's business.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::LimitConfig;
use tidegate_core::store::{LimitStatus, LimitStore, Reserved, Signal, StoreError};
use tidegate_core::{Clock, Decision, Quota, Receipt};
#[cfg(feature = "redis")]
use tidegate_redis::RedisLimit;
use tokio::time::Instant;

use memory::MemoryLimit;

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
/// assert!(limiter.check(2).await.is_allowed());
/// assert!(matches!(limiter.check(2).await, Decision::Limited { .. }));
/// assert!(limiter.acquire(2, Duration::from_secs(1)).await.is_allowed());
/// assert_eq!(limiter.check(3).await, Decision::Never { max: 2 });
/// # });
/// ```
#[derive(Clone)]
pub struct Limiter(Store);

/// Tokens that a call took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whole tokens left after it.
    pub remaining: u64,
    /// With it a call that is never sent gives its cost back; there is none for what was let go while Redis was away.
    pub receipt: Option<Receipt>,
}

/// Chosen by an enum, not by a pointer: a check in memory allocates nothing.
#[derive(Clone)]
enum Store {
    Memory(Arc<MemoryLimit>),
    #[cfg(feature = "redis")]
    Redis(Arc<RedisLimit>),
}

/// The same for either store.
macro_rules! either {
    ($limiter:expr, $store:ident => $then:expr) => {
        match &$limiter.0 {
            Store::Memory($store) => $then,
            #[cfg(feature = "redis")]
            Store::Redis($store) => $then,
        }
    };
}

impl Limiter {
    /// A limiter in memory, with its whole burst.
    #[must_use]
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        Self(Store::Memory(Arc::new(MemoryLimit::new(quota, clock))))
    }

    /// A limiter whose bucket is in Redis.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn shared(limit: Arc<RedisLimit>) -> Self {
        Self(Store::Redis(limit))
    }

    /// Takes `cost` tokens if they are there now; a refusal takes nothing.
    pub async fn check(&self, cost: u64) -> Decision {
        either!(self, store => match store.reserve(cost, Duration::ZERO).await {
            Ok(reserved) => Decision::Allowed { remaining: reserved.remaining },
            Err(refusal) => refusal,
        })
    }

    /// Waits for `cost` tokens for at most `timeout` (and 30 s), in order of arrival.
    ///
    /// The slot is reserved at once and slept for once; where it would come too late nothing is taken and the answer
    /// comes without waiting. Dropping the future gives the slot back, and those behind move up.
    pub async fn acquire(&self, cost: u64, timeout: Duration) -> Decision {
        match self.take(cost, timeout).await {
            Ok(taken) => Decision::Allowed { remaining: taken.remaining },
            Err(refusal) => refusal,
        }
    }

    /// Waits as [`Limiter::acquire`] does and gives a receipt, with which a call that is never sent gives its cost back.
    ///
    /// # Errors
    /// The refusal, where the tokens will not be there in time; nothing is taken then.
    pub async fn take(&self, cost: u64, timeout: Duration) -> Result<Taken, Decision> {
        either!(self, store => wait(&**store, cost, timeout.min(HORIZON)).await)
    }

    /// Gives back what a call took that was never sent, so that others may have it; each receipt counts once.
    ///
    /// What would have flowed over meanwhile does not come back, so the bound on calls that are sent holds all the same.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use std::time::Duration;
    /// let host = tidegate::Host::builder().build().unwrap();
    /// let limiter = host.limiter("amazon").unwrap();
    /// let taken = limiter.take(30, Duration::ZERO).await.unwrap();
    /// assert!(!limiter.check(1).await.is_allowed());
    /// limiter.give_back(&taken.receipt.unwrap()).await.unwrap();
    /// assert!(limiter.check(29).await.is_allowed());
    /// # });
    /// ```
    ///
    /// # Errors
    /// Where the bucket is shared and its store is away.
    pub async fn give_back(&self, receipt: &Receipt) -> Result<(), StoreError> {
        either!(self, store => store.give_back(receipt).await)
    }

    /// The quota in force, as far as this process has heard.
    #[must_use]
    pub fn quota(&self) -> Quota {
        either!(self, store => store.quota())
    }

    /// The state as this process last heard of it, without asking.
    #[must_use]
    pub fn seen(&self) -> LimitStatus {
        either!(self, store => store.seen())
    }

    /// The state of the limit.
    ///
    /// # Errors
    /// Where the bucket is shared and its store is away.
    pub async fn status(&self) -> Result<LimitStatus, StoreError> {
        either!(self, store => store.status().await)
    }

    /// Grants the whole burst anew; calls that wait are served from it first.
    ///
    /// # Errors
    /// Where the bucket is shared and its store is away.
    pub async fn reset(&self) -> Result<(), StoreError> {
        either!(self, store => store.reset().await)
    }

    /// Changes rate and burst for all who share the limit; the level is kept, and calls that wait learn of it at once.
    ///
    /// # Errors
    /// Where the bucket is shared and its store is away.
    pub async fn update(&self, quota: Quota) -> Result<(), StoreError> {
        either!(self, store => store.update(quota).await)
    }

    /// Takes over what a configuration says, without waiting for the store.
    pub(crate) fn configure(&self, config: LimitConfig) {
        either!(self, store => store.configure(config.quota, config.on_redis_failure));
    }
}

/// Reserves a slot and sleeps until it comes; whatever may move it wakes the sleeper to look again.
async fn wait<S: LimitStore>(store: &S, cost: u64, within: Duration) -> Result<Taken, Decision> {
    let mut moved = store.moved();
    let Reserved { ticket, mut wait, remaining, receipt } = store.reserve(cost, within).await?;
    // Counted from the answer on: the store counted `within` from when it was asked.
    let deadline = Instant::now() + within;
    let mut slot = Slot { store, ticket: Some(ticket) };
    while !wait.is_zero() {
        if Instant::now() + wait > deadline {
            // Only an update to a slower rate brings this about; dropping the slot gives it back.
            return Err(Decision::Limited { retry_after: wait });
        }
        tokio::select! {
            biased;
            () = moved.changed() => wait = slot.look().await,
            () = tokio::time::sleep(wait) => break,
        }
    }
    slot.ticket = None;
    Ok(Taken { remaining, receipt })
}

/// A reserved slot; dropped before its time, it goes back.
struct Slot<'a, S: LimitStore> {
    store: &'a S,
    ticket: Option<S::Ticket>,
}

impl<S: LimitStore> Slot<'_, S> {
    async fn look(&self) -> Duration {
        match &self.ticket {
            Some(ticket) => self.store.look(ticket).await,
            None => Duration::ZERO,
        }
    }
}

impl<S: LimitStore> Drop for Slot<'_, S> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.store.cancel(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;
    use tidegate_core::Rate;

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
        assert!(limiter.check(1).await.is_allowed());
        let gone = tokio::time::timeout(SECOND / 10, limiter.acquire(1, SECOND * 5)).await;
        assert!(gone.is_err());
        assert_eq!(limiter.seen().available, 0);
        assert!(limiter.acquire(1, SECOND).await.is_allowed());
    }

    #[tokio::test(start_paused = true)]
    async fn those_behind_one_who_leaves_are_woken_earlier() {
        let (limiter, start) = (limiter("1/s", 1), Instant::now());
        assert!(limiter.check(1).await.is_allowed());
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
        assert!(limiter.check(1).await.is_allowed());
        let sleeper = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire(1, SECOND * 20).await }
        });
        tokio::task::yield_now().await;
        limiter.update(quota("10/s", 1)).await.unwrap();
        assert!(sleeper.await.unwrap().is_allowed());
        assert!(start.elapsed() < SECOND / 5, "{:?}", start.elapsed());

        let sleeper = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire(1, SECOND).await }
        });
        tokio::task::yield_now().await;
        limiter.update(quota("1/m", 1)).await.unwrap();
        assert!(matches!(sleeper.await.unwrap(), Decision::Limited { .. }));
        assert!(start.elapsed() < SECOND / 2, "it was told at once");
    }
}
