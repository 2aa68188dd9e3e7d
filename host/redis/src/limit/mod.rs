//! One platform's bucket in Redis; what holds while Redis is away.

mod flight;
mod local;
mod reply;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::{micros, millis};
use tidegate_core::config::LimitConfig;
use tidegate_core::store::{LimitStatus, LimitStore, OnFailure, Reserved, Signal, StoreError};
use tidegate_core::{Clock, Decision, Quota, Receipt, Ticket, Timestamp};

use crate::Redis;
use flight::{Gate, Landing, Luggage, Op};
use local::{AGAIN, Share};
use reply::{Answer, Answered, Head, quota_text};

/// The bucket of one platform, shared by all processes that use the same Redis and prefix.
pub struct RedisLimit(Arc<Shared>);

struct Shared {
    redis: Redis,
    /// The bucket, those who wait, the reply to the last flight, receipts that were given back.
    keys: [String; 4],
    channel: String,
    clock: Arc<dyn Clock>,
    /// Redis's own clock decides, except in tests.
    time: Option<Arc<dyn Clock>>,
    gate: Gate,
    /// The process, as receipts have it.
    origin: u64,
    tickets: AtomicU64,
    state: Mutex<State>,
    /// Held so that the channel stays subscribed.
    _moved: Mutex<Box<dyn Signal>>,
}

struct State {
    configured: LimitConfig,
    /// Whether Redis has still to hear of it.
    news: bool,
    seen: Option<Seen>,
    /// There while Redis is away.
    share: Option<Arc<Share>>,
}

/// What a flight said of the bucket, and when.
struct Seen {
    head: Head,
    at: Timestamp,
}

/// A place in the queue of a bucket.
pub enum Place {
    /// In Redis.
    Shared {
        /// The script's name of it.
        ticket: String,
        /// Which bucket it belongs to: one that lost its data knows nothing of it.
        born: u64,
        /// When its slot comes, in microseconds of the process's clock.
        due: AtomicU64,
    },
    /// In this process's share.
    Share(Arc<Share>, Ticket, u64),
    /// Let go without asking.
    Open,
}

impl RedisLimit {
    /// The bucket of `platform`. Redis hears of the configuration as soon as it can.
    #[must_use]
    pub fn new(redis: Redis, platform: &str, limit: LimitConfig, clock: Arc<dyn Clock>) -> Self {
        Self::open(redis, platform, limit, clock, true, None)
    }

    /// The same for one who only looks: the limit in Redis stays as it is, whatever the configuration here says.
    #[must_use]
    pub fn observed(redis: Redis, platform: &str, limit: LimitConfig, clock: Arc<dyn Clock>) -> Self {
        Self::open(redis, platform, limit, clock, false, None)
    }

    /// A bucket that goes by `clock` instead of Redis's own, for tests.
    #[must_use]
    pub fn timed(redis: Redis, platform: &str, limit: LimitConfig, clock: Arc<dyn Clock>) -> Self {
        let time = Some(Arc::clone(&clock));
        Self::open(redis, platform, limit, clock, true, time)
    }

    fn open(
        redis: Redis,
        platform: &str,
        limit: LimitConfig,
        clock: Arc<dyn Clock>,
        news: bool,
        time: Option<Arc<dyn Clock>>,
    ) -> Self {
        let keys = redis.keys();
        let channel = keys.limit_moved(platform);
        let shared = Arc::new(Shared {
            keys: [
                keys.limit(platform),
                keys.limit_waiting(platform),
                keys.limit_flight(platform, redis.process()),
                keys.limit_spent(platform),
            ],
            origin: u64::from_str_radix(redis.process(), 16).unwrap_or(0),
            _moved: Mutex::new(redis.signal(&channel)),
            channel,
            redis,
            clock,
            time,
            gate: Gate::default(),
            tickets: AtomicU64::new(0),
            state: Mutex::new(State { configured: limit, news, seen: None, share: None }),
        });
        if news {
            drop(shared.board(Op::Status));
        }
        Self(shared)
    }

    /// Asks and gives the answer to one operation that must not fail silently.
    async fn ask(&self, op: Op) -> Result<Head, StoreError> {
        self.0.ask(op).await.map(|(head, _)| head)
    }
}

