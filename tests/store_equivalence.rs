//! Runs the same histories of operations through a simple model, the bucket in memory and the bucket in Redis, and
//! asserts equal results.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use tidegate::{Quota, Refusal};
use tidegate_core::config::LimitConfig;
use tidegate_core::store::{LimitStore, OnRedisFailure};
use tidegate_core::{Bucket, BucketReservation, Clock, ManualClock, ReservationId, Ticket, Timestamp};
use tidegate_redis::{RedisLimit, RedisTicket};

use crate::limits::{pauses, quota, quotas};
use crate::servers::RedisServer;

/// The result of an operation, in a form that is common to the model and both stores.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StepResult {
    Reserved { wait: Duration, remaining: u64 },
    Refused(Refusal),
    Wait(Duration),
    Level(i64),
    Done,
}

/// One operation of a history.
#[derive(Clone, Debug)]
enum Step {
    Pause(u64),
    Reserve { cost: u64, within: Duration },
    RemainingWait(Index),
    CancelWait(Index),
    Level,
    Update((u64, u64, u64)),
    Reset,
    Cancel(Index),
}

/// A list of events, which is replayed from the beginning for every query. The wait of a ticket is calculated without
/// the events of later tickets.
struct Model {
    initial_quota: Quota,
    events: Vec<(i128, Event)>,
    now: i128,
    reservations: BTreeMap<usize, ModelReservation>,
}

/// What the model stores about a reservation.
struct ModelReservation {
    at: i128,
    /// The level after the reservation, in units.
    level: i128,
    /// The units that cancellations had returned since the last change of the bucket.
    returned: i128,
    /// The number of changes of the bucket before the reservation.
    changes: usize,
    cost: i128,
}

enum Event {
    Reserve { ticket: usize, cost: i128 },
    CancelWait { ticket: usize, cost: i128 },
    Update(Quota),
    Reset,
    Return(i128),
}

impl Model {
    /// Returns the level in units and the quota, without the tickets after `last`.
    fn level(&self, last: usize) -> (i128, Quota) {
        let (mut quota, mut last_at) = (self.initial_quota, 0);
        let token = |quota: Quota| i128::from(quota.units_per_token());
        let capacity = |quota: Quota| i128::from(quota.burst()) * token(quota);
        let mut level = capacity(quota);
        let end = (self.now, Event::Reserve { ticket: 0, cost: 0 });
        for (at, event) in self.events.iter().chain([&end]) {
            level = (level + (at - last_at) * i128::from(quota.units_per_us())).min(capacity(quota));
            last_at = *at;
            match event {
                Event::Reserve { ticket, cost } if *ticket <= last => level -= cost * token(quota),
                Event::CancelWait { ticket, cost } if *ticket <= last => level += cost * token(quota),
                Event::Reserve { .. } | Event::CancelWait { .. } => {}
                Event::Update(new) => {
                    level = (level * token(*new)).div_euclid(token(quota)).min(capacity(*new));
                    quota = *new;
                }
                Event::Reset => level += capacity(quota) - level.max(0),
                Event::Return(units) => level += units,
            }
        }
        (level, quota)
    }

    /// Returns the time until a number of units is refilled, rounded up to a microsecond.
    fn wait(missing: i128, quota: Quota) -> Duration {
        let refill = i128::from(quota.units_per_us());
        let wait = if missing <= 0 { 0 } else { (missing + refill - 1) / refill };
        Duration::from_micros(u64::try_from(wait).unwrap())
    }

    fn reserve(&mut self, ticket: usize, cost: u64, within: Duration) -> StepResult {
        let (level, quota) = self.level(usize::MAX);
        let token = i128::from(quota.units_per_token());
        if cost > quota.burst() {
            return StepResult::Refused(Refusal::Never { max_cost: quota.burst() });
        }
        let after = level - i128::from(cost) * token;
        let wait = Self::wait(-after, quota);
        if wait > within {
            return StepResult::Refused(Refusal::Limited { retry_after: wait });
        }
        self.events.push((self.now, Event::Reserve { ticket, cost: cost.into() }));
        let (changes, returned) = self.since_change();
        let reservation = ModelReservation { at: self.now, level: after, returned, changes, cost: cost.into() };
        self.reservations.insert(ticket, reservation);
        StepResult::Reserved { wait, remaining: u64::try_from(after.div_euclid(token)).unwrap_or(0) }
    }

