//! The token bucket: exact integers, reservations in order of arrival, a rate that may change while it runs.
//!
//! Source: the token bucket of RFC 2697 §3, counted in units of 1/period token so that no rate is rounded.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Timestamp;
use crate::clock::micros;
use crate::quota::Quota;

/// What a limit says to one call.
///
/// A refusal is a value that answers the next question: when, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call may go; so many whole tokens are left.
    Allowed {
        /// Whole tokens left after this call.
        remaining: u64,
    },
    /// Not now: the same cost fits after this time, if nobody else takes it.
    Limited {
        /// How long until it fits.
        retry_after: Duration,
    },
    /// The cost is above the burst and can never fit.
    Never {
        /// The most that can fit.
        max: u64,
    },
}

impl Decision {
    /// Whether the call may go.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

/// A place in the queue of a [`Bucket`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation that is neither used nor cancelled is a call lost"]
pub struct Ticket(u64);

/// What a bucket knew when it let a call go, so that a call that was never sent can give its cost back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The process that took them.
    pub origin: u64,
    /// Tells this receipt from others of the same process.
    pub number: u64,
    /// The tokens that were taken.
    pub cost: u64,
    /// When.
    pub at: Timestamp,
    /// The level then, in units, without them.
    pub level: i128,
    /// Units that had been given back by then.
    pub returned: i128,
    /// How often the bucket had been changed by then.
    pub epoch: u64,
}

/// As workers carry it: seven numbers apart by dots.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, number, cost, at, level, returned, epoch } = self;
        write!(f, "{origin}.{number}.{cost}.{}.{level}.{returned}.{epoch}", at.as_micros())
    }
}

impl FromStr for Receipt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected a receipt as `acquire` gave it";
        let numbers: Option<Vec<i128>> = text.split('.').map(|number| number.parse().ok()).collect();
        let Some([origin, number, cost, at, level, returned, epoch]) = numbers
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
        let (origin, number, cost, epoch) = (exact(*origin)?, exact(*number)?, exact(*cost)?, exact(*epoch)?);
        let at = Timestamp::from_micros(exact(*at)?);
        Ok(Self { origin, number, cost, at, level: *level, returned: *returned, epoch })
    }
}

/// A ticket whose slot has not come.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: u64,
    /// What it took off the level, in units.
    price: i128,
    /// How much must have flowed when its slot comes.
    due: i128,
}

/// A token bucket whose level may go below zero: what is below is reserved by calls that wait their turn.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{Bucket, Decision, Quota, Rate, Timestamp};
/// let quota = Quota::new(Rate::parse("10/s").unwrap(), 1).unwrap();
/// let now = Timestamp::default();
/// let mut bucket = Bucket::full(quota, now);
/// assert_eq!(bucket.check(1, now), Decision::Allowed { remaining: 0 });
/// assert_eq!(bucket.check(1, now), Decision::Limited { retry_after: Duration::from_millis(100) });
/// assert_eq!(bucket.check(2, now), Decision::Never { max: 1 });
/// ```
#[derive(Clone, Debug)]
pub struct Bucket {
    quota: Quota,
    /// In units of 1/period token.
    level: i128,
    mark: Timestamp,
    /// Units that have flowed since the beginning; what flows over counts as well.
    flowed: i128,
    /// In order of arrival, and so of slots.
    waiting: VecDeque<Waiting>,
    tickets: u64,
    /// Units that were given back since the beginning.
    returned: i128,
    /// Receipts that were given back, until when they could be once more.
    spent: BTreeMap<u64, Timestamp>,
    /// Updates and resets; a receipt from before one is worth nothing.
    epoch: u64,
}

impl Bucket {
    /// A bucket with its whole burst.
    #[must_use]
    pub fn full(quota: Quota, now: Timestamp) -> Self {
        Self {
            quota,
            level: capacity(quota),
            mark: now,
            flowed: 0,
            waiting: VecDeque::new(),
            tickets: 0,
            returned: 0,
            spent: BTreeMap::new(),
            epoch: 0,
        }
    }

