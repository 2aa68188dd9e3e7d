//! The token bucket: exact integer arithmetic, reservations in order of arrival, and a rate that can change.
//!
//! Source: the token bucket of RFC 2697 §3. The level is counted in units, which are fractions of a token: a token has
//! [`Quota::units_per_token`] units, so that the refill per microsecond is a whole number and no rate is rounded.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::micros;
use crate::quota::Quota;
use crate::{Allowed, Refusal, Timestamp};

/// A handle of a reservation. It identifies the waiting call in the queue of a [`Bucket`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation that is neither used nor cancelled wastes its tokens"]
pub struct Ticket(u64);

/// The id of a reservation. It contains the state of the bucket at the time of the reservation, which
/// [`Bucket::cancel`] needs to return the cost of a call that was never sent.
///
/// Its text, which [`Display`](fmt::Display) writes and [`FromStr`] reads, can be sent to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationId(ReservationParts);

/// The parts of a [`ReservationId`], for stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationParts {
    /// The id of the process that made the reservation.
    pub process_id: u64,
    /// The number of the reservation, unique in its process.
    pub number: u64,
    /// The tokens that were reserved.
    pub cost: u64,
    /// The time of the reservation.
    pub at: Timestamp,
    /// The level after the reservation, in units.
    pub level: i128,
    /// The units that cancelled reservations had returned before this reservation.
    pub returned: i128,
    /// The epoch of the bucket: the number of its updates and resets before this reservation.
    pub epoch: u64,
}

impl ReservationId {
    /// Creates an id from its parts.
    #[must_use]
    pub const fn from_parts(parts: ReservationParts) -> Self {
        Self(parts)
    }

    /// Returns the parts.
    #[must_use]
    pub const fn parts(&self) -> &ReservationParts {
        &self.0
    }

    /// Returns the tokens that were reserved.
    #[must_use]
    pub const fn cost(&self) -> u64 {
        self.0.cost
    }
}

/// Tokens that a [`Bucket`] reserved for a call.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a reservation that is neither used nor cancelled wastes its tokens"]
pub struct BucketReservation {
    /// The ticket of the call. It is useful only while the call waits.
    pub ticket: Ticket,
    /// The time until the call may be sent; zero means now.
    pub wait: Duration,
    /// The whole tokens that are left.
    pub remaining: u64,
    /// The id with which the reservation can be cancelled if the call is never sent.
    pub id: ReservationId,
}

/// The error of a text that is not a reservation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a reservation id that tidegate returned")]
pub struct ParseReservationIdError(());

/// Writes the id as text: seven numbers with dots between them.
impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReservationParts { process_id, number, cost, at, level, returned, epoch } = self.0;
        write!(f, "{process_id}.{number}.{cost}.{}.{level}.{returned}.{epoch}", at.as_micros())
    }
}

impl FromStr for ReservationId {
    type Err = ParseReservationIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = ParseReservationIdError(());
        let numbers: Option<Vec<i128>> = text.split('.').map(|number| number.parse().ok()).collect();
        let Some([process_id, number, cost, at, level, returned, epoch]) = numbers
            .as_deref()
            .and_then(|numbers| numbers.first_chunk::<7>())
            .filter(|_| text.matches('.').count() == 6)
        else {
            return Err(expected);
        };
        let exact = |number: i128| u64::try_from(number).map_err(|_| expected);
        if [*level, *returned].iter().any(|units| units.abs() > 1 << 53) {
            return Err(expected);
        }
        let (process_id, number, cost, epoch) = (exact(*process_id)?, exact(*number)?, exact(*cost)?, exact(*epoch)?);
        let at = Timestamp::from_micros(exact(*at)?);
        let (level, returned) = (*level, *returned);
        Ok(Self(ReservationParts { process_id, number, cost, at, level, returned, epoch }))
    }
}

/// A reservation whose tokens are not available yet.
#[derive(Clone, Copy, Debug)]
struct QueuedCall {
    ticket: u64,
    /// The units that it took from the level.
    units: i128,
    /// The value of [`Bucket::refilled`] at which its tokens are available.
    due_at: i128,
}

