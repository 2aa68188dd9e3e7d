//! The limits that apply to one call: the platform's own, and additional ones. A call takes its cost from all or from
//! none of them.

use std::time::Duration;

use tidegate_core::{Allowed, Refusal, ReservationId};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::limiter::{Limiter, MAX_WAIT, ReservedTokens};

/// The limits of one call, in the order in which they are asked. The platform's own limit comes first.
#[derive(Clone, Debug)]
pub struct LimitSet {
    limits: Vec<NamedLimit>,
}

#[derive(Clone, Debug)]
struct NamedLimit {
    name: String,
    limiter: Limiter,
}

/// A call that one of its limits refused. The refusal took nothing from any limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit {limit:?} refused the call")]
#[non_exhaustive]
pub struct LimitRefused {
    /// The name of the first limit that refused.
    pub limit: String,
    /// The refusal of this limit.
    #[source]
    pub refusal: Refusal,
}

/// The tokens that a call has taken from its limits. If the call is then not sent, [`Reservations::cancel`] returns
/// them. Dropping this value keeps them.
#[derive(Clone, Debug)]
#[must_use = "a call that is not sent should cancel its reservations"]
pub struct Reservations {
    remaining: u64,
    reserved: Vec<(NamedLimit, ReservationId)>,
}

impl Reservations {
    /// Returns the smallest number of whole tokens that are left in one of the limits.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns the names of the limits with the ids of their reservations. It omits a limit that allowed the call
    /// without its bucket because Redis was unavailable.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &ReservationId)> {
        self.reserved.iter().map(|(limit, id)| (limit.name.as_str(), id))
    }

    /// Returns the tokens to the limits; for a call that is not sent.
    ///
    /// A reservation whose limit is in Redis is not cancelled if Redis is unavailable; this is logged.
    pub async fn cancel(self) {
        for (limit, id) in &self.reserved {
            limit.cancel(id).await;
        }
    }
}

impl NamedLimit {
    async fn cancel(&self, id: &ReservationId) {
        if let Err(error) = self.limiter.cancel(id).await {
            tracing::warn!(limit = self.name, %error, "reservation not cancelled");
        }
    }
}

impl LimitSet {
    pub fn new(platform: &str, limiter: Limiter) -> Self {
        Self { limits: vec![NamedLimit { name: platform.to_owned(), limiter }] }
    }

    pub fn add(&mut self, name: &str, limiter: Limiter) {
        self.limits.push(NamedLimit { name: name.to_owned(), limiter });
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().map(|limit| limit.name.as_str())
    }

    /// Waits for the cost at every limit.
    pub async fn acquire(&self, cost: u64, timeout: Duration) -> Result<Allowed, LimitRefused> {
        Ok(Allowed::new(self.reserve(cost, timeout).await?.remaining))
    }

    /// Takes the cost from every limit and waits at most `timeout` in total.
    ///
    /// If a limit refuses, or the caller is dropped while it waits, the tokens that were already taken are returned.
    /// The deadline is in tokio's time and not in the time of the host's clock, because the waits that it ends are.
    pub async fn reserve(&self, cost: u64, timeout: Duration) -> Result<Reservations, LimitRefused> {
        let deadline = Instant::now() + timeout.min(MAX_WAIT);
        let mut taken = TakenTokens { reserved: Vec::new(), runtime: Handle::try_current().ok() };
        let mut min_remaining = u64::MAX;
        for limit in &self.limits {
            let remaining_time = deadline.saturating_duration_since(Instant::now());
            match limit.limiter.reserve_tokens(cost, remaining_time).await {
                Ok(ReservedTokens { remaining, id }) => {
                    min_remaining = min_remaining.min(remaining);
                    taken.reserved.extend(id.map(|id| (limit.clone(), id)));
                }
                Err(refusal) => {
                    taken.cancel().await;
                    return Err(LimitRefused { limit: limit.name.clone(), refusal });
                }
            }
        }
        Ok(Reservations { remaining: min_remaining, reserved: std::mem::take(&mut taken.reserved) })
    }
}

