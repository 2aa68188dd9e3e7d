//! A process that uses a shared limit: `fleet-limit-worker URL PREFIX MILLISECONDS` acquires from the limit `taobao` as
//! fast as the limit allows. For each allowed call it prints the time of its request and of its reply, in µs since the
//! Unix epoch.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate::{Config, Host};
use tidegate_core::config::RedisConfig;
use tokio::time::Instant;

/// The number of concurrent callers in each process. It is large enough to keep a queue at the limit.
const CALLERS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, prefix, milliseconds] = &arguments[..] else { panic!("expected URL PREFIX MILLISECONDS") };
    // The timeout is long, so that no process falls back to its local share on a slow machine.
    let decide_within = Duration::from_secs(5);
    let redis = RedisConfig::single(url.as_str()).with_prefix(prefix).with_decide_within(decide_within);
    // The limit that the test has set in Redis is active. The configuration itself has the limits of the preset.
    let config = Config::with_platforms().with_redis(redis);
    let host = Host::builder().config(config).build().unwrap_or_else(|error| panic!("{error}"));
    let end = Instant::now() + Duration::from_millis(milliseconds.parse().unwrap_or_else(|_| panic!("{milliseconds}")));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call_until(host.clone(), end));
    }
    let calls = callers.join_all().await.concat();
    let mut out = std::io::stdout().lock();
    for (requested_at, replied_at) in calls {
        let _ = writeln!(out, "{requested_at} {replied_at}");
    }
}

async fn call_until(host: Host, end: Instant) -> Vec<(u128, u128)> {
    let limiter = host.limiter("taobao").unwrap_or_else(|error| panic!("{error}"));
    let mut calls = Vec::new();
    while Instant::now() < end {
        let requested_at = unix_us();
        if limiter.acquire(1, end - Instant::now()).await.is_ok() {
            calls.push((requested_at, unix_us()));
        }
    }
    calls
}

fn unix_us() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
}