/// A token bucket. Its level may be negative: the units below zero are reserved by calls that wait in a queue.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{Allowed, Bucket, Quota, Rate, Refusal, Timestamp};
/// let quota = Quota::new("10/s".parse().unwrap(), 1).unwrap();
/// let now = Timestamp::default();
/// let mut bucket = Bucket::full(quota, now);
/// assert_eq!(bucket.check(1, now), Ok(Allowed::new(0)));
/// assert_eq!(bucket.check(1, now), Err(Refusal::Limited { retry_after: Duration::from_millis(100) }));
/// assert_eq!(bucket.check(2, now), Err(Refusal::Never { max_cost: 1 }));
/// ```
#[derive(Clone, Debug)]
pub struct Bucket {
    quota: Quota,
    /// The tokens in the bucket, in units.
    level: i128,
    /// The time of the last refill.
    refilled_at: Timestamp,
    /// The units of all refills, including those that a full bucket discarded.
    refilled: i128,
    /// The calls that wait, in order of arrival and therefore of `due_at`.
    queue: VecDeque<QueuedCall>,
    /// The number of reservations.
    tickets: u64,
    /// The units that cancelled reservations returned.
    returned: i128,
    /// The numbers of cancelled reservations, each with the time after which cancelling it would return nothing.
    cancelled: BTreeMap<u64, Timestamp>,
    /// The number of updates and resets. A reservation of an earlier epoch cannot be cancelled.
    epoch: u64,
}

impl Bucket {
    /// Creates a full bucket.
    #[must_use]
    pub fn full(quota: Quota, now: Timestamp) -> Self {
        Self {
            quota,
            level: capacity(quota),
            refilled_at: now,
            refilled: 0,
            queue: VecDeque::new(),
            tickets: 0,
            returned: 0,
            cancelled: BTreeMap::new(),
            epoch: 0,
        }
    }

    /// Returns the active quota.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Takes `cost` tokens if they are available. A refusal takes nothing. A cost of 0 only tests the bucket.
    ///
    /// # Errors
    /// Returns the refusal if the tokens are not available now, or never.
    pub fn check(&mut self, cost: u64, now: Timestamp) -> Result<Allowed, Refusal> {
        Ok(Allowed::new(self.reserve(cost, Duration::ZERO, now)?.remaining))
    }

    /// Reserves `cost` tokens if they will be available `within` this time. Tokens go to reservations in order of
    /// arrival.
    ///
    /// # Errors
    /// Returns the refusal if the tokens will not be available in time, or never. A refusal takes nothing.
    pub fn reserve(&mut self, cost: u64, within: Duration, now: Timestamp) -> Result<BucketReservation, Refusal> {
        if cost > self.quota.burst() {
            return Err(Refusal::Never { max_cost: self.quota.burst() });
        }
        self.refill(now);
        let units = i128::from(cost) * self.units_per_token();
        let wait = self.time_to_refill(units - self.level);
        if wait > within {
            return Err(Refusal::Limited { retry_after: wait });
        }
        self.level -= units;
        self.tickets = self.tickets.wrapping_add(1);
        if self.level < 0 {
            self.queue.push_back(QueuedCall { ticket: self.tickets, units, due_at: self.refilled - self.level });
        }
        let (ticket, remaining) = (Ticket(self.tickets), self.remaining());
        Ok(BucketReservation { ticket, wait, remaining, id: self.last_reservation_id(cost) })
    }

    /// Returns the id of the last reservation, which had this cost.
    const fn last_reservation_id(&self, cost: u64) -> ReservationId {
        let Self { tickets: number, refilled_at: at, level, returned, epoch, .. } = *self;
        ReservationId(ReservationParts { process_id: 0, number, cost, at, level, returned, epoch })
    }

    /// Cancels the reservation of a call that was never sent, and returns whether other calls now wait less.
    ///
    /// Without the reservation, a full bucket might have discarded some of its tokens. It returns only the tokens that
    /// the bucket would certainly have kept. To be certain, it assumes the highest possible level: the level after the
    /// reservation, plus everything that was refilled and returned since then. Each id can be cancelled once, and only
    /// until the quota changes or the bucket is reset.
    pub fn cancel(&mut self, id: &ReservationId, now: Timestamp) -> bool {
        let id = id.parts();
        self.refill(now);
        self.cancelled.retain(|_, until| *until > now);
        let gained = i128::from(micros(self.refilled_at - id.at)) * i128::from(self.quota.units_per_us())
            + (self.returned - id.returned);
        let room = capacity(self.quota) - id.level - gained;
        let units = room.min(i128::from(id.cost) * self.units_per_token());
        if units <= 0 || id.epoch != self.epoch || self.cancelled.contains_key(&id.number) {
            return false;
        }
        // After this time, cancelling the id would return nothing.
        self.cancelled.insert(id.number, self.refilled_at + self.time_to_refill(room));
        self.level += units;
        self.returned += units;
        self.queue.iter_mut().for_each(|call| call.due_at -= units);
        !self.queue.is_empty()
    }

    /// Returns how long the call with this ticket still has to wait; zero means that it may be sent now.
    ///
    /// The wait changes when the quota changes and when a call that is earlier in the queue is cancelled.
    #[must_use]
    pub fn remaining_wait(&mut self, ticket: &Ticket, now: Timestamp) -> Duration {
        self.refill(now);
        let index = self.queue_index(ticket);
        index.map_or(Duration::ZERO, |index| self.time_to_refill(self.queue[index].due_at - self.refilled))
    }

