//! The limiter of one platform. It reserves tokens, waits for them and cancels reservations; a [`LimitStore`] holds the
//! bucket.

mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::LimitConfig;
use tidegate_core::store::{LimitStore, Signal, StoreError, StoreReservation};
use tidegate_core::{Allowed, Clock, LimitStatus, Quota, Refusal, ReservationId};
#[cfg(feature = "redis")]
use tidegate_redis::RedisLimit;
use tokio::time::Instant;

use memory::MemoryLimit;

/// The maximum wait for tokens, regardless of the timeout: a queue of minutes is effectively an outage.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// The rate limit of one platform. Clones share the same limit.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::{sync::Arc, time::Duration};
/// use tidegate::{Limiter, Quota, Rate, Refusal, SystemClock};
/// let quota = Quota::new("40/s".parse().unwrap(), 2).unwrap();
/// let limiter = Limiter::new(quota, Arc::new(SystemClock::new()));
/// assert!(limiter.check(2).await.is_ok());
/// assert!(limiter.check(2).await.unwrap_err().retry_after().is_some());
/// assert!(limiter.acquire(2, Duration::from_secs(1)).await.is_ok());
/// assert_eq!(limiter.check(3).await, Err(Refusal::Never { max_cost: 2 }));
/// # });
/// ```
#[derive(Clone)]
pub struct Limiter(LimiterStore);

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("status", &self.cached_status()).finish_non_exhaustive()
    }
}

/// Tokens that a call has taken from a limit. If the call is then not sent, [`Reservation::cancel`] returns them.
/// Dropping this value keeps them.
#[derive(Clone, Debug)]
#[must_use = "a call that is not sent should cancel its reservation"]
pub struct Reservation {
    limiter: Limiter,
    tokens: ReservedTokens,
}

/// What a store reserved.
#[derive(Clone, Copy, Debug)]
pub struct ReservedTokens {
    /// The number of whole tokens that are left.
    pub remaining: u64,
    /// `None` if Redis was unavailable and the call was allowed without its bucket.
    pub id: Option<ReservationId>,
}

impl Reservation {
    /// Returns the number of whole tokens that are left.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.tokens.remaining
    }

    /// Returns the id for [`Limiter::cancel`]; `None` if Redis was unavailable and the call was allowed without its
    /// bucket.
    #[must_use]
    pub const fn id(&self) -> Option<&ReservationId> {
        self.tokens.id.as_ref()
    }

    /// Returns the tokens to the bucket, for a call that is not sent; see [`Limiter::cancel`]. If the call was allowed
    /// without its bucket, there is nothing to return.
    ///
    /// # Errors
    /// Returns an error if the limit is shared through Redis and Redis is unavailable.
    pub async fn cancel(self) -> Result<(), StoreError> {
        match self.id() {
            Some(id) => self.limiter.cancel(id).await,
            None => Ok(()),
        }
    }
}

/// An enum instead of a trait object, so that a check in memory allocates nothing.
#[derive(Clone)]
enum LimiterStore {
    Memory(Arc<MemoryLimit>),
    #[cfg(feature = "redis")]
    Redis(Arc<RedisLimit>),
}

/// Evaluates the same expression for either store.
macro_rules! with_store {
    ($limiter:expr, $store:ident => $then:expr) => {
        match &$limiter.0 {
            LimiterStore::Memory($store) => $then,
            #[cfg(feature = "redis")]
            LimiterStore::Redis($store) => $then,
        }
    };
}