    /// Returns whether the wait of a ticket was not cancelled.
    fn is_active(&self, ticket: usize) -> bool {
        !self
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::CancelWait { ticket: cancelled, .. } if *cancelled == ticket))
    }

    fn remaining_wait(&self, ticket: usize) -> Duration {
        if !self.is_active(ticket) {
            return Duration::ZERO;
        }
        let (level, quota) = self.level(ticket);
        Self::wait(-level, quota)
    }

    /// Returns whether a ticket neither waits nor was cancelled.
    fn is_served(&self, ticket: usize) -> bool {
        self.is_active(ticket) && self.remaining_wait(ticket).is_zero()
    }

    /// Cancels a wait and returns its full cost. A ticket that no longer waits is used and keeps its cost.
    fn cancel_wait(&mut self, ticket: usize) {
        if !self.remaining_wait(ticket).is_zero() {
            let cost = self.reservations[&ticket].cost;
            self.events.push((self.now, Event::CancelWait { ticket, cost }));
        }
    }

    /// Returns the number of changes of the bucket, and the units that were returned since the last one.
    fn since_change(&self) -> (usize, i128) {
        self.events.iter().fold((0, 0), |(changes, returned), (_, event)| match event {
            Event::Update(_) | Event::Reset => (changes + 1, 0),
            Event::Return(units) => (changes, returned + units),
            Event::Reserve { .. } | Event::CancelWait { .. } => (changes, returned),
        })
    }

    /// Cancels a reservation, at most once. It returns only units that would certainly not have overflowed.
    fn cancel(&mut self, ticket: usize) {
        let Some(reservation) = self.reservations.remove(&ticket) else { return };
        let (changes_now, returned_now) = self.since_change();
        let (_, quota) = self.level(usize::MAX);
        let token = i128::from(quota.units_per_token());
        let refilled = (self.now - reservation.at) * i128::from(quota.units_per_us());
        let added = refilled + returned_now - reservation.returned;
        let free = i128::from(quota.burst()) * token - reservation.level - added;
        let units = free.min(reservation.cost * token);
        if reservation.changes == changes_now && units > 0 {
            self.events.push((self.now, Event::Return(units)));
        }
    }

    fn run_step(&mut self, number: usize, tickets: &[usize], step: &Step) -> StepResult {
        match step {
            Step::Pause(us) => self.now += i128::from(*us),
            Step::Reserve { cost, within } => return self.reserve(number, *cost, *within),
            Step::RemainingWait(index) => {
                return StepResult::Wait(
                    pick(tickets, index).map_or(Duration::ZERO, |ticket| self.remaining_wait(*ticket)),
                );
            }
            Step::CancelWait(index) => pick(tickets, index).into_iter().for_each(|ticket| self.cancel_wait(*ticket)),
            Step::Level => {
                let (level, quota) = self.level(usize::MAX);
                return StepResult::Level(i64::try_from(level.div_euclid(quota.units_per_token().into())).unwrap());
            }
            Step::Update(setting) => self.events.push((self.now, Event::Update(quota(*setting)))),
            Step::Reset => self.events.push((self.now, Event::Reset)),
            Step::Cancel(index) => pick(tickets, index).into_iter().for_each(|ticket| self.cancel(*ticket)),
        }
        StepResult::Done
    }
}

fn pick<'a, T>(tickets: &'a [T], index: &Index) -> Option<&'a T> {
    (!tickets.is_empty()).then(|| &tickets[index.index(tickets.len())])
}

/// Runs a step in memory. Returns its result and a new ticket with its reservation id.
fn run_in_memory(
    bucket: &mut Bucket,
    (tickets, reservations): (&[Ticket], &[ReservationId]),
    step: &Step,
    now: Timestamp,
) -> (StepResult, Option<(Ticket, ReservationId)>) {
    let result = match step {
        Step::Pause(_) => StepResult::Done,
        Step::Reserve { cost, within } => match bucket.reserve(*cost, *within, now) {
            Ok(BucketReservation { ticket, wait, remaining, id, .. }) => {
                return (StepResult::Reserved { wait, remaining }, Some((ticket, id)));
            }
            Err(refusal) => StepResult::Refused(refusal),
        },
        Step::RemainingWait(index) => {
            StepResult::Wait(pick(tickets, index).map_or(Duration::ZERO, |ticket| bucket.remaining_wait(ticket, now)))
        }
        Step::CancelWait(index) => {
            let _ = pick(tickets, index).is_some_and(|ticket| bucket.cancel_wait(ticket, now));
            StepResult::Done
        }
        Step::Level => StepResult::Level(bucket.level(now)),
        Step::Update(setting) => {
            bucket.update(quota(*setting), now);
            StepResult::Done
        }
        Step::Reset => {
            bucket.reset(now);
            StepResult::Done
        }
        Step::Cancel(index) => {
            let _ = pick(reservations, index).is_some_and(|id| bucket.cancel(id, now));
            StepResult::Done
        }
    };
    (result, None)
}

