//! Locks in Redis.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{FromRedisValue, Value};
use tidegate_core::clock::millis;
use tidegate_core::store::{LockGrant, LockHeld, LockInfo, LockReply, LockRequest, LockStore, Signal, StoreFuture};
use tidegate_core::{StoreError, Timestamp};
use tidegate_lua::Script;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::client::Redis;

/// How long a request is repeated if its reply is lost.
const RETRY_TIMEOUT: Duration = Duration::from_secs(1);

/// The minimum time before the same name is added to the index again. The index keeps names for a day.
const INDEX_INTERVAL: Duration = Duration::from_secs(3_600);

/// The number of locks that are read concurrently when all are listed.
const LIST_CONCURRENCY: usize = 64;

/// The maximum number of indexed names to remember. If it is reached, all are forgotten and indexed again.
const MAX_INDEXED_NAMES: usize = 10_000;

/// The error for a reply of an unexpected form.
const UNEXPECTED_REPLY: &str = "unexpected reply to a lock script";

/// A [`LockStore`] that all processes with the same Redis and prefix share.
///
/// A lock alone does not protect a resource if its holder is paused, because another process may acquire the lock in
/// the meantime. The resource must compare fencing tokens.
#[derive(Debug)]
pub struct RedisLocks {
    redis: Redis,
    /// The time at which this process last indexed each name.
    indexed_at: Mutex<HashMap<String, Timestamp>>,
}

impl RedisLocks {
    /// Creates a store for the locks in this Redis.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis, indexed_at: Mutex::default() }
    }

    /// Runs a script, and runs it again if its reply was lost. This is safe: each script is idempotent, or its request
    /// carries an id that counts once.
    async fn run<T: FromRedisValue>(&self, script: &Script, keys: &[String], args: &[&str]) -> Result<T, StoreError> {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        let deadline = Instant::now() + RETRY_TIMEOUT;
        loop {
            match self.redis.run(script, keys, &args).await {
                Ok(reply) => return decode(reply),
                // The deadline also ends the retries to a server that always reconnects but always replies too late.
                Err(error) if error.is_unavailable() && Instant::now() < deadline => {
                    if timeout_at(deadline, self.redis.wait_until_available(&keys[0])).await.is_err() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds a name to the index from which locks are listed, unless this process did so recently.
    async fn add_to_index(&self, name: &str) -> Result<(), StoreError> {
        let now = self.redis.clock().now();
        if self.indexed_at.lock().get(name).is_some_and(|at| now - *at < INDEX_INTERVAL) {
            return Ok(());
        }
        self.run::<u8>(&tidegate_lua::LOCK_INDEX, &[self.redis.keys().locks()], &[name]).await?;
        let mut indexed_at = self.indexed_at.lock();
        if indexed_at.len() >= MAX_INDEXED_NAMES {
            indexed_at.clear();
        }
        indexed_at.insert(name.to_owned(), now);
        Ok(())
    }
}

/// Returns the current holder of the lock.
async fn read_holder(redis: &Redis, name: &str) -> Result<Option<LockInfo>, StoreError> {
    let key = redis.keys().lock(name);
    let command = |command: &str| vec![command.as_bytes().to_vec(), key.as_bytes().to_vec()];
    let replies = redis.read(RETRY_TIMEOUT, &key, &[command("GET"), command("PTTL")]).await?;
    let (lock, ttl): (Option<String>, i64) = decode(Value::Array(replies))?;
    Ok(lock.and_then(|lock| {
        let mut parts = lock.splitn(4, ' ');
        let (token, depth, _, owner) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let grant = LockGrant::new(token.parse().ok()?, depth.parse().ok()?);
        Some(LockInfo::new(name, owner, grant, Duration::from_millis(u64::try_from(ttl).ok()?)))
    }))
}

fn decode<T: FromRedisValue>(reply: Value) -> Result<T, StoreError> {
    T::from_redis_value(reply).map_err(|_| StoreError::failed(UNEXPECTED_REPLY))
}

impl LockStore for RedisLocks {
    fn acquire<'a>(&'a self, request: LockRequest<'a>, ttl: Duration) -> StoreFuture<'a, LockReply> {
        Box::pin(async move {
            // The name is added before the lock is acquired, so that the list includes every held lock.
            self.add_to_index(request.name).await?;
            let keys = [self.redis.keys().lock(request.name), self.redis.keys().lock_token(request.name)];
            let args = [request.owner, request.id, &millis(ttl).to_string()];
            let reply: Vec<u64> = self.run(&tidegate_lua::LOCK_ACQUIRE, &keys, &args).await?;
            match reply[..] {
                [1, fencing_token, depth] => {
                    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
                    Ok(LockReply::Granted(LockGrant::new(fencing_token, depth)))
                }
                [0, ttl_ms] => Ok(LockReply::Held(LockHeld::new(Duration::from_millis(ttl_ms)))),
                _ => Err(StoreError::failed(UNEXPECTED_REPLY)),
            }
        })
    }

    fn extend<'a>(&'a self, name: &'a str, owner: &'a str, token: u64, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let args = [owner, &token.to_string(), &millis(ttl).to_string()];
            let extended = self.run(&tidegate_lua::LOCK_EXTEND, &[self.redis.keys().lock(name)], &args).await?;
            // Keeps a lock that is held for days in the index. The timeout bounds how long the holder waits for it.
            let _ = timeout(self.redis.decide_within(), self.add_to_index(name)).await;
            Ok(extended)
        })
    }

    fn release<'a>(&'a self, request: LockRequest<'a>, token: u64) -> StoreFuture<'a, Option<u32>> {
        Box::pin(async move {
            let channel = self.redis.keys().lock_released(request.name);
            let args = [request.owner, &token.to_string(), request.id, &channel];
            let keys = [self.redis.keys().lock(request.name), self.redis.keys().lock_token(request.name)];
            let depth: i64 = self.run(&tidegate_lua::LOCK_RELEASE, &keys, &args).await?;
            Ok(u32::try_from(depth).ok())
        })
    }

    fn force_release<'a>(&'a self, name: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let channel = self.redis.keys().lock_released(name);
            self.run(&tidegate_lua::LOCK_FORCE_RELEASE, &[self.redis.keys().lock(name)], &[&channel]).await
        })
    }

    fn holder<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<LockInfo>> {
        Box::pin(read_holder(&self.redis, name))
    }

    fn list(&self) -> StoreFuture<'_, Vec<LockInfo>> {
        Box::pin(async move {
            let index = self.redis.keys().locks();
            let command = ["ZRANGE", &index, "0", "-1"].map(|word| word.as_bytes().to_vec());
            let replies = self.redis.read(RETRY_TIMEOUT, &index, &[command.to_vec()]).await?;
            let mut names: Vec<String> = replies.into_iter().next().map_or_else(|| Ok(Vec::new()), decode)?;
            let mut locks = Vec::new();
            while !names.is_empty() {
                let mut reads = JoinSet::new();
                for name in names.split_off(names.len().saturating_sub(LIST_CONCURRENCY)) {
                    let redis = self.redis.clone();
                    reads.spawn(async move { read_holder(&redis, &name).await });
                }
                for holder in reads.join_all().await {
                    locks.extend(holder?);
                }
            }
            locks.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(locks)
        })
    }

    fn released(&self, name: &str) -> Box<dyn Signal> {
        self.redis.signal(&self.redis.keys().lock_released(name))
    }
}
