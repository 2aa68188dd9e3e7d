//! Measures acquiring and releasing locks.

use std::fmt::Display;
use std::time::Duration;

use serde_json::Value;
use tidegate::{Config, Host};

use super::measure;
use super::server::RedisServer;
use crate::command::UsageError;

/// Measures pairs of acquire and release. Each caller has its own lock, so that no caller waits for another.
async fn pairs(config: Config, duration: Duration) -> Result<Value, UsageError> {
    let failed = |error: &dyn Display| UsageError(error.to_string());
    let host = Host::builder().config(config).build().map_err(|error| failed(&error))?;
    let locks = (0..measure::CALLERS).map(|caller| host.locks().lock(&format!("bench {caller}")));
    let locks: Vec<_> = locks.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    // The measured loop ignores failures. Acquire one lock first, so that a lock that does not work is an error.
    drop(locks[0].try_acquire().await.map_err(|error| failed(&error))?);
    let acquire_and_release = move |caller: usize| {
        let lock = locks[caller].clone();
        async move {
            if let Ok(lease) = lock.acquire(duration).await {
                let _ = lease.release().await;
            }
        }
    };
    Ok(measure::concurrent(duration, "pairs", acquire_and_release).await)
}

pub async fn memory(duration: Duration) -> Result<Value, UsageError> {
    pairs(Config::default(), duration).await
}

pub async fn redis(server: &RedisServer, duration: Duration) -> Result<Value, UsageError> {
    pairs(server.config(), duration).await
}
