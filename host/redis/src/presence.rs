//! How many processes share Redis: each says every two seconds that it is there.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Value;
use tokio::time::sleep;

use crate::Redis;
use crate::client::Inner;

/// Between one heartbeat and the next.
const BEAT: Duration = Duration::from_secs(2);
/// A process that was not heard of for so long is gone; several heartbeats may be lost.
const GONE_US: &str = "10000000";

/// Beats as long as anyone uses the connections.
pub async fn beat(inner: Weak<Inner>) {
    while let Some(redis) = inner.upgrade().map(Redis) {
        let (keys, process) = ([redis.keys().processes()], redis.process().as_bytes().to_vec());
        let args = [process, GONE_US.as_bytes().to_vec()];
        if let Ok(Value::Int(alive)) = redis.run_within(BEAT, &tidegate_lua::PRESENCE, &keys, &args).await {
            redis.0.processes.store(usize::try_from(alive).unwrap_or(1).max(1), Ordering::Relaxed);
        }
        drop(redis);
        sleep(BEAT).await;
    }
}
