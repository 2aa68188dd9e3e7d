//! Shared statistics: each process counts its own calls, and Redis adds them up without losing or repeating a call.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use tidegate::internals::{exported_metrics, take_pending};
use tidegate::{Config, Host, Metrics};
use tidegate_core::store::MetricStore;
use tidegate_core::{Clock, ManualClock, Outcome, Timestamp};
use tidegate_redis::internals::RawRequests;
use tidegate_redis::{Redis, RedisMetrics};

use crate::servers::{Cluster, Proxy, RedisServer, open_redis};

const HOUR: Duration = Duration::from_secs(3_600);
const RANGES: [Duration; 5] =
    [Duration::from_secs(60), HOUR, HOUR.saturating_mul(24), HOUR.saturating_mul(24 * 7), HOUR.saturating_mul(24 * 30)];

/// Endpoint names that would collide if keys were built without escaping.
const ENDPOINTS: [&str; 8] = ["a", "a:b", "", ":", "{a}", "30000000", "pending", "é\r\n "];

/// The start of a minute in 2027, in microseconds since the Unix epoch.
const START_US: u64 = 1_800_000_000_000_000;

/// One process: its own metrics and its connection to the shared store.
struct Process {
    local: Metrics,
    store: RedisMetrics,
}

impl Process {
    fn new(redis: Redis, clock: &Arc<dyn Clock>) -> Self {
        let store = RedisMetrics::with_clock(redis, 100, Arc::clone(clock));
        Self { local: exported_metrics(100, Arc::clone(clock)), store }
    }

    async fn flush(&self) {
        self.store.add(take_pending(&self.local)).await.unwrap();
    }
}

fn manual_clock() -> (Arc<ManualClock>, Arc<dyn Clock>) {
    let manual_clock = Arc::new(ManualClock::new(Timestamp::from_micros(START_US)));
    (Arc::clone(&manual_clock), manual_clock)
}

#[derive(Clone, Debug)]
struct Call {
    pause_us: u64,
    process: usize,
    platform: &'static str,
    endpoint: &'static str,
    outcome: Outcome,
    duration: Duration,
    roll_up_by: Option<usize>,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![Just(0), 0..90_000_000_u64, 0..40_000_000_000_u64];
    let outcome = prop_oneof![Just(Outcome::Success), Just(Outcome::Error), Just(Outcome::Limited)];
    let duration = (0..70_000_000_u64).prop_map(Duration::from_micros);
    let platform = prop_oneof![Just("jd"), Just("{j}d:"), Just("")];
    let roll_up_by = proptest::option::of(0..2_usize);
    let call = (pause, 0..2_usize, platform, proptest::sample::select(&ENDPOINTS[..]), outcome, duration, roll_up_by);
    let call = call.prop_map(|(pause_us, process, platform, endpoint, outcome, duration, roll_up_by)| Call {
        pause_us,
        process,
        platform,
        endpoint,
        outcome,
        duration,
        roll_up_by,
    });
    proptest::collection::vec(call, 1..40)
}

/// Two processes count, flush and roll up in turn. Asserts that their shared statistics equal those of one process that
/// counted all calls.
async fn assert_statistics_add_up(redis: &Redis, calls: Vec<Call>) {
    let (manual_clock, clock) = manual_clock();
    let fleet = [(); 2].map(|()| Process::new(redis.clone(), &clock));
    let all = Metrics::new(100, Arc::clone(&clock));
    for call in calls {
        manual_clock.advance(Duration::from_micros(call.pause_us));
        let process = &fleet[call.process];
        for metrics in [&all, &process.local] {
            metrics.record(call.platform, call.endpoint, call.outcome, call.duration);
        }
        process.flush().await;
        if let Some(leader) = call.roll_up_by {
            fleet[leader].store.roll_up().await.unwrap();
        }
    }
    let endpoints_by_platform = fleet[0].store.endpoints().await.unwrap();
    assert_eq!(endpoints_by_platform.keys().collect::<Vec<_>>(), all.endpoints().keys().collect::<Vec<_>>());
    for (platform, endpoints) in endpoints_by_platform {
        for endpoint in endpoints.iter().map(|name| Some(name.as_str())).chain([None]) {
            for range in RANGES {
                let shared = fleet[1].store.stats(&platform, endpoint, range).await.unwrap();
                assert_eq!(shared, all.stats(&platform, endpoint, range), "{platform:?} {endpoint:?} {range:?}");
            }
        }
    }
}

#[test]
fn shared_statistics_equal_those_of_one_process_that_counts_everything() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = RedisServer::start();
    let mut runner = TestRunner::new(RunnerConfig::with_cases(24));
    let result = runner.run(&calls(), |calls| {
        runtime.block_on(async {
            server.flush().await;
            assert_statistics_add_up(&server.redis().await, calls).await;
        });
        Ok(())
    });
    result.unwrap();
}