async fn run_in_redis(
    limit: &RedisLimit,
    (tickets, reservations): (&mut Vec<Option<RedisTicket>>, &mut Vec<ReservationId>),
    step: &Step,
) -> StepResult {
    match step {
        Step::Pause(_) => {}
        Step::Reserve { cost, within } => match limit.reserve(*cost, *within).await {
            Ok(reserved) => {
                tickets.push(Some(reserved.ticket));
                reservations.push(reserved.id.unwrap());
                return StepResult::Reserved { wait: reserved.wait, remaining: reserved.remaining };
            }
            Err(refusal) => return StepResult::Refused(refusal),
        },
        Step::RemainingWait(index) => {
            return StepResult::Wait(match pick(tickets, index) {
                Some(Some(ticket)) => limit.remaining_wait(ticket).await,
                _ => Duration::ZERO,
            });
        }
        Step::CancelWait(index) => {
            if !tickets.is_empty() {
                let at = index.index(tickets.len());
                tickets[at].take().into_iter().for_each(|ticket| limit.cancel_wait(ticket));
                // The cancellation is sent in the background. The next request is sent after its reply.
                limit.status().await.unwrap();
            }
        }
        Step::Level => return StepResult::Level(limit.status().await.unwrap().available),
        Step::Update(setting) => limit.update(quota(*setting)).await.unwrap(),
        Step::Reset => limit.reset().await.unwrap(),
        Step::Cancel(index) => {
            if let Some(id) = pick(reservations, index) {
                limit.cancel(id).await.unwrap();
            }
        }
    }
    StepResult::Done
}

/// Generates histories that mostly reserve, with costs around the capacity.
fn histories() -> impl Strategy<Value = ((u64, u64, u64), Vec<Step>)> {
    quotas().prop_flat_map(|setting| {
        let token_us = setting.1 / setting.0;
        let within = prop_oneof![Just(Duration::ZERO), Just(Duration::from_secs(30))];
        let reserve = (0..=setting.2 + 1, within).prop_map(|(cost, within)| Step::Reserve { cost, within });
        let step = prop_oneof![
            8 => reserve,
            4 => pauses(token_us).prop_map(Step::Pause),
            2 => any::<Index>().prop_map(Step::RemainingWait),
            2 => any::<Index>().prop_map(Step::CancelWait),
            1 => Just(Step::Level),
            1 => quotas().prop_map(Step::Update),
            1 => Just(Step::Reset),
            2 => any::<Index>().prop_map(Step::Cancel),
        ];
        (Just(setting), proptest::collection::vec(step, 1..80))
    })
}

/// Runs a history through the model and in memory, and in Redis if a limit is given, and asserts equal results.
async fn assert_equal_results(
    setting: (u64, u64, u64),
    steps: &[Step],
    clock: &ManualClock,
    redis: Option<&RedisLimit>,
) {
    let mut model = Model { initial_quota: quota(setting), events: Vec::new(), now: 0, reservations: BTreeMap::new() };
    let mut bucket = Bucket::full(quota(setting), clock.now());
    let start = clock.now();
    let (mut numbers, mut tickets, mut reservations) = (Vec::new(), Vec::new(), Vec::new());
    let (mut redis_tickets, mut redis_reservations) = (Vec::new(), Vec::new());
    for (number, step) in steps.iter().enumerate() {
        if let Step::Pause(us) = step {
            clock.advance(Duration::from_micros(*us));
        }
        let now = Timestamp::from_micros((clock.now() - start).as_micros().try_into().unwrap());
        // Only a reservation that neither waits nor was cancelled can be cancelled by its id.
        if let Step::Cancel(index) = step
            && let Some(ticket) = pick(&numbers, index)
            && !model.is_served(*ticket)
        {
            continue;
        }
        let expected = model.run_step(number + 1, &numbers, step);
        let (result, reserved) = run_in_memory(&mut bucket, (&tickets, &reservations), step, clock.now());
        assert_eq!(result, expected, "memory at step {number}, {step:?}, {now:?}");
        if let Some(redis) = redis {
            let result = run_in_redis(redis, (&mut redis_tickets, &mut redis_reservations), step).await;
            assert_eq!(result, expected, "Redis at step {number}, {step:?}, {now:?}");
        }
        if let Some((ticket, id)) = reserved {
            numbers.push(number + 1);
            tickets.push(ticket);
            reservations.push(id);
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #[test]
    fn memory_store_matches_the_model((setting, steps) in histories()) {
        block_on(assert_equal_results(setting, &steps, &ManualClock::default(), None));
    }
}

/// The number of histories that run on a real server.
const CASES: u32 = 300;

#[test]
fn redis_store_matches_memory_and_the_model() {
    let server = RedisServer::start();
    block_on(async {
        let redis = server.redis().await;
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(CASES));
        let strategy = histories();
        for case in 0..CASES {
            let tree = strategy.new_tree(&mut runner).unwrap();
            let (setting, steps) = tree.current();
            let clock = Arc::new(ManualClock::default());
            let shared_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
            let limit = LimitConfig::new(quota(setting)).with_on_redis_failure(OnRedisFailure::Closed);
            let name = format!("case{case}");
            let limit = RedisLimit::with_clock(redis.clone(), &name, limit, shared_clock);
            assert_equal_results(setting, &steps, &clock, Some(&limit)).await;
        }
    });
}