    /// Removes a waiting call from the queue, and returns whether other calls now wait less.
    ///
    /// All its tokens are returned: while a call waits, the level has been below zero since its reservation, so the
    /// bucket has discarded nothing. A call that no longer waits keeps its tokens, whether it is sent or not.
    pub fn cancel_wait(&mut self, ticket: &Ticket, now: Timestamp) -> bool {
        self.refill(now);
        let Some(index) = self.queue_index(ticket) else { return false };
        let Some(QueuedCall { units, .. }) = self.queue.remove(index) else { return false };
        self.level += units;
        self.queue.range_mut(index..).for_each(|call| call.due_at -= units);
        index < self.queue.len()
    }

    /// Changes the quota and keeps the tokens in the bucket. A smaller burst discards the tokens above it.
    pub fn update(&mut self, quota: Quota, now: Timestamp) {
        self.refill(now);
        let (old, new) = (self.units_per_token(), i128::from(quota.units_per_token()));
        // Rounded down, so that the conversion creates no tokens.
        let convert = |units: i128| units.saturating_mul(new).div_euclid(old);
        self.level = convert(self.level).min(capacity(quota));
        for call in &mut self.queue {
            call.units = convert(call.units);
            call.due_at = self.refilled - convert(self.refilled - call.due_at);
        }
        self.quota = quota;
        self.start_epoch();
    }

    /// Refills the bucket to the full burst. Waiting calls get their tokens first.
    pub fn reset(&mut self, now: Timestamp) {
        self.refill(now);
        let granted = capacity(self.quota) - self.level.max(0);
        self.level += granted;
        self.queue.iter_mut().for_each(|call| call.due_at -= granted);
        self.start_epoch();
    }

    /// Makes all earlier reservations impossible to cancel.
    fn start_epoch(&mut self) {
        self.epoch += 1;
        self.returned = 0;
        self.cancelled.clear();
    }

    /// Returns the whole tokens in the bucket; negative if calls wait for tokens.
    pub fn level(&mut self, now: Timestamp) -> i64 {
        self.refill(now);
        saturate(self.level.div_euclid(self.units_per_token()))
    }

    /// Returns the time until the bucket is full.
    pub fn time_to_full(&mut self, now: Timestamp) -> Duration {
        self.refill(now);
        self.time_to_refill(capacity(self.quota) - self.level)
    }

    fn remaining(&self) -> u64 {
        u64::try_from(self.level.div_euclid(self.units_per_token())).unwrap_or(0)
    }

    fn units_per_token(&self) -> i128 {
        i128::from(self.quota.units_per_token())
    }

    /// Returns the index of a ticket in the queue, if its call still waits.
    fn queue_index(&self, ticket: &Ticket) -> Option<usize> {
        self.queue.binary_search_by_key(&ticket.0, |call| call.ticket).ok()
    }

    /// Refills the bucket up to `now`. If the clock went back, the elapsed time is zero and nothing changes.
    fn refill(&mut self, now: Timestamp) {
        let refilled = i128::from(micros(now - self.refilled_at)) * i128::from(self.quota.units_per_us());
        self.level = self.level.saturating_add(refilled).min(capacity(self.quota));
        self.refilled = self.refilled.saturating_add(refilled);
        self.refilled_at = self.refilled_at.max(now);
        while self.queue.front().is_some_and(|first| first.due_at <= self.refilled) {
            self.queue.pop_front();
        }
    }

