//! The metrics of all processes, in Redis.

mod fields;
mod pending_batches;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::FromRedisValue;
use tidegate_core::store::{MetricDeltas, MetricStore, StoreFuture};
use tidegate_core::window::Resolution;
use tidegate_core::{Clock, Stats, StoreError};
use tidegate_lua::{METRICS_ADD, METRICS_NAMES, METRICS_PENDING, METRICS_ROLL, Script};
use tokio::task::JoinSet;

use crate::client::Redis;
use crate::codec::{decode_reply, encode_arg};
use pending_batches::{MetricBatch, PendingBatches};

/// The maximum duration of a request; no call to a platform waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of commands in one round trip, and of concurrent roll-ups: enough for the minutes of an hour, and
/// few enough to leave room for decisions.
const MAX_CONCURRENCY: usize = 64;

/// The endpoint under which further endpoints are counted.
const OTHER_ENDPOINT: &str = "other";

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;

/// The maximum number of minutes that one roll-up request returns.
const MAX_PENDING_MINUTES: i64 = 1_000;

/// A [`MetricStore`] that all processes with the same Redis and prefix share; clones are the same store.
#[derive(Clone)]
pub struct RedisMetrics(Arc<RedisMetricsInner>);

struct RedisMetricsInner {
    redis: Redis,
    max_endpoints: usize,
    /// A random id that distinguishes the batches of this store from those of others.
    source: String,
    clock: Option<Arc<dyn Clock>>,
    /// The counts of each platform that are not written yet.
    pending: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<PendingBatches>>>>,
}

impl fmt::Debug for RedisMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisMetrics").field("redis", &self.0.redis).finish_non_exhaustive()
    }
}

impl RedisMetrics {
    /// Creates a store that uses the Redis server's clock. Each platform has at most `max_endpoints` endpoints with
    /// counts of their own; further endpoints are counted together as `other`.
    #[must_use]
    pub fn new(redis: Redis, max_endpoints: usize) -> Self {
        Self::open(redis, max_endpoints, None)
    }

