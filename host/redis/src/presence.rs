//! The processes that share Redis: each sends a heartbeat every two seconds, with what it says about itself.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::Value;
use tidegate_core::{FleetProcess, ProcessInfo, StoreError};
use tokio::time::sleep;

use crate::client::{Redis, RedisInner};
use crate::codec::{decode_reply, encode_arg};

/// The time between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// The time in microseconds after which a process without a heartbeat is no longer counted: five intervals, so that
/// lost heartbeats have no effect at first.
const EXPIRY_US: u64 = 10_000_000;
/// The maximum duration of a request; no call to a platform waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

impl Redis {
    /// Sets the function that returns the information about this process. The client calls it for each heartbeat, every
    /// two seconds. It replaces the function of an earlier call. A client that
    /// [is read-only](Self::is_read_only) is not in the list of processes, so its information is not used.
    pub fn announce(&self, info: impl Fn() -> ProcessInfo + Send + Sync + 'static) {
        self.0.process_info.store(Some(Arc::new(Box::new(info))));
    }

    /// Returns the processes of the fleet, by id: every process with a heartbeat in the last 10 s. A process whose
    /// client [is read-only](Self::is_read_only) is not one of them.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable.
    pub async fn fleet(&self) -> Result<Vec<FleetProcess>, StoreError> {
        let key = self.keys().processes_info();
        let command = vec![b"HGETALL".to_vec(), key.clone().into_bytes()];
        let replies = self.read(REQUEST_TIMEOUT, &key, &[command]).await?;
        let processes: BTreeMap<String, String> =
            decode_reply("HGETALL", replies.into_iter().next().unwrap_or(Value::Nil))?;
        let process = |(id, text): (String, String)| {
            let is_self = id == self.process();
            // A process of another version may say something else.
            FleetProcess::new(id, is_self, serde_json::from_str(&text).unwrap_or_default())
        };
        Ok(processes.into_iter().map(process).collect())
    }

    /// Sends one heartbeat.
    async fn send_heartbeat(&self) {
        let info = self.0.process_info.load().as_ref().map_or_else(unannounced, |info| info());
        let info = serde_json::to_vec(&info).unwrap_or_default();
        let process = if self.is_read_only() { "" } else { self.process() };
        let keys = [self.keys().processes(), self.keys().processes_info()];
        let args = [encode_arg(process), encode_arg(EXPIRY_US), info];
        let reply = self.run_within(HEARTBEAT_INTERVAL, &tidegate_lua::PRESENCE, &keys, &args).await;
        if let Ok(Value::Int(processes)) = reply {
            self.0.processes.store(usize::try_from(processes).unwrap_or(1).max(1), Ordering::Relaxed);
        }
    }
}

/// Sends heartbeats until the last [`Redis`] of the process is dropped.
pub async fn send_heartbeats(inner: Weak<RedisInner>) {
    while let Some(redis) = inner.upgrade().map(Redis) {
        redis.send_heartbeat().await;
        drop(redis);
        sleep(HEARTBEAT_INTERVAL).await;
    }
}

/// Returns what a process says about itself that has not called [`Redis::announce`].
fn unannounced() -> ProcessInfo {
    ProcessInfo::new("", std::process::id(), "")
}
