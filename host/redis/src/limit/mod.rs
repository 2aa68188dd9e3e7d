//! The bucket of one limit in Redis, and the degraded mode of the limit while Redis is unavailable.

mod batch;
mod local_share;
mod reply;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::micros;
use tidegate_core::config::LimitConfig;
use tidegate_core::store::{LimitStore, OnRedisFailure, ReservationParts, Signal, StoreError, StoreReservation};
use tidegate_core::{Clock, LimitStatus, Quota, Refusal, ReservationId, Ticket, Timestamp};

use crate::client::Redis;
use batch::{BatchHeader, Batcher, LimitOp, UnclaimedReply};
use local_share::{LocalShare, RETRY_AFTER};
use reply::{BucketState, OpOutcome, OpReply, format_quota};

/// A [`LimitStore`] whose bucket all processes with the same Redis and prefix share.
pub struct RedisLimit(Arc<LimitInner>);

struct LimitInner {
    redis: Redis,
    platform: String,
    /// The keys of the bucket, its waiting calls, the reply to the last batch, and cancelled reservations.
    keys: [String; 4],
    channel: String,
    clock: Arc<dyn Clock>,
    /// Replaces the clock of the Redis server, for tests.
    script_clock: Option<Arc<dyn Clock>>,
    batcher: Batcher,
    /// The id of this process in reservation ids.
    process_id: u64,
    next_ticket: AtomicU64,
    state: Mutex<LocalState>,
    /// Keeps the channel subscribed after the first call that could wait.
    subscription: OnceLock<Mutex<Box<dyn Signal>>>,
}

struct LocalState {
    configured: LimitConfig,
    /// The time at which this process received the configuration.
    configured_at: Timestamp,
    /// Whether this process still has to announce the configured quota to Redis.
    config_changed: bool,
    cached: Option<CachedBucket>,
    /// The local share, while Redis is unavailable.
    share: Option<Arc<LocalShare>>,
}

/// The state of the bucket in the last reply, and the time at which the reply was received.
struct CachedBucket {
    bucket: BucketState,
    received_at: Timestamp,
}

/// The ticket of a reservation in Redis, or in this process's local share while Redis is unavailable.
#[derive(Debug)]
pub struct RedisTicket(TicketState);

#[derive(Debug)]
enum TicketState {
    /// A reservation in Redis.
    Shared {
        /// The name of the reservation in the limit script, with its cost.
        ticket: String,
        /// The creation time of the bucket that granted it, in microseconds. A bucket that was created later does not
        /// contain it.
        created_at: u64,
        /// The time at which the call may be sent, in microseconds of this process's clock.
        due_at: AtomicU64,
    },
    /// A reservation in this process's local share, with its ticket there and its cost.
    Local(Arc<LocalShare>, Ticket, u64),
    /// A call that was allowed without a bucket, because of `on_redis_failure = "open"`.
    Open,
}

impl fmt::Debug for RedisLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimit").field("platform", &self.0.platform).finish_non_exhaustive()
    }
}

impl RedisLimit {
    /// Creates the limit of `platform`. It sends nothing to Redis until it is used.
    ///
    /// The first request contains its configuration, unless the client [is read-only](Redis::is_read_only). In this
    /// case the quota in Redis is unchanged.
    #[must_use]
    pub fn new(redis: Redis, platform: &str, limit: LimitConfig) -> Self {
        let clock = Arc::clone(redis.clock());
        Self::open(redis, platform, limit, clock, None)
    }

    /// Creates a limit that uses `clock` in place of the clocks of the client and of the Redis server, for the tests of
    /// this workspace.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn with_clock(redis: Redis, platform: &str, limit: LimitConfig, clock: Arc<dyn Clock>) -> Self {
        let script_clock = Some(Arc::clone(&clock));
        Self::open(redis, platform, limit, clock, script_clock)
    }

    fn open(
        redis: Redis,
        platform: &str,
        limit: LimitConfig,
        clock: Arc<dyn Clock>,
        script_clock: Option<Arc<dyn Clock>>,
    ) -> Self {
        let config_changed = !redis.is_read_only();
        let keys = redis.keys();
        let channel = keys.limit_changed(platform);
        Self(Arc::new(LimitInner {
            platform: platform.to_owned(),
            keys: [
                keys.limit(platform),
                keys.limit_waiting(platform),
                keys.limit_batch(platform, redis.process()),
                keys.limit_cancelled(platform),
            ],
            process_id: u64::from_str_radix(redis.process(), 16).unwrap_or(0),
            subscription: OnceLock::new(),
            channel,
            redis,
            script_clock,
            batcher: Batcher::default(),
            next_ticket: AtomicU64::new(0),
            state: Mutex::new(LocalState {
                configured: limit,
                configured_at: clock.now(),
                config_changed,
                cached: None,
                share: None,
            }),
            clock,
        }))
    }

    /// Runs one operation and returns the state of the bucket.
    async fn run(&self, op: LimitOp) -> Result<BucketState, StoreError> {
        self.0.run(op).await.map(|(bucket, _)| bucket)
    }
}

