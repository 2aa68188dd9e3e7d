//! Measures checks of one rate limit.

use std::fmt::Display;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::{Config, Host, Limiter, Quota};
use tidegate_core::clock::millis;

use super::measure;
use super::server::RedisServer;
use crate::command::UsageError;

/// A rate that is never reached, so that every check is allowed.
const RATE: &str = "1000000/s";
const BURST: u64 = 1_000_000;

/// The default of `[redis] decide_within`.
const DECIDE_WITHIN: Duration = Duration::from_millis(50);

async fn limiter(config: Config) -> Result<Limiter, UsageError> {
    let failed = |error: &dyn Display| UsageError(error.to_string());
    let host = Host::builder().config(config).build().map_err(|error| failed(&error))?;
    let limiter = host.limiter("taobao").map_err(|error| failed(&error))?;
    let quota = RATE.parse().and_then(|rate| Quota::new(rate, BURST)).map_err(|error| failed(&error))?;
    limiter.update(quota).await.map_err(|error| failed(&error))?;
    Ok(limiter)
}

pub async fn memory(duration: Duration) -> Result<Value, UsageError> {
    let limiter = limiter(Config::with_platforms()).await?;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    Ok(measure::batched(duration, "checks", || {
        // Without Redis, a check is ready at its first poll.
        let _ = black_box(std::pin::pin!(limiter.check(1)).poll(&mut context));
    }))
}

pub async fn redis(server: &RedisServer, duration: Duration) -> Result<Value, UsageError> {
    let mut results = available(server, duration).await?;
    results["unavailable"] = unavailable(server, duration).await?;
    Ok(results)
}

/// Measures checks while the server is stopped, how long it takes to detect that, and how long to recover.
async fn unavailable(server: &RedisServer, duration: Duration) -> Result<Value, UsageError> {
    let mut config = server.config();
    config.redis = config.redis.map(|redis| redis.with_decide_within(DECIDE_WITHIN));
    let limiter = limiter(config).await?;
    server.signal("-STOP").await?;
    let stopped_at = Instant::now();
    let _ = black_box(limiter.check(1).await);
    let detected = stopped_at.elapsed();
    let check = {
        let limiter = limiter.clone();
        move |_| {
            let limiter = limiter.clone();
            async move {
                let _ = black_box(limiter.check(1).await);
            }
        }
    };
    let mut results = measure::concurrent(duration, "checks", check).await;
    server.signal("-CONT").await?;
    let continued_at = Instant::now();
    while limiter.status().await.is_err() {
        tokio::task::yield_now().await;
    }
    results["detected_ms"] = json!(millis(detected));
    results["recovered_ms"] = json!(millis(continued_at.elapsed()));
    Ok(results)
}

/// Measures checks while the server is available.
async fn available(server: &RedisServer, duration: Duration) -> Result<Value, UsageError> {
    let limiter = limiter(server.config()).await?;
    let check = move |_| {
        let limiter = limiter.clone();
        async move {
            let _ = black_box(limiter.check(1).await);
        }
    };
    Ok(measure::concurrent(duration, "checks", check).await)
}
