//! A call recorded, and the figures of an hour read.

use std::time::Duration;

use serde_json::Value;
use tidegate::{Config, Host, Outcome};

use super::measure;
use super::server::Server;
use crate::command::Usage;

/// Calls of so many endpoints, with durations all over the histogram.
const ENDPOINTS: u64 = 20;
const CALLS: u64 = 20_000;

fn host(config: Config) -> Result<Host, Usage> {
    Host::builder().config(config).build().map_err(|error| Usage(error.to_string()))
}

pub async fn memory(lasting: Duration) -> Result<Value, Usage> {
    let recorder = host(Config::default())?.metrics().recorder("taobao", "taobao.trade.get");
    let mut micros = 0;
    Ok(measure::alone(lasting, "records", || {
        micros = (micros + 7_919) % 60_000_000;
        recorder.record(Outcome::Success, Duration::from_micros(micros));
    }))
}

pub async fn redis(server: &Server, lasting: Duration) -> Result<Value, Usage> {
    let host = host(server.config())?;
    for call in 0..CALLS {
        let duration = Duration::from_micros(call * 7_919 % 60_000_000);
        host.metrics().record("taobao", &format!("endpoint {}", call % ENDPOINTS), Outcome::Success, duration);
    }
    // A host that is told to stop flushes what it has.
    host.clone().run(std::future::ready(())).await;
    let hour = Duration::from_secs(3_600);
    let seen = host.figures("taobao", None, hour).await.map_err(|error| Usage(error.to_string()))?;
    if seen.count != CALLS {
        return Err(Usage(format!("{} of {CALLS} calls arrived in Redis", seen.count)));
    }
    let read = move |_| {
        let host = host.clone();
        async move {
            let _ = std::hint::black_box(host.figures("taobao", None, hour).await);
        }
    };
    Ok(measure::together(lasting, "reads", read).await)
}