#[tokio::test]
async fn daily_window_has_the_documented_key_and_fields() {
    let (server, (manual_clock, clock)) = (RedisServer::start(), manual_clock());
    let redis = server.redis().await;
    let process = Process::new(redis.clone(), &clock);
    process.local.record("taobao", "taobao.trade.get", Outcome::Success, Duration::from_millis(1));
    process.local.record("taobao", "taobao.trade.get", Outcome::Error, Duration::from_micros(10));
    process.local.record("taobao", "taobao.trade.get", Outcome::Limited, Duration::ZERO);
    process.flush().await;
    manual_clock.advance(Duration::from_secs(60));
    assert_eq!(process.store.roll_up().await.unwrap(), 2); // one for the endpoint, one for the platform
    let key = redis.keys().window("taobao", ":taobao.trade.get", "2027-01-15");
    assert!(key.ends_with(":metrics:{taobao}:taobao.trade.get:2027-01-15"), "{key}");
    for (field, count) in [
        ("count", 2),
        ("success_count", 1),
        ("error_count", 1),
        ("limited_count", 1),
        ("total_duration_us", 1_010),
        ("0", 1),
        ("551", 1),
    ] {
        let reply = server.command(&["HGET", &key, field]).await;
        let digits = count.to_string();
        assert_eq!(reply, format!("${}\r\n{digits}\r\n", digits.len()), "{field}");
    }
}

/// Returns the metrics of `count` successful calls.
fn successful_calls(count: u64) -> tidegate_core::store::MetricDeltas {
    let metrics = exported_metrics(100, Arc::new(tidegate::SystemClock::new()));
    (0..count).for_each(|_| metrics.record("jd", "e", Outcome::Success, Duration::from_millis(5)));
    take_pending(&metrics)
}

async fn count(store: &RedisMetrics, range: Duration) -> u64 {
    store.stats("jd", Some("e"), range).await.unwrap().count
}

#[tokio::test]
async fn batch_with_a_lost_reply_is_counted_once() {
    let server = RedisServer::start();
    let proxy = Proxy::to(&server).await;
    let redis = open_redis(&proxy.config(&server));
    let store = RedisMetrics::new(redis, 100);
    store.add(successful_calls(1)).await.unwrap();
    let mut lost = 0;
    for _ in 0..20 {
        proxy.drop_next_reply();
        lost += u32::from(store.add(successful_calls(1)).await.is_err());
    }
    assert!(lost > 0, "no reply was lost");
    while store.add(successful_calls(0)).await.is_err() {}
    assert_eq!(count(&store, HOUR).await, 21);
}

#[tokio::test]
async fn batches_that_fail_while_redis_is_stalled_are_counted_once_after_it_recovers() {
    let server = RedisServer::start();
    let store = RedisMetrics::new(server.redis().await, 100);
    store.add(successful_calls(1)).await.unwrap();
    server.pause();
    assert!(store.add(successful_calls(10)).await.unwrap_err().is_unavailable());
    assert!(store.add(successful_calls(100)).await.unwrap_err().is_unavailable());
    server.resume();
    while store.add(successful_calls(0)).await.is_err() {}
    assert_eq!(count(&store, HOUR).await, 111);
}

#[tokio::test]
async fn two_concurrent_leaders_roll_up_every_minute_once() {
    let (server, (manual_clock, clock)) = (RedisServer::start(), manual_clock());
    let redis = server.redis().await;
    let leaders = [(); 2].map(|()| Process::new(redis.clone(), &clock));
    for _ in 0..10 {
        ENDPOINTS.iter().for_each(|name| leaders[0].local.record("jd", name, Outcome::Error, Duration::ZERO));
        leaders[0].local.record("jd", "e", Outcome::Success, Duration::from_millis(5));
        leaders[0].flush().await;
        manual_clock.advance(Duration::from_secs(60));
    }
    // A concurrent read misses no minute and counts no minute twice.
    let reading = async {
        for _ in 0..50 {
            assert_eq!(count(&leaders[1].store, 24 * HOUR).await, 10);
        }
    };
    let (first, second, ()) = tokio::join!(leaders[0].store.roll_up(), leaders[1].store.roll_up(), reading);
    assert_eq!(first.unwrap() + second.unwrap(), 10 * (ENDPOINTS.len() as u64 + 2));
    assert_eq!(count(&leaders[0].store, 24 * HOUR).await, 10);
    assert_eq!(count(&leaders[0].store, 24 * 7 * HOUR).await, 10);
    assert_eq!(leaders[0].store.roll_up().await.unwrap(), 0);
}