    /// Creates a store that uses `clock` in place of the clock of the Redis server, for the tests of this workspace.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn with_clock(redis: Redis, max_endpoints: usize, clock: Arc<dyn Clock>) -> Self {
        Self::open(redis, max_endpoints, Some(clock))
    }

    fn open(redis: Redis, max_endpoints: usize, clock: Option<Arc<dyn Clock>>) -> Self {
        let source = format!("{:016x}", rand::random::<u64>());
        Self(Arc::new(RedisMetricsInner { redis, max_endpoints, source, clock, pending: Mutex::default() }))
    }

    /// Returns the time as an argument of scripts: empty if they use the server's clock.
    fn time_arg(&self) -> Vec<u8> {
        let now_us = self.0.clock.as_ref().map(|clock| clock.unix_ms() * 1_000);
        now_us.map_or_else(Vec::new, encode_arg)
    }

    async fn run_script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        let reply = self.0.redis.run_within(REQUEST_TIMEOUT, script, keys, args).await?;
        decode_reply(script.name, reply)
    }

    /// Adds names of platforms or endpoints, and returns all names that had calls recently.
    async fn update_names(&self, key: String, added: &[String]) -> Result<Vec<String>, StoreError> {
        let mut args = vec![self.time_arg(), encode_arg(31 * DAY_S)];
        args.extend(added.iter().map(|name| name.clone().into_bytes()));
        self.run_script(&METRICS_NAMES, &[key], &args).await
    }

    fn pending_batches(&self, platform: &str) -> Arc<tokio::sync::Mutex<PendingBatches>> {
        Arc::clone(self.0.pending.lock().entry(platform.to_owned()).or_default())
    }

    /// Writes a platform's pending batches in order; returns whether there were any. A batch that fails is the first
    /// batch of the next call.
    async fn write_batches(self, platform: String) -> Result<bool, StoreError> {
        let pending = self.pending_batches(&platform);
        let mut pending = pending.lock().await;
        let mut any_written = false;
        while let Some(batch) = pending.next() {
            self.write_batch(&platform, batch).await?;
            pending.confirm();
            any_written = true;
        }
        Ok(any_written)
    }

    async fn write_batch(&self, platform: &str, batch: &MetricBatch) -> Result<u64, StoreError> {
        let builder = self.0.redis.keys();
        let keys = [
            builder.metrics_batch(platform, &self.0.source),
            builder.windows_pending(platform),
            builder.endpoints(platform),
            builder.windows_closed(platform),
        ];
        let mut args = vec![
            encode_arg(batch.number),
            self.time_arg(),
            builder.windows(platform).into_bytes(),
            encode_arg(self.0.max_endpoints),
            encode_arg(OTHER_ENDPOINT),
            encode_arg(7 * DAY_S),
            encode_arg(2 * DAY_S),
            encode_arg(31 * DAY_S),
        ];
        for (series, fields) in &batch.series {
            args.extend([encode_arg(series), encode_arg(fields.len())]);
            args.extend(fields.iter().flat_map(|(field, count)| [encode_arg(field), encode_arg(count)]));
        }
        self.run_script(&METRICS_ADD, &keys, &args).await
    }

    async fn add_deltas(&self, deltas: MetricDeltas) -> Result<(), StoreError> {
        for (platform, windows) in deltas {
            self.pending_batches(&platform).lock().await.add(windows);
        }
        let platforms: Vec<String> = self.0.pending.lock().keys().cloned().collect();
        let mut writes = JoinSet::new();
        for platform in platforms {
            let store = self.clone();
            writes.spawn(async move { (store.write_batches(platform.clone()).await, platform) });
        }
        // An unavailable node of a cluster does not prevent writes to the others.
        let (mut written, mut last_error) = (Vec::new(), None);
        for (result, platform) in writes.join_all().await {
            match result {
                Ok(true) => written.push(platform),
                Ok(false) => {}
                Err(error) => last_error = Some(error),
            }
        }
        if !written.is_empty() {
            self.update_names(self.0.redis.keys().platforms(), &written).await?;
        }
        last_error.map_or(Ok(()), Err)
    }

    /// Returns the time in milliseconds, and the minutes of each series that are not rolled up yet, oldest first.
    async fn pending_minutes(&self, platform: &str, max: i64) -> Result<(u64, Vec<(u64, String)>), StoreError> {
        let keys = [self.0.redis.keys().windows_pending(platform)];
        let args = [self.time_arg(), encode_arg(max)];
        let (now_ms, members): (u64, Vec<String>) = self.run_script(&METRICS_PENDING, &keys, &args).await?;
        let split = |member: String| {
            let digits = member.find(|c: char| !c.is_ascii_digit()).unwrap_or(member.len());
            Some((member[..digits].parse().ok()?, member[digits..].to_owned()))
        };
        Ok((now_ms, members.into_iter().filter_map(split).collect()))
    }

    /// Rolls up one platform, one minute after another, so that every hour includes its minutes in order.
    async fn roll_up_platform(&self, platform: &str) -> Result<u64, StoreError> {
        let mut rolled_up = 0;
        loop {
            let (now_ms, pending) = self.pending_minutes(platform, MAX_PENDING_MINUTES).await?;
            let ended = pending.into_iter().filter(|(minute, _)| (minute + 1) * Resolution::Minute.millis() <= now_ms);
            let mut minutes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            ended.for_each(|(minute, series)| minutes.entry(minute).or_default().push(series));
            let before = rolled_up;
            for (minute, series) in minutes {
                rolled_up += self.roll_up_minute(platform, minute, series).await?;
            }
            if rolled_up == before {
                return Ok(rolled_up);
            }
        }
    }

    async fn roll_up_minute(&self, platform: &str, minute: u64, all_series: Vec<String>) -> Result<u64, StoreError> {
        let (mut tasks, mut rolled_up) = (JoinSet::new(), 0);
        for series in all_series {
            if tasks.len() >= MAX_CONCURRENCY {
                rolled_up += join_next(&mut tasks).await?.unwrap_or(0);
            }
            let (store, platform) = (self.clone(), platform.to_owned());
            tasks.spawn(async move { store.roll_up_series(&platform, minute, &series).await });
        }
        while let Some(count) = join_next(&mut tasks).await? {
            rolled_up += count;
        }
        Ok(rolled_up)
    }

    async fn roll_up_series(&self, platform: &str, minute: u64, series: &str) -> Result<u64, StoreError> {
        let builder = self.0.redis.keys();
        let start_ms = minute * Resolution::Minute.millis();
        let window = |resolution| builder.window(platform, series, &fields::time_name(resolution, start_ms));
        let keys = [
            builder.windows_pending(platform),
            builder.windows_closed(platform),
            window(Resolution::Minute),
            window(Resolution::Hour),
            window(Resolution::Day),
        ];
        let args = [
            self.time_arg(),
            encode_arg(minute),
            encode_arg(format!("{minute}{series}")),
            encode_arg(3 * HOUR_S),
            encode_arg(2 * DAY_S),
            encode_arg(32 * DAY_S),
            encode_arg(2 * DAY_S),
        ];
        self.run_script(&METRICS_ROLL, &keys, &args).await
    }
}

impl MetricStore for RedisMetrics {
    fn add(&self, deltas: MetricDeltas) -> StoreFuture<'_, ()> {
        Box::pin(self.add_deltas(deltas))
    }

    fn stats<'a>(&'a self, platform: &'a str, endpoint: Option<&'a str>, range: Duration) -> StoreFuture<'a, Stats> {
        Box::pin(self.read(platform, endpoint, range))
    }

    fn endpoints(&self) -> StoreFuture<'_, BTreeMap<String, Vec<String>>> {
        Box::pin(async {
            let (mut tasks, mut all) = (JoinSet::new(), BTreeMap::new());
            for platform in self.update_names(self.0.redis.keys().platforms(), &[]).await? {
                let (store, key) = (self.clone(), self.0.redis.keys().endpoints(&platform));
                tasks.spawn(async move { Ok((platform, store.update_names(key, &[]).await?)) });
            }
            while let Some((platform, endpoints)) = join_next(&mut tasks).await? {
                all.insert(platform, endpoints);
            }
            Ok(all)
        })
    }

    fn roll_up(&self) -> StoreFuture<'_, u64> {
        Box::pin(async {
            let (mut rolled_up, mut last_error) = (0, None);
            for platform in self.update_names(self.0.redis.keys().platforms(), &[]).await? {
                match self.roll_up_platform(&platform).await {
                    Ok(count) => rolled_up += count,
                    Err(error) => last_error = Some(error),
                }
            }
            last_error.map_or(Ok(rolled_up), Err)
        })
    }
}

/// Returns the result of the next task that ends; `None` if there are no tasks left. A task that panicked is an error.
async fn join_next<T: 'static>(tasks: &mut JoinSet<Result<T, StoreError>>) -> Result<Option<T>, StoreError> {
    match tasks.join_next().await {
        None => Ok(None),
        Some(Ok(result)) => result.map(Some),
        Some(Err(panic)) => Err(StoreError::failed(format!("a request to redis failed: {panic}"))),
    }
}
