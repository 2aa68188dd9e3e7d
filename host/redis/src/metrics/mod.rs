//! The figures of all processes, in Redis.

mod fields;
mod outbox;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::FromRedisValue;
use tidegate_core::store::{Answer, Counted, MetricStore};
use tidegate_core::window::Grain;
use tidegate_core::{Clock, Stats, StoreError};
use tidegate_lua::{METRICS_ADD, METRICS_NAMES, METRICS_PENDING, METRICS_ROLL, Script};
use tokio::task::JoinSet;

use crate::Redis;
use crate::answers::{text, understood};
use outbox::{Batch, Outbox};

/// How long a question may take: nobody's call waits for it.
const WITHIN: Duration = Duration::from_secs(2);

/// How many questions go in one round trip: the minutes of an hour, and few enough to leave room for decisions.
const AT_ONCE: usize = 64;

/// The endpoint under which further ones are counted.
const OTHER: &str = "other";

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;

/// How many minutes are asked for at once when they are rolled up.
const MOST_ROLLED: i64 = 1_000;

/// A [`MetricStore`] that processes share; clones share it.
#[derive(Clone)]
pub struct RedisMetrics(Arc<Inner>);

struct Inner {
    redis: Redis,
    max_endpoints: usize,
    /// Tells the batches of this store from those of any other.
    source: String,
    clock: Option<Arc<dyn Clock>>,
    outboxes: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Outbox>>>>,
}

impl RedisMetrics {
    /// Figures at the server's time; at most `max_endpoints` names are kept apart for each platform.
    #[must_use]
    pub fn new(redis: Redis, max_endpoints: usize) -> Self {
        Self::make(redis, max_endpoints, None)
    }

    /// The same at the time of a clock, for tests.
    #[must_use]
    pub fn with_clock(redis: Redis, max_endpoints: usize, clock: Arc<dyn Clock>) -> Self {
        Self::make(redis, max_endpoints, Some(clock))
    }

    fn make(redis: Redis, max_endpoints: usize, clock: Option<Arc<dyn Clock>>) -> Self {
        let source = format!("{:016x}", rand::random::<u64>());
        Self(Arc::new(Inner { redis, max_endpoints, source, clock, outboxes: Mutex::default() }))
    }

    /// The time as scripts take it: nothing, unless there is a clock.
    fn now(&self) -> Vec<u8> {
        let now_us = self.0.clock.as_ref().map(|clock| clock.unix_ms() * 1_000);
        now_us.map_or_else(Vec::new, text)
    }