#[tokio::test]
async fn rolled_up_minute_accepts_no_more_calls_when_a_clock_is_behind() {
    let (server, (ahead, ahead_clock), (behind, behind_clock)) = (RedisServer::start(), manual_clock(), manual_clock());
    ahead.advance(Duration::from_secs(600));
    let redis = server.redis().await;
    let [store_ahead, store_behind] =
        [ahead_clock, behind_clock].map(|clock| RedisMetrics::with_clock(redis.clone(), 100, clock));
    for minutes in 1..=3 {
        store_ahead.add(successful_calls(1)).await.unwrap();
        store_behind.add(successful_calls(1)).await.unwrap();
        for clock in [&ahead, &behind] {
            clock.advance(Duration::from_secs(60));
        }
        store_ahead.roll_up().await.unwrap();
        assert_eq!(count(&store_ahead, 24 * HOUR).await, 2 * minutes);
    }
    assert_eq!(store_ahead.roll_up().await.unwrap(), 0);
}

#[tokio::test]
async fn endpoints_beyond_the_maximum_are_counted_as_other() {
    let server = RedisServer::start();
    let redis = server.redis().await;
    let metrics = exported_metrics(100, Arc::new(tidegate::SystemClock::new()));
    for name in ["a", "b", "c", "d", "a"] {
        metrics.record("jd", name, Outcome::Success, Duration::from_millis(5));
    }
    let store = RedisMetrics::new(redis, 2);
    store.add(take_pending(&metrics)).await.unwrap();
    assert_eq!(store.endpoints().await.unwrap()["jd"], ["a", "b", "other"]);
    for (name, calls) in [(Some("a"), 2), (Some("other"), 2), (None, 5)] {
        assert_eq!(store.stats("jd", name, HOUR).await.unwrap().count, calls, "{name:?}");
    }
}

#[tokio::test]
async fn migrating_cluster_slot_loses_and_repeats_no_call() {
    let (cluster, (manual_clock, clock)) = (Cluster::start().await, manual_clock());
    let redis = open_redis(&cluster.config());
    let store = RedisMetrics::with_clock(redis.clone(), 100, clock);
    let (from, slot) = cluster.owner(&redis.keys().windows("jd")).await;
    let to = (from + 1) % 3;
    let add_call_and_advance = async || {
        store.add(successful_calls(1)).await.unwrap();
        manual_clock.advance(Duration::from_secs(60));
    };
    add_call_and_advance().await;
    assert_eq!(store.roll_up().await.unwrap(), 2);
    add_call_and_advance().await;
    // All keys of the next batch exist, except the key of the current minute.
    cluster.start_migration(slot, from, to).await;
    let result = store.add(successful_calls(10)).await;
    let keys = cluster.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "99"]).await;
    let keys: Vec<&str> = keys.lines().filter(|line| line.contains('{')).collect();
    cluster.finish_migration(slot, from, to, &keys).await;
    assert!(result.is_err(), "a new key cannot be written while its slot migrates");
    while store.add(successful_calls(0)).await.is_err() {}
    manual_clock.advance(Duration::from_secs(60));
    while store.roll_up().await.is_err() {}
    for range in RANGES {
        let expected = if range < HOUR { 10 } else { 12 };
        assert_eq!(count(&store, range).await, expected, "{range:?}");
    }
}

fn config(server: &RedisServer, flush_interval: Duration) -> Config {
    let mut config = Config::default().with_redis(server.config());
    config.metrics.flush_interval = flush_interval;
    config
}

#[tokio::test]
async fn stopping_host_flushes_its_metrics() {
    let server = RedisServer::start();
    let config = config(&server, Duration::from_secs(60));
    let [host, other] = [(); 2].map(|()| Host::builder().config(config.clone()).build().unwrap());
    host.metrics().record("jd", "e", Outcome::Success, Duration::from_millis(5));
    assert_eq!(other.stats("jd", None, HOUR).await.unwrap().count, 0);
    host.clone().run(std::future::ready(())).await;
    assert_eq!(other.stats("jd", None, HOUR).await.unwrap().count, 1);
    assert_eq!(other.endpoints().await.unwrap(), [("jd".to_owned(), vec!["e".to_owned()])].into());
    assert_eq!(other.metrics().totals("jd", "e").count, 0); // local totals contain only the calls of this process
}

#[tokio::test]
async fn killed_process_loses_only_unflushed_calls() {
    let server = RedisServer::start();
    let config = config(&server, Duration::from_millis(100));
    let redis = config.redis.as_ref().unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_fleet-counter"))
        .args([redis.url[0].expose(), &redis.prefix])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(worker.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "flushed 5"));
    worker.kill().unwrap(); // SIGKILL
    worker.wait().unwrap();
    let remaining_lines: Vec<String> = lines.collect();
    let last = |word: &str| {
        let numbers = remaining_lines.iter().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        numbers.max().unwrap_or(5_u64)
    };
    let host = Host::builder().config(config).build().unwrap();
    let count = host.stats("jd", None, HOUR).await.unwrap().count;
    assert!((last("flushed")..=last("recorded")).contains(&count), "{count}: {remaining_lines:?}");
}