    /// The settings in force.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Takes `cost` tokens if they are there; a refusal takes nothing. A cost of 0 asks and takes nothing.
    pub fn check(&mut self, cost: u64, now: Timestamp) -> Decision {
        self.reserve(cost, Duration::ZERO, now)
            .map_or_else(|refusal| refusal, |_| Decision::Allowed { remaining: self.remaining() })
    }

    /// Takes `cost` tokens that will be there `within` this time, in order of arrival.
    ///
    /// # Errors
    /// The refusal, where they will not be; nothing is taken then.
    pub fn reserve(&mut self, cost: u64, within: Duration, now: Timestamp) -> Result<Ticket, Decision> {
        if cost > self.quota.burst() {
            return Err(Decision::Never { max: self.quota.burst() });
        }
        self.refill(now);
        let price = i128::from(cost) * self.token();
        let wait = self.time_to(price - self.level);
        if wait > within {
            return Err(Decision::Limited { retry_after: wait });
        }
        self.level -= price;
        self.tickets = self.tickets.wrapping_add(1);
        if self.level < 0 {
            self.waiting.push_back(Waiting { ticket: self.tickets, price, due: self.flowed - self.level });
        }
        Ok(Ticket(self.tickets))
    }

    /// The receipt for the reservation made last, of `cost` tokens.
    #[must_use]
    pub const fn receipt(&self, cost: u64) -> Receipt {
        let Self { tickets: number, mark: at, level, returned, epoch, .. } = *self;
        Receipt { origin: 0, number, cost, at, level, returned, epoch }
    }

    /// Gives back what a call took that was never sent, and says whether others move up.
    ///
    /// The bucket is then as if so much had never been taken: since the level can have risen no higher than what it was
    /// plus all that came in, what would surely not have flowed over comes back, and no more. Each receipt counts once,
    /// and none survives a change of the quota.
    pub fn give_back(&mut self, receipt: &Receipt, now: Timestamp) -> bool {
        self.refill(now);
        self.spent.retain(|_, until| *until > now);
        let came = i128::from(micros(self.mark - receipt.at)) * i128::from(self.quota.units_per_us())
            + (self.returned - receipt.returned);
        let room = capacity(self.quota) - receipt.level - came;
        let units = room.min(i128::from(receipt.cost) * self.token());
        if units <= 0 || receipt.epoch != self.epoch || self.spent.contains_key(&receipt.number) {
            return false;
        }
        // After this time nothing of it would come back.
        self.spent.insert(receipt.number, self.mark + self.time_to(room));
        self.level += units;
        self.returned += units;
        self.waiting.iter_mut().for_each(|waiting| waiting.due -= units);
        !self.waiting.is_empty()
    }

    /// How long this ticket still has to wait; zero means now.
    ///
    /// It changes when the quota does, and when somebody who stood before it leaves.
    #[must_use]
    pub fn wait(&mut self, ticket: &Ticket, now: Timestamp) -> Duration {
        self.refill(now);
        self.place(ticket).map_or(Duration::ZERO, |place| self.time_to(self.waiting[place].due - self.flowed))
    }

    /// Gives a slot back that has not come yet, and says whether others move up.
    ///
    /// While a ticket waits, the level has been below zero since it was reserved, so nothing has flowed over and the
    /// bucket is as if the ticket had never been. A slot that has come is spent, used or not.
    pub fn cancel(&mut self, ticket: &Ticket, now: Timestamp) -> bool {
        self.refill(now);
        let Some(left) = self.place(ticket).and_then(|place| self.waiting.remove(place).map(|left| (place, left)))
        else {
            return false;
        };
        let (place, Waiting { price, .. }) = left;
        self.level += price;
        self.waiting.range_mut(place..).for_each(|behind| behind.due -= price);
        place < self.waiting.len()
    }