/// The tokens that an unfinished [`LimitSet::reserve`] has taken. Dropping them returns them in the background.
struct TakenTokens {
    reserved: Vec<(NamedLimit, ReservationId)>,
    runtime: Option<Handle>,
}

impl TakenTokens {
    /// Returns the tokens before the caller learns of the refusal. If the caller is dropped meanwhile, the rest is
    /// returned in the background; a reservation that is cancelled twice is returned once.
    async fn cancel(mut self) {
        while let Some((limit, id)) = self.reserved.last() {
            limit.cancel(id).await;
            self.reserved.pop();
        }
    }
}

impl Drop for TakenTokens {
    fn drop(&mut self) {
        let (reserved, runtime) = (std::mem::take(&mut self.reserved), self.runtime.take());
        if let (false, Some(runtime)) = (reserved.is_empty(), runtime) {
            runtime.spawn(async move {
                for (limit, id) in &reserved {
                    limit.cancel(id).await;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_core::Quota;

    use super::*;
    use crate::SystemClock;

    /// Two limits with a burst of 5, and the set that contains both.
    struct TwoLimits {
        set: LimitSet,
        own: Limiter,
        additional: Limiter,
    }

    impl TwoLimits {
        fn available(&self) -> [i64; 2] {
            [self.own.cached_status().available, self.additional.cached_status().available]
        }
    }

    fn two_limits(own: &str, additional: &str) -> TwoLimits {
        let limiter = |rate: &str| {
            let quota = Quota::new(rate.parse().unwrap(), 5).unwrap();
            Limiter::new(quota, Arc::new(SystemClock::new()))
        };
        let (own, additional) = (limiter(own), limiter(additional));
        let mut set = LimitSet::new("jd", own.clone());
        set.add("jd_orders", additional.clone());
        TwoLimits { set, own, additional }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_call_takes_from_no_limit_and_names_the_one_that_refused() {
        let limits = two_limits("1/h", "1/h");
        assert_eq!(limits.set.acquire(5, Duration::ZERO).await.unwrap().remaining, 0);
        limits.own.reset().await.unwrap();
        let refused = limits.set.acquire(1, Duration::ZERO).await.unwrap_err();
        assert_eq!((refused.limit.as_str(), limits.available()), ("jd_orders", [5, 0]));
        assert_eq!(refused.to_string(), r#"limit "jd_orders" refused the call"#);
        let source = std::error::Error::source(&refused).unwrap().to_string();
        assert_eq!(source, "rate limit reached; retry after 3600000 ms");
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_is_cancelled_while_it_waits_returns_the_tokens_of_every_limit() {
        let limits = two_limits("1/h", "1/s");
        assert!(limits.additional.check(5).await.is_ok());
        let waiting = tokio::time::timeout(Duration::from_millis(500), limits.set.reserve(3, Duration::from_secs(9)));
        assert!(waiting.await.is_err());
        // Lets the background task run.
        tokio::task::yield_now().await;
        assert_eq!(limits.available(), [5, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_reservations_are_returned_and_dropped_ones_are_kept() {
        let limits = two_limits("1/h", "1/h");
        let reservations = limits.set.reserve(2, Duration::ZERO).await.unwrap();
        assert_eq!(reservations.remaining(), 3);
        assert_eq!(reservations.ids().map(|(limit, _)| limit).collect::<Vec<_>>(), ["jd", "jd_orders"]);
        reservations.cancel().await;
        assert_eq!(limits.available(), [5, 5]);
        drop(limits.set.reserve(2, Duration::ZERO).await.unwrap());
        tokio::task::yield_now().await;
        assert_eq!(limits.available(), [3, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn unlimited_wait_is_cut_to_the_maximum() {
        let limits = two_limits("1/h", "1/h");
        assert!(limits.set.reserve(5, Duration::MAX).await.is_ok());
        assert!(limits.set.reserve(1, Duration::MAX).await.is_err());
        assert_eq!(limits.available(), [0, 0]);
    }
}
