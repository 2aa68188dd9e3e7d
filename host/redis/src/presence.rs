//! Counts the processes that share Redis: each process sends a heartbeat every two seconds.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Value;
use tokio::time::sleep;

use crate::Redis;
use crate::client::RedisInner;

/// The time between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// The time in microseconds after which a process without a heartbeat is no longer counted: five intervals, so that
/// lost heartbeats have no effect at first.
const EXPIRY_US: &str = "10000000";

/// Sends heartbeats until the last [`Redis`] of the process is dropped.
pub async fn send_heartbeats(inner: Weak<RedisInner>) {
    while let Some(redis) = inner.upgrade().map(Redis) {
        let (keys, process) = ([redis.keys().processes()], redis.process().as_bytes().to_vec());
        let args = [process, EXPIRY_US.as_bytes().to_vec()];
        let reply = redis.run_within(HEARTBEAT_INTERVAL, &tidegate_lua::PRESENCE, &keys, &args).await;
        if let Ok(Value::Int(processes)) = reply {
            redis.0.processes.store(usize::try_from(processes).unwrap_or(1).max(1), Ordering::Relaxed);
        }
        drop(redis);
        sleep(HEARTBEAT_INTERVAL).await;
    }
}