    /// Changes the quota and keeps the level, in tokens; a smaller burst cuts what is above it.
    pub fn update(&mut self, quota: Quota, now: Timestamp) {
        self.refill(now);
        let (old, new) = (self.token(), i128::from(quota.units_per_token()));
        // Rounded down: a change of units mints nothing.
        let convert = |units: i128| units.saturating_mul(new).div_euclid(old);
        self.level = convert(self.level).min(capacity(quota));
        for waiting in &mut self.waiting {
            waiting.price = convert(waiting.price);
            waiting.due = self.flowed - convert(self.flowed - waiting.due);
        }
        self.quota = quota;
        self.outdate();
    }

    /// Grants the whole burst anew; calls that wait are served from it first.
    pub fn reset(&mut self, now: Timestamp) {
        self.refill(now);
        let granted = capacity(self.quota) - self.level.max(0);
        self.level += granted;
        self.waiting.iter_mut().for_each(|waiting| waiting.due -= granted);
        self.outdate();
    }

    /// Makes all receipts worthless.
    fn outdate(&mut self) {
        self.epoch += 1;
        self.returned = 0;
        self.spent.clear();
    }

    /// Whole tokens there now; negative where calls wait for them.
    pub fn level(&mut self, now: Timestamp) -> i64 {
        self.refill(now);
        saturate(self.level.div_euclid(self.token()))
    }

    /// How long until the bucket is full again.
    pub fn time_to_full(&mut self, now: Timestamp) -> Duration {
        self.refill(now);
        self.time_to(capacity(self.quota) - self.level)
    }

    fn remaining(&self) -> u64 {
        u64::try_from(self.level.div_euclid(self.token())).unwrap_or(0)
    }

    fn token(&self) -> i128 {
        i128::from(self.quota.units_per_token())
    }