impl Shared {
    async fn ask(self: &Arc<Self>, op: Op) -> Result<(Head, Answer), StoreError> {
        let gone = StoreError::away("the runtime that speaks to Redis has ended");
        self.board(op).await.unwrap_or(Err(gone)).map(Landing::claim)
    }

    /// Asks Redis for a slot.
    async fn reserve(
        self: &Arc<Self>,
        cost: u64,
        within: Duration,
    ) -> Result<Result<Reserved<Place>, Decision>, StoreError> {
        // One that is known to be away is not even asked: decisions go on at the speed of memory.
        if let Some(reason) = self.redis.away(&self.keys[0]) {
            return Err(StoreError::away(&*reason));
        }
        let number = self.tickets.fetch_add(1, Ordering::Relaxed);
        let ticket = ticket(self.origin, number);
        let (head, answer) = self.ask(Op::Reserve { ticket: ticket.clone(), cost, within_us: micros(within) }).await?;
        Ok(match answer.answered {
            Answered::Done { wait, remaining } => {
                let due = AtomicU64::new((self.clock.now() + wait).as_micros());
                let ticket = Place::Shared { ticket: format!("{ticket}:{cost}"), born: head.born, due };
                let receipt = Receipt { origin: self.origin, number, ..answer.receipt(&head, cost) };
                Ok(Reserved { ticket, wait, remaining, receipt: Some(receipt) })
            }
            Answered::Limited { retry_after } => Err(Decision::Limited { retry_after }),
            Answered::Never { max } => Err(Decision::Never { max }),
        })
    }

    /// What the next flight carries.
    fn luggage(&self) -> Luggage {
        let (state, now) = (self.state.lock(), self.clock.now());
        let in_force = state.seen.as_ref().map_or(state.configured.quota, |seen| seen.head.quota);
        // A bucket that was seen less full than it would be by now has been lost, not forgotten.
        let lost = state.seen.as_ref().is_some_and(|seen| now - seen.at < seen.head.full_in);
        let news = if state.news { quota_text(state.configured.quota) } else { String::new() };
        let time = self.time.as_ref().map_or_else(String::new, |time| time.now().as_micros().to_string());
        let lost = if lost { "1" } else { "0" };
        let texts = [self.channel.clone(), time, lost.to_owned(), quota_text(in_force), news];
        Luggage {
            arguments: texts.into_iter().map(String::into_bytes).collect(),
            debt: state.share.as_ref().map_or(0, |share| share.debt(now)),
            news: state.news.then_some(state.configured.quota),
        }
    }

    /// Takes note of what a flight brought.
    fn landed(&self, luggage: &Luggage, head: &Head) {
        let at = self.clock.now();
        let mut state = self.state.lock();
        // What was configured while the flight was in the air is still news.
        state.news &= luggage.news != Some(state.configured.quota);
        state.seen = Some(Seen { head: head.clone(), at });
        if state.share.take().is_some() {
            tracing::info!(bucket = self.keys[0], debited = luggage.debt, "the shared limit is in force again");
        }
    }

    /// What holds while Redis gives no answer.
    fn alone(&self, cost: u64, within: Duration) -> Result<Reserved<Place>, Decision> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        match state.configured.on_redis_failure {
            OnFailure::Open => Ok(Reserved { ticket: Place::Open, wait: Duration::ZERO, remaining: 0, receipt: None }),
            OnFailure::Closed => Err(Decision::Limited { retry_after: AGAIN }),
            OnFailure::Local => {
                if state.share.is_none() {
                    let quota = state.seen.as_ref().map_or(state.configured.quota, |seen| seen.head.quota);
                    let processes = self.redis.processes();
                    tracing::warn!(bucket = self.keys[0], processes, "going on with this process's share");
                    state.share = Share::empty(quota, processes, now).map(Arc::new);
                }
                let share = state.share.clone().ok_or(Decision::Limited { retry_after: AGAIN })?;
                drop(state);
                let (ticket, wait, remaining) = share.reserve(cost, within, now)?;
                Ok(Reserved { ticket: Place::Share(share, ticket, cost), wait, remaining, receipt: None })
            }
        }
    }

    fn closed(&self) -> bool {
        self.state.lock().configured.on_redis_failure == OnFailure::Closed
    }
}

impl LimitStore for RedisLimit {
    type Ticket = Place;
    type Moved = Box<dyn Signal>;

