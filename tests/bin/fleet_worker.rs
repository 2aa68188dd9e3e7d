//! One process of a fleet, for tests that need real ones: `fleet-worker URL PREFIX MILLISECONDS` calls `taobao` as fast
//! as the shared limit lets it and prints, for each call that was let go, when it asked and when it was answered.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate::core::config::RedisConfig;
use tidegate::{Config, Host};
use tokio::time::Instant;

/// As many callers in each process as keep a queue before the limit.
const CALLERS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, prefix, milliseconds] = &arguments[..] else { panic!("expected URL PREFIX MILLISECONDS") };
    // What is measured is the shared limit: however slow the machine, nobody is to go on with a share of its own.
    let decide_within = Duration::from_secs(5);
    let redis = RedisConfig { prefix: prefix.clone(), decide_within, ..RedisConfig::single(url) };
    // What the test has set beforehand is in force; the fleet's own configuration is the shipped one.
    let config = Config { redis: Some(redis), ..Config::default() };
    let host = Host::builder().config(config).build().unwrap_or_else(|error| panic!("{error}"));
    let end = Instant::now() + Duration::from_millis(milliseconds.parse().unwrap_or_else(|_| panic!("{milliseconds}")));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call_until(host.clone(), end));
    }
    let calls = callers.join_all().await.concat();
    let mut out = std::io::stdout().lock();
    for (asked, answered) in calls {
        let _ = writeln!(out, "{asked} {answered}");
    }
}

async fn call_until(host: Host, end: Instant) -> Vec<(u128, u128)> {
    let limiter = host.limiter("taobao").unwrap_or_else(|error| panic!("{error}"));
    let mut calls = Vec::new();
    while Instant::now() < end {
        let asked = unix_us();
        if limiter.acquire(1, end - Instant::now()).await.is_allowed() {
            calls.push((asked, unix_us()));
        }
    }
    calls
}

fn unix_us() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
}
