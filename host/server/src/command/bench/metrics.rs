//! Measures recording calls, and reading the statistics of an hour.

use std::hint::black_box;
use std::time::Duration;

use serde_json::Value;
use tidegate::{Config, Host, Outcome};

use super::measure;
use super::server::RedisServer;
use crate::command::UsageError;

/// The number of endpoints that the recorded calls are spread over.
const ENDPOINTS: u64 = 20;
/// The number of calls that are recorded before reading, with durations over the whole range of the histogram.
const CALLS: u64 = 20_000;

fn host(config: Config) -> Result<Host, UsageError> {
    Host::builder().config(config).build().map_err(|error| UsageError(error.to_string()))
}

pub async fn memory(duration: Duration) -> Result<Value, UsageError> {
    let recorder = host(Config::default())?.metrics().recorder("taobao", "taobao.trade.get");
    let mut micros = 0;
    Ok(measure::batched(duration, "records", || {
        micros = (micros + 7_919) % 60_000_000;
        recorder.record(Outcome::Success, Duration::from_micros(micros));
    }))
}

pub async fn redis(server: &RedisServer, duration: Duration) -> Result<Value, UsageError> {
    let host = host(server.config())?;
    for call in 0..CALLS {
        let latency = Duration::from_micros(call * 7_919 % 60_000_000);
        host.metrics().record("taobao", &format!("endpoint {}", call % ENDPOINTS), Outcome::Success, latency);
    }
    // A host that stops flushes its metrics to Redis.
    host.clone().run(std::future::ready(())).await;
    let hour = Duration::from_secs(3_600);
    let stats = host.stats("taobao", None, hour).await.map_err(|error| UsageError(error.to_string()))?;
    if stats.count != CALLS {
        return Err(UsageError(format!("only {} of {CALLS} recorded calls are in Redis", stats.count)));
    }
    let read = move |_| {
        let host = host.clone();
        async move {
            let _ = black_box(host.stats("taobao", None, hour).await);
        }
    };
    Ok(measure::concurrent(duration, "reads", read).await)
}
