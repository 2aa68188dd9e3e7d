//! Locks in Redis.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{FromRedisValue, Value};
use tidegate_core::StoreError;
use tidegate_core::clock::millis;
use tidegate_core::store::{Answer, Claim, Grant, Held, LockInfo, LockStore, Signal};
use tidegate_lua::Script;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Redis;

/// How long a request whose reply was lost is sent again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a name that was noted need not be noted again; the index keeps it for a day.
const NOTED: Duration = Duration::from_secs(3_600);

/// As many locks are looked at together when all are listed.
const TOGETHER: usize = 64;

/// Names that were noted and are remembered; beyond, all are noted anew.
const MOST_NOTED: usize = 10_000;

/// Locks that all processes share which use the same Redis and prefix.
///
/// No lock that another process grants is safe over a pause of its holder: whoever guards a resource compares fencing
/// tokens.
pub struct RedisLocks {
    redis: Redis,
    noted: Mutex<HashMap<String, Instant>>,
}

impl RedisLocks {
    /// Locks by this way.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis, noted: Mutex::default() }
    }

    /// Runs a script, and again while its reply was lost: what it does carries an id, or is the same done twice.
    async fn run<T: FromRedisValue>(&self, script: &Script, keys: &[String], args: &[&str]) -> Result<T, StoreError> {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.redis.run(script, keys, &args).await {
                Ok(value) => return read(value),
                // A server that is back at once each time, and too slow each time, is away all the same.
                Err(error) if error.is_away() && Instant::now() < deadline => {
                    if timeout_at(deadline, self.redis.back(&keys[0])).await.is_err() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts the name where people can find it, unless that was done lately.
    async fn note(&self, name: &str) -> Result<(), StoreError> {
        let now = Instant::now();
        if self.noted.lock().get(name).is_some_and(|at| now - *at < NOTED) {
            return Ok(());
        }
        self.run::<u8>(&tidegate_lua::LOCK_INDEX, &[self.redis.keys().locks()], &[name]).await?;
        let mut noted = self.noted.lock();
        if noted.len() >= MOST_NOTED {
            noted.clear();
        }
        noted.insert(name.to_owned(), now);
        Ok(())
    }
}

/// Who holds the lock now.
async fn holder(redis: &Redis, name: &str) -> Result<Option<LockInfo>, StoreError> {
    let key = redis.keys().lock(name);
    let words = |command: &str| vec![command.as_bytes().to_vec(), key.as_bytes().to_vec()];
    let answers = redis.read(PATIENCE, &key, &[words("GET"), words("PTTL")]).await?;
    let (held, ttl): (Option<String>, i64) = read(Value::Array(answers))?;
    Ok(held.and_then(|held| {
        let mut parts = held.splitn(4, ' ');
        let (token, depth, _, owner) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(LockInfo {
            name: name.to_owned(),
            owner: owner.to_owned(),
            fencing_token: token.parse().ok()?,
            depth: depth.parse().ok()?,
            ttl_ms: u64::try_from(ttl).ok()?,
        })
    }))
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    T::from_redis_value(value)
        .map_err(|_| StoreError::refused("a lock's script answered what this version does not read"))
}

impl LockStore for RedisLocks {
    fn acquire<'a>(&'a self, claim: Claim<'a>, ttl: Duration) -> Answer<'a, Result<Grant, Held>> {
        Box::pin(async move {
            // Before the lock is taken, so that none is missing in the list.
            self.note(claim.name).await?;
            let keys = [self.redis.keys().lock(claim.name), self.redis.keys().lock_token(claim.name)];
            let args = [claim.owner, claim.id, &millis(ttl).to_string()];
            let answer: Vec<u64> = self.run(&tidegate_lua::LOCK_ACQUIRE, &keys, &args).await?;
            match answer[..] {
                [1, fencing_token, depth] => {
                    Ok(Ok(Grant { fencing_token, depth: u32::try_from(depth).unwrap_or(u32::MAX) }))
                }
                [0, left] => Ok(Err(Held { ttl: Duration::from_millis(left) })),
                _ => Err(StoreError::refused("a lock's script answered what this version does not read")),
            }
        })
    }

    fn extend<'a>(&'a self, name: &'a str, owner: &'a str, token: u64, ttl: Duration) -> Answer<'a, bool> {
        Box::pin(async move {
            let args = [owner, &token.to_string(), &millis(ttl).to_string()];
            let extended = self.run(&tidegate_lua::LOCK_EXTEND, &[self.redis.keys().lock(name)], &args).await?;
            // A lock that is held for days stays in the list; its holder does not wait long to hear that it holds it.
            let _ = timeout(self.redis.decide_within(), self.note(name)).await;
            Ok(extended)
        })
    }

    fn release<'a>(&'a self, claim: Claim<'a>, token: u64) -> Answer<'a, Option<u32>> {
        Box::pin(async move {
            let channel = self.redis.keys().lock_released(claim.name);
            let args = [claim.owner, &token.to_string(), claim.id, &channel];
            let keys = [self.redis.keys().lock(claim.name), self.redis.keys().lock_token(claim.name)];
            let left: i64 = self.run(&tidegate_lua::LOCK_RELEASE, &keys, &args).await?;
            Ok(u32::try_from(left).ok())
        })
    }

    fn evict<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let channel = self.redis.keys().lock_released(name);
            self.run(&tidegate_lua::LOCK_EVICT, &[self.redis.keys().lock(name)], &[&channel]).await
        })
    }

    fn holder<'a>(&'a self, name: &'a str) -> Answer<'a, Option<LockInfo>> {
        Box::pin(holder(&self.redis, name))
    }

    fn list(&self) -> Answer<'_, Vec<LockInfo>> {
        Box::pin(async move {
            let index = self.redis.keys().locks();
            let words = ["ZRANGE", &index, "0", "-1"].map(|word| word.as_bytes().to_vec());
            let answers = self.redis.read(PATIENCE, &index, &[words.to_vec()]).await?;
            let mut names: Vec<String> = answers.into_iter().next().map_or_else(|| Ok(Vec::new()), read)?;
            let mut held = Vec::new();
            while !names.is_empty() {
                let mut asked = JoinSet::new();
                for name in names.split_off(names.len().saturating_sub(TOGETHER)) {
                    let redis = self.redis.clone();
                    asked.spawn(async move { holder(&redis, &name).await });
                }
                for found in asked.join_all().await {
                    held.extend(found?);
                }
            }
            held.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(held)
        })
    }

    fn released(&self, name: &str) -> Box<dyn Signal> {
        self.redis.signal(&self.redis.keys().lock_released(name))
    }
}