    /// Where a ticket stands, unless its slot has come.
    fn place(&self, ticket: &Ticket) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket.0, |waiting| waiting.ticket).ok()
    }

    /// A clock that went back keeps the level and moves nothing: `now - mark` is then zero.
    fn refill(&mut self, now: Timestamp) {
        let flowed = i128::from(micros(now - self.mark)) * i128::from(self.quota.units_per_us());
        self.level = self.level.saturating_add(flowed).min(capacity(self.quota));
        self.flowed = self.flowed.saturating_add(flowed);
        self.mark = self.mark.max(now);
        while self.waiting.front().is_some_and(|first| first.due <= self.flowed) {
            self.waiting.pop_front();
        }
    }

    /// The time in which so many units flow, rounded up.
    fn time_to(&self, units: i128) -> Duration {
        let flow = i128::from(self.quota.units_per_us());
        let wait = (units.max(0) + flow - 1) / flow;
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
    use crate::Rate;

    fn bucket(rate: &str, burst: u64) -> Bucket {
        Bucket::full(Quota::new(Rate::parse(rate).unwrap(), burst).unwrap(), at(0))
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let mut bucket = bucket("1/s", 2);
        assert!(bucket.check(2, at(0)).is_allowed());
        for _ in 0..100 {
            assert_eq!(bucket.check(1, at(500)), Decision::Limited { retry_after: ms(500) });
        }
        assert_eq!(bucket.check(1, at(1_000)), Decision::Allowed { remaining: 0 });
    }

    #[test]
    fn reservations_stand_in_line() {
        let mut bucket = bucket("10/s", 1);
        let tickets: Vec<_> = (0..4).map(|_| bucket.reserve(1, ms(1_000), at(0)).unwrap()).collect();
        let waits: Vec<_> = tickets.iter().map(|ticket| bucket.wait(ticket, at(0))).collect();
        assert_eq!(waits, [ms(0), ms(100), ms(200), ms(300)]);
        assert_eq!(bucket.reserve(1, ms(399), at(0)), Err(Decision::Limited { retry_after: ms(400) }));
    }

    #[test]
    fn who_leaves_gives_all_back_and_those_behind_move_up() {
        let mut bucket = bucket("10/s", 5);
        let mut line: Vec<_> = [5, 5, 2].iter().map(|cost| bucket.reserve(*cost, ms(9_000), at(0)).unwrap()).collect();
        let (last, middle, first) = (line.pop().unwrap(), line.pop().unwrap(), line.pop().unwrap());
        assert_eq!(bucket.wait(&last, at(0)), ms(700));
        assert!(bucket.cancel(&middle, at(0)), "somebody moves up");
        assert_eq!((bucket.level(at(0)), bucket.wait(&last, at(0))), (-2, ms(200)));
        assert!(!bucket.cancel(&first, at(0)), "its slot has come");
        assert!(!bucket.cancel(&last, at(100)), "nobody stands behind it");
        assert_eq!(bucket.level(at(100)), 1);
    }

    #[test]
    fn whoever_leaves_in_whatever_order_leaves_nothing_behind() {
        for backwards in [false, true] {
            let mut bucket = bucket("10/s", 1);
            let mut line: Vec<_> = (0..200).map(|_| bucket.reserve(1, ms(90_000), at(0)).unwrap()).collect();
            bucket.update(Quota::new(Rate::parse("1/m").unwrap(), 1).unwrap(), at(0));
            if backwards {
                line.reverse();
            }
            for ticket in &line {
                bucket.cancel(ticket, at(0));
            }
            assert_eq!(bucket.level(at(0)), 0, "the first took the one token there was");
        }
    }

    #[test]
    fn an_update_keeps_the_level_and_moves_who_waits() {
        let mut bucket = bucket("1/s", 10);
        assert!(bucket.check(10, at(0)).is_allowed());
        let ticket = bucket.reserve(4, ms(9_000), at(0)).unwrap();
        bucket.update(Quota::new(Rate::parse("8/s").unwrap(), 8).unwrap(), at(0));
        assert_eq!(bucket.level(at(0)), -4);
        assert_eq!(bucket.wait(&ticket, at(0)), ms(500));
    }

    #[test]
    fn what_was_never_sent_comes_back_once_and_only_what_would_not_have_flowed_over() {
        let mut bucket = bucket("1/s", 10);
        assert!(bucket.check(6, at(0)).is_allowed());
        let receipt = bucket.receipt(6);
        let ticket = bucket.reserve(10, ms(9_000), at(0)).unwrap();
        assert_eq!(bucket.wait(&ticket, at(0)), ms(6_000));
        assert!(bucket.give_back(&receipt, at(1_000)), "somebody moves up");
        // The second that has passed may have flowed over, for all that the receipt knows.
        assert_eq!((bucket.wait(&ticket, at(1_000)), bucket.level(at(1_000))), (ms(0), 0));
        assert!(!bucket.give_back(&receipt, at(1_000)));
        assert_eq!(bucket.level(at(1_000)), 0, "a receipt counts once");

        // A burst was taken, came anew and was sent: had the first never been taken, it would have flowed over.
        let mut bucket = self::bucket("1/s", 10);
        assert!(bucket.check(10, at(0)).is_allowed());
        let receipt = bucket.receipt(10);
        assert!(bucket.check(10, at(10_000)).is_allowed());
        bucket.give_back(&receipt, at(10_000));
        assert_eq!(bucket.level(at(10_000)), 0);

        // Half of the time, half of it.
        let mut bucket = self::bucket("1/s", 10);
        assert!(bucket.check(10, at(0)).is_allowed());
        let receipt = bucket.receipt(10);
        assert!(bucket.check(5, at(5_000)).is_allowed());
        bucket.give_back(&receipt, at(5_000));
        assert_eq!(bucket.level(at(5_000)), 5);
        let receipt = bucket.receipt(0);
        bucket.reset(at(5_000));
        assert!(bucket.check(10, at(5_000)).is_allowed());
        bucket.give_back(&Receipt { cost: 10, ..receipt }, at(5_000));
        assert_eq!(bucket.level(at(5_000)), 0, "a receipt does not survive a change");
    }

    #[test]
    fn a_clock_that_goes_back_mints_nothing() {
        let mut bucket = bucket("1/s", 1);
        assert!(bucket.check(1, at(5_000)).is_allowed());
        assert!(!bucket.check(1, at(0)).is_allowed());
        assert!(!bucket.check(1, at(5_999)).is_allowed());
        assert!(bucket.check(1, at(6_000)).is_allowed());
    }
}