impl Limiter {
    /// Creates a limiter in memory, with a full bucket.
    #[must_use]
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        Self(LimiterStore::Memory(Arc::new(MemoryLimit::new(quota, clock))))
    }

    /// Creates a limiter whose bucket is in Redis.
    #[cfg(feature = "redis")]
    pub(crate) fn shared(limit: RedisLimit) -> Self {
        Self(LimiterStore::Redis(Arc::new(limit)))
    }

    /// Takes `cost` tokens if they are available now.
    ///
    /// # Errors
    /// Returns the refusal if they are not. A refusal takes nothing.
    pub async fn check(&self, cost: u64) -> Result<Allowed, Refusal> {
        with_store!(self, store => {
            let reserved = store.reserve(cost, Duration::ZERO).await?;
            Ok(Allowed::new(reserved.remaining))
        })
    }

    /// Waits for `cost` tokens, at most for `timeout` and never longer than 30 s. Calls are served in order of arrival.
    ///
    /// Dropping the future cancels the wait, and the calls behind it move up.
    ///
    /// # Errors
    /// Returns the refusal at once if the tokens will not be available in time. A refusal takes nothing.
    pub async fn acquire(&self, cost: u64, timeout: Duration) -> Result<Allowed, Refusal> {
        self.reserve_tokens(cost, timeout).await.map(|tokens| Allowed::new(tokens.remaining))
    }

    /// Waits as [`Limiter::acquire`] does and returns a reservation. If the call is then not sent, the caller can
    /// cancel the reservation.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use std::time::Duration;
    /// let config = tidegate::Config::with_platforms();
    /// let host = tidegate::Host::builder().config(config).build().unwrap();
    /// let limiter = host.limiter("amazon").unwrap();
    /// let reservation = limiter.reserve(30, Duration::ZERO).await.unwrap();
    /// assert!(limiter.check(1).await.is_err());
    /// reservation.cancel().await.unwrap();
    /// assert!(limiter.check(29).await.is_ok());
    /// # });
    /// ```
    ///
    /// # Errors
    /// Returns the refusal if the tokens will not be available in time. A refusal takes nothing.
    pub async fn reserve(&self, cost: u64, timeout: Duration) -> Result<Reservation, Refusal> {
        let tokens = self.reserve_tokens(cost, timeout).await?;
        Ok(Reservation { limiter: self.clone(), tokens })
    }

    pub(crate) async fn reserve_tokens(&self, cost: u64, timeout: Duration) -> Result<ReservedTokens, Refusal> {
        with_store!(self, store => reserve_and_wait(&**store, cost, timeout.min(MAX_WAIT)).await)
    }

    /// Cancels a reservation whose call is not sent and returns its cost to the bucket. A repeated cancellation has no
    /// effect. Use it for an id that comes back from another process; in the same process, [`Reservation::cancel`] is
    /// shorter.
    ///
    /// Tokens that would have overflowed the bucket in the meantime are not returned, so the limit on calls that are
    /// sent still holds.
    ///
    /// # Errors
    /// Returns an error if the limit is shared through Redis and Redis is unavailable.
    pub async fn cancel(&self, id: &ReservationId) -> Result<(), StoreError> {
        with_store!(self, store => store.cancel(id).await)
    }

    /// Returns the quota that this process received last, without a request to the store.
    #[must_use]
    pub fn quota(&self) -> Quota {
        with_store!(self, store => store.quota())
    }

    /// Returns the state that this process received last, without a request to the store.
    #[must_use]
    pub fn cached_status(&self) -> LimitStatus {
        with_store!(self, store => store.cached_status())
    }

    /// Returns the current state of the limit.
    ///
    /// # Errors
    /// Returns an error if the limit is shared through Redis and Redis is unavailable.
    pub async fn status(&self) -> Result<LimitStatus, StoreError> {
        with_store!(self, store => store.status().await)
    }

    /// Refills the bucket to the full burst. Waiting calls get their tokens first.
    ///
    /// # Errors
    /// Returns an error if the limit is shared through Redis and Redis is unavailable.
    pub async fn reset(&self) -> Result<(), StoreError> {
        with_store!(self, store => store.reset().await)
    }

    /// Changes the rate and the burst for all processes that share the limit. The tokens in the bucket are kept, and
    /// waiting calls are rescheduled at once.
    ///
    /// # Errors
    /// Returns an error if the limit is shared through Redis and Redis is unavailable.
    pub async fn update(&self, quota: Quota) -> Result<(), StoreError> {
        with_store!(self, store => store.update(quota).await)
    }

    /// Applies the configuration of the limit, without waiting for the store.
    pub(crate) fn configure(&self, config: LimitConfig) {
        with_store!(self, store => store.configure(config.quota, config.on_redis_failure));
    }
}

