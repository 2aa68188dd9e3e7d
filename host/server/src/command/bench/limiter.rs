//! Checks of one limit.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::core::clock::millis;
use tidegate::core::config::RedisConfig;
use tidegate::{Config, Host, Limiter, Quota, Rate};

use super::measure;
use super::server::Server;
use crate::command::Usage;

/// Never reached, so every check is allowed.
const RATE: &str = "1000000/s";
const BURST: u64 = 1_000_000;

/// As configurations have it that do not say.
const DECIDE_WITHIN: Duration = Duration::from_millis(50);

async fn limiter(config: Config) -> Result<Limiter, Usage> {
    let told = |error: &dyn std::fmt::Display| Usage(error.to_string());
    let host = Host::builder().config(config).build().map_err(|error| told(&error))?;
    let limiter = host.limiter("taobao").map_err(|error| told(&error))?;
    let quota = Rate::parse(RATE).and_then(|rate| Quota::new(rate, BURST)).map_err(|error| told(&error))?;
    limiter.update(quota).await.map_err(|error| told(&error))?;
    Ok(limiter)
}

pub async fn memory(lasting: Duration) -> Result<Value, Usage> {
    let limiter = limiter(Config::default()).await?;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    Ok(measure::alone(lasting, "checks", || {
        // In memory a check is ready at its first poll.
        let _ = std::hint::black_box(std::pin::pin!(limiter.check(1)).poll(&mut context));
    }))
}

pub async fn redis(server: &Server, lasting: Duration) -> Result<Value, Usage> {
    let mut figures = shared(server, lasting).await?;
    figures["away"] = away(server, lasting).await?;
    Ok(figures)
}

/// What decisions cost while the server stands still, and how soon it is used again.
async fn away(server: &Server, lasting: Duration) -> Result<Value, Usage> {
    let mut config = server.config();
    config.redis = config.redis.map(|redis| RedisConfig { decide_within: DECIDE_WITHIN, ..redis });
    let limiter = limiter(config).await?;
    server.signal("-STOP").await?;
    let begun = Instant::now();
    std::hint::black_box(limiter.check(1).await);
    let detected = begun.elapsed();
    let decide = {
        let limiter = limiter.clone();
        move |_| {
            let limiter = limiter.clone();
            async move {
                std::hint::black_box(limiter.check(1).await);
            }
        }
    };
    let mut figures = measure::together(lasting, "checks", decide).await;
    server.signal("-CONT").await?;
    let begun = Instant::now();
    while limiter.status().await.is_err() {
        tokio::task::yield_now().await;
    }
    figures["detected_ms"] = json!(millis(detected));
    figures["back_ms"] = json!(millis(begun.elapsed()));
    Ok(figures)
}

async fn shared(server: &Server, lasting: Duration) -> Result<Value, Usage> {
    let limiter = limiter(server.config()).await?;
    let check = move |_| {
        let limiter = limiter.clone();
        async move {
            std::hint::black_box(limiter.check(1).await);
        }
    };
    Ok(measure::together(lasting, "checks", check).await)
}