    async fn ask<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        let value = self.0.redis.run_within(WITHIN, script, keys, args).await?;
        understood(script.name, value)
    }

    /// Adds names to those that were counted lately and answers with all.
    async fn names(&self, key: String, add: &[String]) -> Result<Vec<String>, StoreError> {
        let mut args = vec![self.now(), text(31 * DAY_S)];
        args.extend(add.iter().map(|name| name.clone().into_bytes()));
        self.ask(&METRICS_NAMES, &[key], &args).await
    }

    fn outbox(&self, platform: &str) -> Arc<tokio::sync::Mutex<Outbox>> {
        Arc::clone(self.0.outboxes.lock().entry(platform.to_owned()).or_default())
    }

    /// Sends all that a platform's outbox holds, in order; what fails stays first.
    async fn send(self, platform: String) -> Result<bool, StoreError> {
        let outbox = self.outbox(&platform);
        let mut outbox = outbox.lock().await;
        let mut any = false;
        while let Some(batch) = outbox.next() {
            self.send_one(&platform, batch).await?;
            outbox.arrived();
            any = true;
        }
        Ok(any)
    }

    async fn send_one(&self, platform: &str, batch: &Batch) -> Result<u64, StoreError> {
        let keys = self.0.redis.keys();
        let declared = [
            keys.batch(platform, &self.0.source),
            keys.windows_pending(platform),
            keys.endpoints(platform),
            keys.windows_closed(platform),
        ];
        let mut args = vec![
            text(batch.number),
            self.now(),
            keys.windows(platform).into_bytes(),
            text(self.0.max_endpoints),
            text(OTHER),
            text(7 * DAY_S),
            text(2 * DAY_S),
            text(31 * DAY_S),
        ];
        for (series, fields) in &batch.series {
            args.extend([text(series), text(fields.len())]);
            args.extend(fields.iter().flat_map(|(field, count)| [text(field), text(count)]));
        }
        self.ask(&METRICS_ADD, &declared, &args).await
    }

    async fn add_all(&self, counted: Counted) -> Result<(), StoreError> {
        for (platform, counted) in counted {
            self.outbox(&platform).lock().await.take(counted);
        }
        let platforms: Vec<String> = self.0.outboxes.lock().keys().cloned().collect();
        let mut sending = JoinSet::new();
        for platform in platforms {
            let store = self.clone();
            sending.spawn(async move { (store.send(platform.clone()).await, platform) });
        }
        // Where a part of the server is away, the others still get theirs.
        let (mut sent, mut failed) = (Vec::new(), None);
        for (outcome, platform) in sending.join_all().await {
            match outcome {
                Ok(true) => sent.push(platform),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        if !sent.is_empty() {
            self.names(self.0.redis.keys().platforms(), &sent).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// The time in milliseconds, and which series have minutes that are not rolled up yet, oldest first.
    async fn pending(&self, platform: &str, most: i64) -> Result<(u64, Vec<(u64, String)>), StoreError> {
        let keys = [self.0.redis.keys().windows_pending(platform)];
        let (now_ms, members): (u64, Vec<String>) =
            self.ask(&METRICS_PENDING, &keys, &[self.now(), text(most)]).await?;
        let split = |member: String| {
            let digits = member.find(|c: char| !c.is_ascii_digit()).unwrap_or(member.len());
            Some((member[..digits].parse().ok()?, member[digits..].to_owned()))
        };
        Ok((now_ms, members.into_iter().filter_map(split).collect()))
    }

    /// Rolls up one platform, a minute at a time, so that every hour grows in the order of its minutes.
    async fn roll_up_one(&self, platform: &str) -> Result<u64, StoreError> {
        let mut rolled = 0;
        loop {
            let (now_ms, pending) = self.pending(platform, MOST_ROLLED).await?;
            let ended = pending.into_iter().filter(|(minute, _)| (minute + 1) * Grain::Minute.millis() <= now_ms);
            let mut minutes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            ended.for_each(|(minute, series)| minutes.entry(minute).or_default().push(series));
            let before = rolled;
            for (minute, series) in minutes {
                rolled += self.roll_minute(platform, minute, series).await?;
            }
            if rolled == before {
                return Ok(rolled);
            }
        }
    }

    async fn roll_minute(&self, platform: &str, minute: u64, all: Vec<String>) -> Result<u64, StoreError> {
        let (mut rolling, mut rolled) = (JoinSet::new(), 0);
        for series in all {
            if rolling.len() >= AT_ONCE {
                rolled += joined(&mut rolling).await?.unwrap_or(0);
            }
            let (store, platform) = (self.clone(), platform.to_owned());
            rolling.spawn(async move { store.roll_series(&platform, minute, &series).await });
        }
        while let Some(one) = joined(&mut rolling).await? {
            rolled += one;
        }
        Ok(rolled)
    }

    async fn roll_series(&self, platform: &str, minute: u64, series: &str) -> Result<u64, StoreError> {
        let keys = self.0.redis.keys();
        let window = |grain| keys.window(platform, series, &fields::time(grain, minute * Grain::Minute.millis()));
        let declared = [
            keys.windows_pending(platform),
            keys.windows_closed(platform),
            window(Grain::Minute),
            window(Grain::Hour),
            window(Grain::Day),
        ];
        let args = [
            self.now(),
            text(minute),
            text(format!("{minute}{series}")),
            text(3 * HOUR_S),
            text(2 * DAY_S),
            text(32 * DAY_S),
            text(2 * DAY_S),
        ];
        self.ask(&METRICS_ROLL, &declared, &args).await
    }
}

impl MetricStore for RedisMetrics {
    fn add(&self, counted: Counted) -> Answer<'_, ()> {
        Box::pin(self.add_all(counted))
    }

    fn figures<'a>(&'a self, platform: &'a str, endpoint: Option<&'a str>, range: Duration) -> Answer<'a, Stats> {
        Box::pin(self.read(platform, endpoint, range))
    }

    fn endpoints(&self) -> Answer<'_, BTreeMap<String, Vec<String>>> {
        Box::pin(async {
            let (mut asking, mut all) = (JoinSet::new(), BTreeMap::new());
            for platform in self.names(self.0.redis.keys().platforms(), &[]).await? {
                let (store, key) = (self.clone(), self.0.redis.keys().endpoints(&platform));
                asking.spawn(async move { Ok((platform, store.names(key, &[]).await?)) });
            }
            while let Some((platform, endpoints)) = joined(&mut asking).await? {
                all.insert(platform, endpoints);
            }
            Ok(all)
        })
    }

    fn roll_up(&self) -> Answer<'_, u64> {
        Box::pin(async {
            let (mut rolled, mut failed) = (0, None);
            for platform in self.names(self.0.redis.keys().platforms(), &[]).await? {
                match self.roll_up_one(&platform).await {
                    Ok(more) => rolled += more,
                    Err(error) => failed = Some(error),
                }
            }
            failed.map_or(Ok(rolled), Err)
        })
    }
}

/// The next answer of those asked for; a task that failed is a fault of ours, and its question is open still.
async fn joined<T: 'static>(asked: &mut JoinSet<Result<T, StoreError>>) -> Result<Option<T>, StoreError> {
    match asked.join_next().await {
        None => Ok(None),
        Some(Ok(answer)) => answer.map(Some),
        Some(Err(panic)) => Err(StoreError::refused(format!("a question to Redis failed: {panic}"))),
    }
}