/// Reserves tokens and sleeps until they are available. A change that may reschedule the call wakes it to check its
/// wait again.
async fn reserve_and_wait<S: LimitStore>(store: &S, cost: u64, timeout: Duration) -> Result<ReservedTokens, Refusal> {
    let mut changes = store.changed();
    let StoreReservation { ticket, mut wait, remaining, id, .. } = store.reserve(cost, timeout).await?;
    // The deadline is counted from the reply. The store counted the timeout from the request, which is earlier; a
    // deadline that early could refuse a call that the store accepted. It is in tokio's time because the sleep below
    // is; the store counts tokens in the time of the host's clock.
    let deadline = Instant::now() + timeout;
    let mut queued = QueuedCall { store, ticket: Some(ticket) };
    while !wait.is_zero() {
        if Instant::now() + wait > deadline {
            // The rate was lowered in the meantime. Dropping `queued` cancels the wait.
            return Err(Refusal::Limited { retry_after: wait });
        }
        tokio::select! {
            biased;
            () = changes.changed() => wait = queued.remaining_wait().await,
            () = tokio::time::sleep(wait) => break,
        }
    }
    queued.ticket = None;
    Ok(ReservedTokens { remaining, id })
}

/// A call that waits for its tokens; dropping it cancels the wait.
struct QueuedCall<'a, S: LimitStore> {
    store: &'a S,
    ticket: Option<S::Ticket>,
}

impl<S: LimitStore> QueuedCall<'_, S> {
    async fn remaining_wait(&self) -> Duration {
        match &self.ticket {
            Some(ticket) => self.store.remaining_wait(ticket).await,
            None => Duration::ZERO,
        }
    }
}

impl<S: LimitStore> Drop for QueuedCall<'_, S> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.store.cancel_wait(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    fn quota(rate: &str, burst: u64) -> Quota {
        Quota::new(rate.parse().unwrap(), burst).unwrap()
    }

    fn limiter(rate: &str, burst: u64) -> Limiter {
        Limiter::new(quota(rate, burst), Arc::new(SystemClock::new()))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn waiting_calls_are_served_in_order_at_the_rate() {
        let (limiter, start) = (limiter("10/s", 1), Instant::now());
        let waits = (0..5).map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { (limiter.acquire(1, SECOND).await.is_ok(), start.elapsed().as_millis()) })
        });
        let waits: Vec<_> = waits.collect();
        for (position, wait) in waits.into_iter().enumerate() {
            let (allowed, at) = wait.await.unwrap();
            assert!(allowed);
            assert!(
                (position as u128 * 100..=position as u128 * 100 + 2).contains(&at),
                "position {position} was served at {at} ms"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_cannot_be_served_in_time_is_refused_at_once() {
        let (limiter, start) = (limiter("1/s", 1), Instant::now());
        assert!(limiter.acquire(1, SECOND).await.is_ok());
        let refusal = limiter.acquire(1, SECOND / 2).await;
        assert_eq!(refusal, Err(Refusal::Limited { retry_after: SECOND }));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_wait_returns_its_tokens() {
        let limiter = limiter("1/s", 1);
        assert!(limiter.check(1).await.is_ok());
        let result = tokio::time::timeout(SECOND / 10, limiter.acquire(1, SECOND * 5)).await;
        assert!(result.is_err());
        assert_eq!(limiter.cached_status().available, 0);
        assert!(limiter.acquire(1, SECOND).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_behind_a_cancelled_wait_are_served_earlier() {
        let (limiter, start) = (limiter("1/s", 1), Instant::now());
        assert!(limiter.check(1).await.is_ok());
        let wait = |limiter: &Limiter| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.acquire(1, SECOND * 9).await })
        };
        let (first, second) = (wait(&limiter), wait(&limiter));
        tokio::task::yield_now().await;
        first.abort();
        assert!(second.await.unwrap().is_ok());
        assert!(start.elapsed() < SECOND * 3 / 2, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_reschedules_waiting_calls_in_both_directions() {
        let (limiter, start) = (limiter("1/s", 1), Instant::now());
        assert!(limiter.check(1).await.is_ok());
        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire(1, SECOND * 20).await }
        });
        tokio::task::yield_now().await;
        limiter.update(quota("10/s", 1)).await.unwrap();
        assert!(waiting.await.unwrap().is_ok());
        assert!(start.elapsed() < SECOND / 5, "{:?}", start.elapsed());

        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire(1, SECOND).await }
        });
        tokio::task::yield_now().await;
        limiter.update(quota("1/m", 1)).await.unwrap();
        assert!(matches!(waiting.await.unwrap(), Err(Refusal::Limited { .. })));
        assert!(start.elapsed() < SECOND / 2, "it is refused at once");
    }
}