    async fn reserve(&self, cost: u64, within: Duration) -> Result<Reserved<Place>, Decision> {
        let asked = self.0.clock.now();
        match self.0.reserve(cost, within).await {
            Ok(ended) => ended,
            Err(_) if !within.is_zero() && self.0.closed() => {
                // Whoever has time to wait for a slot has time to wait for Redis.
                let _ = tokio::time::timeout(within, self.0.redis.back(&self.0.keys[0])).await;
                let left = (asked + within) - self.0.clock.now();
                self.0.reserve(cost, left).await.unwrap_or_else(|_| self.0.alone(cost, left))
            }
            Err(_) => self.0.alone(cost, within),
        }
    }

    async fn look(&self, place: &Place) -> Duration {
        match place {
            Place::Open => Duration::ZERO,
            Place::Share(share, ticket, _) => share.look(ticket, self.0.clock.now()),
            Place::Shared { ticket, born, due } => {
                let answer = self.0.ask(Op::Look { ticket: ticket.clone() }).await;
                let now = self.0.clock.now();
                if let Ok((head, Answer { answered: Answered::Done { wait, .. }, .. })) = answer
                    && head.born == *born
                {
                    due.store((now + wait).as_micros(), Ordering::Relaxed);
                }
                // Where nobody knows better, what was promised holds.
                Timestamp::from_micros(due.load(Ordering::Relaxed)) - now
            }
        }
    }

    fn cancel(&self, place: Place) {
        match place {
            Place::Open => {}
            Place::Share(share, ticket, cost) => share.cancel(&ticket, cost, self.0.clock.now()),
            Place::Shared { ticket, .. } => drop(self.0.board(Op::Cancel { ticket })),
        }
    }

    async fn give_back(&self, receipt: &Receipt) -> Result<(), StoreError> {
        let ticket = ticket(receipt.origin, receipt.number);
        self.ask(Op::GiveBack { ticket, receipt: *receipt }).await.map(drop)
    }

    fn moved(&self) -> Box<dyn Signal> {
        self.0.redis.signal(&self.0.channel)
    }

    fn quota(&self) -> Quota {
        let state = self.0.state.lock();
        state.seen.as_ref().map_or(state.configured.quota, |seen| seen.head.quota)
    }

    fn seen(&self) -> LimitStatus {
        let (state, now) = (self.0.state.lock(), self.0.clock.now());
        match &state.seen {
            Some(seen) => status(&seen.head, now - seen.at),
            // Not heard of yet: as if nobody had called.
            None => LimitStatus {
                rate: state.configured.quota.rate().to_string(),
                burst: state.configured.quota.burst(),
                available: i64::try_from(state.configured.quota.burst()).unwrap_or(i64::MAX),
                full_in_ms: 0,
            },
        }
    }

    async fn status(&self) -> Result<LimitStatus, StoreError> {
        self.ask(Op::Status).await.map(|head| status(&head, Duration::ZERO))
    }

    async fn update(&self, quota: Quota) -> Result<(), StoreError> {
        self.ask(Op::Update { quota: quota_text(quota) }).await.map(drop)
    }

    fn configure(&self, quota: Quota, on_failure: OnFailure) {
        let mut state = self.0.state.lock();
        state.configured = LimitConfig { quota, on_redis_failure: on_failure };
        state.news = true;
        drop(state);
        drop(self.0.board(Op::Status));
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.ask(Op::Reset).await.map(drop)
    }
}

/// The script's name of a place: no two processes have the same.
fn ticket(origin: u64, number: u64) -> String {
    format!("{origin:x}.{number}")
}

/// What a bucket is like so long after it was heard of, if nobody has called since.
fn status(head: &Head, later: Duration) -> LimitStatus {
    let quota = head.quota;
    let flowed = u128::from(micros(later)) * u128::from(quota.units_per_us()) / u128::from(quota.units_per_token());
    let burst = i64::try_from(quota.burst()).unwrap_or(i64::MAX);
    LimitStatus {
        rate: quota.rate().to_string(),
        burst: quota.burst(),
        available: head.level.saturating_add(i64::try_from(flowed).unwrap_or(i64::MAX)).min(burst),
        full_in_ms: millis(head.full_in.saturating_sub(later)),
    }
}