impl LimitInner {
    async fn run(self: &Arc<Self>, op: LimitOp) -> Result<(BucketState, OpReply), StoreError> {
        let ended = StoreError::unavailable("redis unavailable: its tokio runtime has ended");
        self.enqueue(op).await.unwrap_or(Err(ended)).map(UnclaimedReply::claim)
    }

    /// Reserves tokens in Redis.
    async fn reserve(
        self: &Arc<Self>,
        cost: u64,
        within: Duration,
    ) -> Result<Result<StoreReservation<RedisTicket>, Refusal>, StoreError> {
        // While Redis is known to be unavailable, no request is sent, so decisions are as fast as in memory.
        if let Some(reason) = self.redis.unavailable_reason(&self.keys[0]) {
            return Err(StoreError::unavailable(&*reason));
        }
        let number = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let ticket = ticket_name(self.process_id, number);
        let op = LimitOp::Reserve { ticket: ticket.clone(), cost, within_us: micros(within) };
        let (bucket, reply) = self.run(op).await?;
        Ok(match reply.outcome {
            OpOutcome::Done { wait, remaining } => {
                let due_at = AtomicU64::new((self.clock.now() + wait).as_micros());
                let ticket =
                    TicketState::Shared { ticket: format!("{ticket}:{cost}"), created_at: bucket.created_at, due_at };
                let ticket = RedisTicket(ticket);
                let parts = reply.reservation_parts(&bucket, cost);
                let parts = ReservationParts { process_id: self.process_id, number, ..parts };
                Ok(StoreReservation::new(ticket, wait, remaining).with_id(ReservationId::from_parts(parts)))
            }
            OpOutcome::Limited { retry_after } => Err(Refusal::Limited { retry_after }),
            OpOutcome::Never { max } => Err(Refusal::Never { max_cost: max }),
        })
    }

    /// Returns the contents of the next batch besides its operations.
    fn batch_header(&self) -> BatchHeader {
        let (state, now) = (self.state.lock(), self.clock.now());
        let quota = state.cached.as_ref().map_or(state.configured.quota, |cached| cached.bucket.quota);
        // A bucket in Redis does not expire. If it is missing before it would have been full again, its data was lost,
        // and the new bucket must start empty.
        let not_full_yet = |cached: &CachedBucket| now - cached.received_at < cached.bucket.full_in;
        let start_empty = if state.cached.as_ref().is_some_and(not_full_yet) { "1" } else { "0" };
        let announced_quota = state.config_changed.then_some(state.configured.quota);
        let time = self.script_clock.as_ref().map_or_else(String::new, |clock| clock.now().as_micros().to_string());
        let age = announced_quota.map_or_else(String::new, |_| micros(now - state.configured_at).to_string());
        let args = [
            self.channel.clone(),
            time,
            start_empty.to_owned(),
            format_quota(quota),
            if self.redis.is_read_only() { String::new() } else { format_quota(state.configured.quota) },
            age,
        ];
        BatchHeader {
            args: args.into_iter().map(String::into_bytes).collect(),
            debt: state.share.as_ref().map_or(0, |share| share.debt(now)),
            announced_quota,
        }
    }

    /// Caches the bucket's state, which a reply contains, and ends the use of the local share.
    fn handle_reply(&self, header: &BatchHeader, bucket: &BucketState) {
        let received_at = self.clock.now();
        let mut state = self.state.lock();
        // A quota that was configured after the batch was sent still has to be announced.
        state.config_changed &= header.announced_quota != Some(state.configured.quota);
        state.cached = Some(CachedBucket { bucket: bucket.clone(), received_at });
        if state.share.take().is_some() {
            tracing::info!(limit = self.platform, debited = header.debt, "redis recovered, limit is shared again");
        }
    }

    /// Decides as `on_redis_failure` requires, without Redis.
    fn reserve_degraded(&self, cost: u64, within: Duration) -> Result<StoreReservation<RedisTicket>, Refusal> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        match state.configured.on_redis_failure {
            OnRedisFailure::Open => Ok(StoreReservation::new(RedisTicket(TicketState::Open), Duration::ZERO, 0)),
            // A read-only process is not counted among those that share the limit, so it has no share.
            OnRedisFailure::Local if self.redis.is_read_only() => Err(Refusal::Limited { retry_after: RETRY_AFTER }),
            OnRedisFailure::Closed => Err(Refusal::Limited { retry_after: RETRY_AFTER }),
            OnRedisFailure::Local => {
                if state.share.is_none() {
                    let quota = state.cached.as_ref().map_or(state.configured.quota, |cached| cached.bucket.quota);
                    let processes = self.redis.processes();
                    tracing::warn!(limit = self.platform, processes, "redis unavailable, limit uses its local share");
                    state.share = LocalShare::empty(quota, processes, now).map(Arc::new);
                }
                let share = state.share.clone().ok_or(Refusal::Limited { retry_after: RETRY_AFTER })?;
                drop(state);
                let reserved = share.reserve(cost, within, now)?;
                let ticket = RedisTicket(TicketState::Local(share, reserved.ticket, cost));
                Ok(StoreReservation::new(ticket, reserved.wait, reserved.remaining))
            }
        }
    }

    fn fails_closed(&self) -> bool {
        self.state.lock().configured.on_redis_failure == OnRedisFailure::Closed
    }
}

