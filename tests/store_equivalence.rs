//! One truth in three forms: a naive model, the bucket in memory and the bucket in Redis answer the same histories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use tidegate::core::config::LimitConfig;
use tidegate::core::store::{LimitStore, OnRedisFailure};
use tidegate::core::{Bucket, Clock, ReservationId, Ticket, Timestamp};
use tidegate::redis::{RedisLimit, RedisTicket};
use tidegate::{Decision, Quota};

use crate::limits::{pauses, quota, quotas};
use crate::servers::RedisServer;

/// A clock that a test moves, in microseconds.
#[derive(Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    pub fn advance(&self, us: u64) {
        self.0.fetch_add(us, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / 1_000
    }
}

/// What an operation brings, in words that every form can say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Reserved { wait: Duration, remaining: u64 },
    Refused(Decision),
    Wait(Duration),
    Level(i64),
    Done,
}

/// One thing that somebody does.
#[derive(Clone, Debug)]
enum Step {
    Pause(u64),
    Reserve { cost: u64, within: Duration },
    Look(Index),
    Cancel(Index),
    Level,
    Update((u64, u64, u64)),
    Reset,
    GiveBack(Index),
}

/// A list of what happened, worked through anew from the beginning for every question; what a ticket waits for is the
/// list without those who came after it.
struct Model {
    first: Quota,
    events: Vec<(i128, Event)>,
    now: i128,
    /// What each reservation knew: when, the level after it, what had been returned and changed by then, its cost.
    receipts: BTreeMap<usize, (i128, i128, i128, usize, i128)>,
}

enum Event {
    Take { ticket: usize, cost: i128 },
    Cancel { ticket: usize, cost: i128 },
    Update(Quota),
    Reset,
    Return(i128),
}