    /// Returns the time in which this many units are refilled, rounded up.
    fn time_to_refill(&self, units: i128) -> Duration {
        let units_per_us = i128::from(self.quota.units_per_us());
        let wait = (units.max(0) + units_per_us - 1) / units_per_us;
        Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

fn capacity(quota: Quota) -> i128 {
    i128::from(quota.burst()) * i128::from(quota.units_per_token())
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(rate: &str, burst: u64) -> Bucket {
        Bucket::full(Quota::new(rate.parse().unwrap(), burst).unwrap(), at(0))
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn refusal_takes_nothing() {
        let mut bucket = bucket("1/s", 2);
        assert!(bucket.check(2, at(0)).is_ok());
        for _ in 0..100 {
            assert_eq!(bucket.check(1, at(500)), Err(Refusal::Limited { retry_after: ms(500) }));
        }
        assert_eq!(bucket.check(1, at(1_000)), Ok(Allowed::new(0)));
    }

    #[test]
    fn reservations_are_served_in_order_of_arrival() {
        let mut bucket = bucket("10/s", 1);
        let tickets: Vec<_> = (0..4).map(|_| bucket.reserve(1, ms(1_000), at(0)).unwrap().ticket).collect();
        let waits: Vec<_> = tickets.iter().map(|ticket| bucket.remaining_wait(ticket, at(0))).collect();
        assert_eq!(waits, [ms(0), ms(100), ms(200), ms(300)]);
        assert_eq!(bucket.reserve(1, ms(399), at(0)), Err(Refusal::Limited { retry_after: ms(400) }));
    }

    #[test]
    fn cancelled_wait_returns_its_tokens_and_shortens_later_waits() {
        let mut bucket = bucket("10/s", 5);
        let mut tickets: Vec<_> =
            [5, 5, 2].iter().map(|cost| bucket.reserve(*cost, ms(9_000), at(0)).unwrap().ticket).collect();
        let (last, middle, first) = (tickets.pop().unwrap(), tickets.pop().unwrap(), tickets.pop().unwrap());
        assert_eq!(bucket.remaining_wait(&last, at(0)), ms(700));
        assert!(bucket.cancel_wait(&middle, at(0)), "the last call waits less");
        assert_eq!((bucket.level(at(0)), bucket.remaining_wait(&last, at(0))), (-2, ms(200)));
        assert!(!bucket.cancel_wait(&first, at(0)), "its call no longer waits");
        assert!(!bucket.cancel_wait(&last, at(100)), "no call is behind it");
        assert_eq!(bucket.level(at(100)), 1);
    }

    #[test]
    fn cancelling_all_waits_in_any_order_returns_all_their_tokens() {
        for reversed in [false, true] {
            let mut bucket = bucket("10/s", 1);
            let mut tickets: Vec<_> = (0..200).map(|_| bucket.reserve(1, ms(90_000), at(0)).unwrap().ticket).collect();
            bucket.update(Quota::new("1/m".parse().unwrap(), 1).unwrap(), at(0));
            if reversed {
                tickets.reverse();
            }
            for ticket in &tickets {
                bucket.cancel_wait(ticket, at(0));
            }
            assert_eq!(bucket.level(at(0)), 0, "the first call took the only token");
        }
    }

    #[test]
    fn update_keeps_the_level_and_changes_the_waits() {
        let mut bucket = bucket("1/s", 10);
        assert!(bucket.check(10, at(0)).is_ok());
        let ticket = bucket.reserve(4, ms(9_000), at(0)).unwrap().ticket;
        bucket.update(Quota::new("8/s".parse().unwrap(), 8).unwrap(), at(0));
        assert_eq!(bucket.level(at(0)), -4);
        assert_eq!(bucket.remaining_wait(&ticket, at(0)), ms(500));
    }

    #[test]
    fn cancelled_reservation_returns_tokens_once_and_only_those_not_discarded() {
        let mut bucket = bucket("1/s", 10);
        let id = bucket.reserve(6, ms(0), at(0)).unwrap().id;
        let ticket = bucket.reserve(10, ms(9_000), at(0)).unwrap().ticket;
        assert_eq!(bucket.remaining_wait(&ticket, at(0)), ms(6_000));
        assert!(bucket.cancel(&id, at(1_000)), "the waiting call waits less");
        // The bucket may have discarded the token of the second that has passed. The id does not show whether it did.
        assert_eq!((bucket.remaining_wait(&ticket, at(1_000)), bucket.level(at(1_000))), (ms(0), 0));
        assert!(!bucket.cancel(&id, at(1_000)));
        assert_eq!(bucket.level(at(1_000)), 0, "an id can be cancelled once");

        // The refill after the reservation was spent too. Without the reservation, the bucket would have discarded it.
        let mut bucket = self::bucket("1/s", 10);
        let id = bucket.reserve(10, ms(0), at(0)).unwrap().id;
        assert!(bucket.check(10, at(10_000)).is_ok());
        bucket.cancel(&id, at(10_000));
        assert_eq!(bucket.level(at(10_000)), 0);

        // Half of the burst was refilled since then, so half of the cost is returned.
        let mut bucket = self::bucket("1/s", 10);
        let id = bucket.reserve(10, ms(0), at(0)).unwrap().id;
        assert!(bucket.check(5, at(5_000)).is_ok());
        bucket.cancel(&id, at(5_000));
        assert_eq!(bucket.level(at(5_000)), 5);
        let id = bucket.reserve(0, ms(0), at(5_000)).unwrap().id;
        bucket.reset(at(5_000));
        assert!(bucket.check(10, at(5_000)).is_ok());
        bucket.cancel(&ReservationId::from_parts(ReservationParts { cost: 10, ..*id.parts() }), at(5_000));
        assert_eq!(bucket.level(at(5_000)), 0, "a reset makes earlier ids impossible to cancel");
    }

    #[test]
    fn clock_that_goes_back_creates_no_tokens() {
        let mut bucket = bucket("1/s", 1);
        assert!(bucket.check(1, at(5_000)).is_ok());
        assert!(bucket.check(1, at(0)).is_err());
        assert!(bucket.check(1, at(5_999)).is_err());
        assert!(bucket.check(1, at(6_000)).is_ok());
    }
}