impl LimitStore for RedisLimit {
    type Ticket = RedisTicket;
    type Changed = Box<dyn Signal>;

    async fn reserve(&self, cost: u64, within: Duration) -> Result<StoreReservation<RedisTicket>, Refusal> {
        let started_at = self.0.clock.now();
        match self.0.reserve(cost, within).await {
            Ok(decision) => decision,
            Err(_) if !within.is_zero() && self.0.fails_closed() => {
                // A call that may wait for tokens may also wait for Redis.
                let _ = tokio::time::timeout(within, self.0.redis.wait_until_available(&self.0.keys[0])).await;
                let time_left = (started_at + within) - self.0.clock.now();
                let decision = self.0.reserve(cost, time_left).await;
                decision.unwrap_or_else(|_| self.0.reserve_degraded(cost, time_left))
            }
            Err(_) => self.0.reserve_degraded(cost, within),
        }
    }

    async fn remaining_wait(&self, ticket: &RedisTicket) -> Duration {
        match &ticket.0 {
            TicketState::Open => Duration::ZERO,
            TicketState::Local(share, ticket, _) => share.remaining_wait(ticket, self.0.clock.now()),
            TicketState::Shared { ticket, created_at, due_at } => {
                let result = self.0.run(LimitOp::RemainingWait { ticket: ticket.clone() }).await;
                let now = self.0.clock.now();
                if let Ok((bucket, OpReply { outcome: OpOutcome::Done { wait, .. }, .. })) = result
                    && bucket.created_at == *created_at
                {
                    due_at.store((now + wait).as_micros(), Ordering::Relaxed);
                }
                // Without a newer value, the last known one is used.
                Timestamp::from_micros(due_at.load(Ordering::Relaxed)) - now
            }
        }
    }

    fn cancel_wait(&self, ticket: RedisTicket) {
        match ticket.0 {
            TicketState::Open => {}
            TicketState::Local(share, ticket, cost) => share.cancel_wait(&ticket, cost, self.0.clock.now()),
            TicketState::Shared { ticket, .. } => drop(self.0.enqueue(LimitOp::CancelWait { ticket })),
        }
    }

    async fn cancel(&self, id: &ReservationId) -> Result<(), StoreError> {
        let parts = *id.parts();
        let ticket = ticket_name(parts.process_id, parts.number);
        self.run(LimitOp::Cancel { ticket, parts }).await.map(drop)
    }

    fn changed(&self) -> Box<dyn Signal> {
        let signal = || self.0.redis.signal(&self.0.channel);
        self.0.subscription.get_or_init(|| Mutex::new(signal()));
        signal()
    }

    fn quota(&self) -> Quota {
        let state = self.0.state.lock();
        state.cached.as_ref().map_or(state.configured.quota, |cached| cached.bucket.quota)
    }

    fn cached_status(&self) -> LimitStatus {
        let (state, now) = (self.0.state.lock(), self.0.clock.now());
        match &state.cached {
            Some(cached) => status_after(&cached.bucket, now - cached.received_at),
            // Before the first reply, the bucket is assumed to be full.
            None => LimitStatus::full(state.configured.quota),
        }
    }

    async fn status(&self) -> Result<LimitStatus, StoreError> {
        self.run(LimitOp::Status).await.map(|bucket| status_after(&bucket, Duration::ZERO))
    }

    async fn update(&self, quota: Quota) -> Result<(), StoreError> {
        self.run(LimitOp::Update { quota: format_quota(quota) }).await.map(drop)
    }

    fn configure(&self, quota: Quota, on_failure: OnRedisFailure) {
        let mut state = self.0.state.lock();
        state.configured = LimitConfig::new(quota).with_on_redis_failure(on_failure);
        state.configured_at = self.0.clock.now();
        state.config_changed = !self.0.redis.is_read_only();
        drop(state);
        drop(self.0.enqueue(LimitOp::Status));
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.run(LimitOp::Reset).await.map(drop)
    }
}

/// Returns the name of a reservation in the limit script. It is unique among all processes.
fn ticket_name(process_id: u64, number: u64) -> String {
    format!("{process_id:x}.{number}")
}

/// Returns the status of a bucket after `elapsed` without calls.
fn status_after(bucket: &BucketState, elapsed: Duration) -> LimitStatus {
    let quota = bucket.quota;
    let refilled = u128::from(micros(elapsed)) * u128::from(quota.units_per_us()) / u128::from(quota.units_per_token());
    let burst = i64::try_from(quota.burst()).unwrap_or(i64::MAX);
    let available = bucket.level.saturating_add(i64::try_from(refilled).unwrap_or(i64::MAX)).min(burst);
    LimitStatus::new(quota, available, bucket.full_in.saturating_sub(elapsed))
}