impl Model {
    /// The level in units, and the quota, with those only who came no later than `last`.
    fn level(&self, last: usize) -> (i128, Quota) {
        let (mut quota, mut mark) = (self.first, 0);
        let token = |quota: Quota| i128::from(quota.units_per_token());
        let capacity = |quota: Quota| i128::from(quota.burst()) * token(quota);
        let mut level = capacity(quota);
        let end = (self.now, Event::Take { ticket: 0, cost: 0 });
        for (at, event) in self.events.iter().chain([&end]) {
            level = (level + (at - mark) * i128::from(quota.units_per_us())).min(capacity(quota));
            mark = *at;
            match event {
                Event::Take { ticket, cost } if *ticket <= last => level -= cost * token(quota),
                Event::Cancel { ticket, cost } if *ticket <= last => level += cost * token(quota),
                Event::Take { .. } | Event::Cancel { .. } => {}
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

    /// The first microsecond at which so many units have come.
    fn wait(missing: i128, quota: Quota) -> Duration {
        let flow = i128::from(quota.units_per_us());
        let wait = if missing <= 0 { 0 } else { (missing + flow - 1) / flow };
        Duration::from_micros(u64::try_from(wait).unwrap())
    }

    fn reserve(&mut self, ticket: usize, cost: u64, within: Duration) -> Answer {
        let (level, quota) = self.level(usize::MAX);
        let token = i128::from(quota.units_per_token());
        if cost > quota.burst() {
            return Answer::Refused(Decision::Never { max: quota.burst() });
        }
        let after = level - i128::from(cost) * token;
        let wait = Self::wait(-after, quota);
        if wait > within {
            return Answer::Refused(Decision::Limited { retry_after: wait });
        }
        self.events.push((self.now, Event::Take { ticket, cost: cost.into() }));
        let (changes, returned) = self.since_change();
        self.receipts.insert(ticket, (self.now, after, returned, changes, cost.into()));
        Answer::Reserved { wait, remaining: u64::try_from(after.div_euclid(token)).unwrap_or(0) }
    }

    /// Whether a ticket is one that nobody gave back while it waited.
    fn stands(&self, ticket: usize) -> bool {
        !self.events.iter().any(|(_, event)| matches!(event, Event::Cancel { ticket: one, .. } if *one == ticket))
    }

    fn look(&self, ticket: usize) -> Duration {
        if !self.stands(ticket) {
            return Duration::ZERO;
        }
        let (level, quota) = self.level(ticket);
        Self::wait(-level, quota)
    }

    /// Whether a ticket was neither cancelled nor still waits.
    fn is_served(&self, ticket: usize) -> bool {
        self.stands(ticket) && self.look(ticket).is_zero()
    }

    /// A slot that has come is spent; one that has not gives all back to those behind it.
    fn cancel(&mut self, ticket: usize) {
        if !self.look(ticket).is_zero() {
            let cost = self.receipts[&ticket].4;
            self.events.push((self.now, Event::Cancel { ticket, cost }));
        }
    }

    /// How often the bucket was changed, and what was returned since it last was.
    fn since_change(&self) -> (usize, i128) {
        self.events.iter().fold((0, 0), |(changes, returned), (_, event)| match event {
            Event::Update(_) | Event::Reset => (changes + 1, 0),
            Event::Return(units) => (changes, returned + units),
            Event::Take { .. } | Event::Cancel { .. } => (changes, returned),
        })
    }

    /// Returns what would surely not have flowed over, once.
    fn give_back(&mut self, ticket: usize) {
        let Some((at, level, returned, changes, cost)) = self.receipts.remove(&ticket) else { return };
        let (changed, returned_now) = self.since_change();
        let (_, quota) = self.level(usize::MAX);
        let token = i128::from(quota.units_per_token());
        let came = (self.now - at) * i128::from(quota.units_per_us()) + returned_now - returned;
        let units = (i128::from(quota.burst()) * token - level - came).min(cost * token);
        if changes == changed && units > 0 {
            self.events.push((self.now, Event::Return(units)));
        }
    }

    fn play(&mut self, number: usize, tickets: &[usize], step: &Step) -> Answer {
        match step {
            Step::Pause(us) => self.now += i128::from(*us),
            Step::Reserve { cost, within } => return self.reserve(number, *cost, *within),
            Step::Look(index) => {
                return Answer::Wait(pick(tickets, index).map_or(Duration::ZERO, |one| self.look(*one)));
            }
            Step::Cancel(index) => pick(tickets, index).into_iter().for_each(|one| self.cancel(*one)),
            Step::Level => {
                let (level, quota) = self.level(usize::MAX);
                return Answer::Level(i64::try_from(level.div_euclid(quota.units_per_token().into())).unwrap());
            }
            Step::Update(setting) => self.events.push((self.now, Event::Update(quota(*setting)))),
            Step::Reset => self.events.push((self.now, Event::Reset)),
            Step::GiveBack(index) => pick(tickets, index).into_iter().for_each(|one| self.give_back(*one)),
        }
        Answer::Done
    }
}

fn pick<'a, T>(tickets: &'a [T], index: &Index) -> Option<&'a T> {
    (!tickets.is_empty()).then(|| &tickets[index.index(tickets.len())])
}

fn in_memory(
    bucket: &mut Bucket,
    (tickets, receipts): (&[Ticket], &[ReservationId]),
    step: &Step,
    now: Timestamp,
) -> (Answer, Option<(Ticket, ReservationId)>) {
    let answer = match step {
        Step::Pause(_) => Answer::Done,
        Step::Reserve { cost, within } => match bucket.reserve(*cost, *within, now) {
            Ok(ticket) => {
                let (wait, level) = (bucket.remaining_wait(&ticket, now), bucket.level(now));
                let receipt = bucket.reservation_id(*cost);
                return (
                    Answer::Reserved { wait, remaining: u64::try_from(level).unwrap_or(0) },
                    Some((ticket, receipt)),
                );
            }
            Err(refusal) => Answer::Refused(refusal),
        },
        Step::Look(index) => {
            Answer::Wait(pick(tickets, index).map_or(Duration::ZERO, |ticket| bucket.remaining_wait(ticket, now)))
        }
        Step::Cancel(index) => {
            let _ = pick(tickets, index).is_some_and(|ticket| bucket.cancel_wait(ticket, now));
            Answer::Done
        }
        Step::Level => Answer::Level(bucket.level(now)),
        Step::Update(setting) => {
            bucket.update(quota(*setting), now);
            Answer::Done
        }
        Step::Reset => {
            bucket.reset(now);
            Answer::Done
        }
        Step::GiveBack(index) => {
            let _ = pick(receipts, index).is_some_and(|receipt| bucket.cancel(receipt, now));
            Answer::Done
        }
    };
    (answer, None)
}

async fn in_redis(
    limit: &RedisLimit,
    (tickets, receipts): (&mut Vec<Option<RedisTicket>>, &mut Vec<ReservationId>),
    step: &Step,
) -> Answer {
    match step {
        Step::Pause(_) => {}
        Step::Reserve { cost, within } => match limit.reserve(*cost, *within).await {
            Ok(reserved) => {
                tickets.push(Some(reserved.ticket));
                receipts.push(reserved.id.unwrap());
                return Answer::Reserved { wait: reserved.wait, remaining: reserved.remaining };
            }
            Err(refusal) => return Answer::Refused(refusal),
        },
        Step::Look(index) => {
            return Answer::Wait(match pick(tickets, index) {
                Some(Some(place)) => limit.remaining_wait(place).await,
                _ => Duration::ZERO,
            });
        }
        Step::Cancel(index) => {
            if !tickets.is_empty() {
                let at = index.index(tickets.len());
                tickets[at].take().into_iter().for_each(|place| limit.cancel_wait(place));
                // It goes its own way; the next flight leaves after it has landed.
                limit.status().await.unwrap();
            }
        }
        Step::Level => return Answer::Level(limit.status().await.unwrap().available),
        Step::Update(setting) => limit.update(quota(*setting)).await.unwrap(),
        Step::Reset => limit.reset().await.unwrap(),
        Step::GiveBack(index) => {
            if let Some(receipt) = pick(receipts, index) {
                limit.cancel(receipt).await.unwrap();
            }
        }
    }
    Answer::Done
}

/// Histories that mostly reserve, near the edge of what fits.
fn steps() -> impl Strategy<Value = ((u64, u64, u64), Vec<Step>)> {
    quotas().prop_flat_map(|setting| {
        let token_us = setting.1 / setting.0;
        let within = prop_oneof![Just(Duration::ZERO), Just(Duration::from_secs(30))];
        let reserve = (0..=setting.2 + 1, within).prop_map(|(cost, within)| Step::Reserve { cost, within });
        let step = prop_oneof![
            8 => reserve,
            4 => pauses(token_us).prop_map(Step::Pause),
            2 => any::<Index>().prop_map(Step::Look),
            2 => any::<Index>().prop_map(Step::Cancel),
            1 => Just(Step::Level),
            1 => quotas().prop_map(Step::Update),
            1 => Just(Step::Reset),
            2 => any::<Index>().prop_map(Step::GiveBack),
        ];
        (Just(setting), proptest::collection::vec(step, 1..80))
    })
}

/// Runs a history through model and memory, and through Redis where there is a limit in it.
async fn agree(setting: (u64, u64, u64), steps: &[Step], hand: &ManualClock, redis: Option<&RedisLimit>) {
    let mut model = Model { first: quota(setting), events: Vec::new(), now: 0, receipts: BTreeMap::new() };
    let mut bucket = Bucket::full(quota(setting), hand.now());
    let start = hand.now();
    let (mut numbers, mut tickets, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut places, mut theirs) = (Vec::new(), Vec::new());
    for (number, step) in steps.iter().enumerate() {
        if let Step::Pause(us) = step {
            hand.advance(*us);
        }
        let now = Timestamp::from_micros((hand.now() - start).as_micros().try_into().unwrap());
        // A slot that has not come is cancelled, not given back, and what was cancelled is gone.
        if let Step::GiveBack(index) = step
            && let Some(one) = pick(&numbers, index)
            && !model.is_served(*one)
        {
            continue;
        }
        let expected = model.play(number + 1, &numbers, step);
        let (said, ticket) = in_memory(&mut bucket, (&tickets, &receipts), step, hand.now());
        assert_eq!(said, expected, "memory at step {number}, {step:?}, {now:?}");
        if let Some(redis) = redis {
            let said = in_redis(redis, (&mut places, &mut theirs), step).await;
            assert_eq!(said, expected, "Redis at step {number}, {step:?}, {now:?}");
        }
        if let Some((ticket, receipt)) = ticket {
            numbers.push(number + 1);
            tickets.push(ticket);
            receipts.push(receipt);
        }
    }
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #[test]
    fn memory_answers_as_the_model((setting, steps) in steps()) {
        run(agree(setting, &steps, &ManualClock::default(), None));
    }
}

/// Histories that go through a real server.
const CASES: u32 = 300;

#[test]
fn redis_answers_as_memory_and_the_model() {
    let server = RedisServer::start();
    run(async {
        let redis = server.redis().await;
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(CASES));
        let strategy = steps();
        for case in 0..CASES {
            let tree = strategy.new_tree(&mut runner).unwrap();
            let (setting, steps) = tree.current();
            let hand = Arc::new(ManualClock::default());
            let clock: Arc<dyn Clock> = Arc::clone(&hand) as Arc<dyn Clock>;
            let limit = LimitConfig { quota: quota(setting), on_redis_failure: OnRedisFailure::Closed };
            let name = format!("case{case}");
            let limit = RedisLimit::with_clock(redis.clone(), &name, limit, clock);
            agree(setting, &steps, &hand, Some(&limit)).await;
        }
    });
}
