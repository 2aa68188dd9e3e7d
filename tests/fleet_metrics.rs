//! Figures of a fleet: processes count apart, and what they counted adds up, each call once.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use tidegate::core::store::MetricStore;
use tidegate::core::{Clock, Outcome};
use tidegate::redis::{Redis, RedisMetrics};
use tidegate::{Config, Host, Metrics};

use crate::servers::{Cluster, Proxy, Server};
use crate::three_forms::Hand;

const HOUR: Duration = Duration::from_secs(3_600);
const RANGES: [Duration; 5] =
    [Duration::from_secs(60), HOUR, HOUR.saturating_mul(24), HOUR.saturating_mul(24 * 7), HOUR.saturating_mul(24 * 30)];

/// Names that would take each other's place if keys were put together carelessly.
const ENDPOINTS: [&str; 8] = ["a", "a:b", "", ":", "{a}", "30000000", "pending", "é\r\n "];

/// A minute in 2027, at its beginning.
const START_US: u64 = 1_800_000_000_000_000;

/// One process: what it counts, and its way to the others.
struct Process {
    local: Metrics,
    store: RedisMetrics,
}

impl Process {
    fn new(redis: Redis, clock: &Arc<dyn Clock>) -> Self {
        let store = RedisMetrics::with_clock(redis, 100, Arc::clone(clock));
        Self { local: Metrics::told(100, Arc::clone(clock)), store }
    }

    async fn flush(&self) {
        self.store.add(self.local.take_untold()).await.unwrap();
    }
}

fn hand() -> (Arc<Hand>, Arc<dyn Clock>) {
    let hand = Arc::new(Hand::default());
    hand.advance(START_US);
    (Arc::clone(&hand), hand)
}

#[derive(Clone, Debug)]
struct Call {
    pause_us: u64,
    process: usize,
    platform: &'static str,
    endpoint: &'static str,
    outcome: Outcome,
    took: Duration,
    rolled_by: Option<usize>,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![Just(0), 0..90_000_000_u64, 0..40_000_000_000_u64];
    let outcome = prop_oneof![Just(Outcome::Success), Just(Outcome::Error), Just(Outcome::Limited)];
    let took = (0..70_000_000_u64).prop_map(Duration::from_micros);
    let platform = prop_oneof![Just("jd"), Just("{j}d:"), Just("")];
    let rolled_by = proptest::option::of(0..2_usize);
    let call = (pause, 0..2_usize, platform, proptest::sample::select(&ENDPOINTS[..]), outcome, took, rolled_by);
    let call = call.prop_map(|(pause_us, process, platform, endpoint, outcome, took, rolled_by)| Call {
        pause_us,
        process,
        platform,
        endpoint,
        outcome,
        took,
        rolled_by,
    });
    proptest::collection::vec(call, 1..40)
}

/// Two processes count, flush and roll up by turns; what they say together is what one says that counted everything.
async fn together(redis: &Redis, calls: Vec<Call>) {
    let (hand, clock) = hand();
    let fleet = [(); 2].map(|()| Process::new(redis.clone(), &clock));
    let all = Metrics::new(100, Arc::clone(&clock));
    for call in calls {
        hand.advance(call.pause_us);
        let process = &fleet[call.process];
        for metrics in [&all, &process.local] {
            metrics.record(call.platform, call.endpoint, call.outcome, call.took);
        }
        process.flush().await;
        if let Some(leader) = call.rolled_by {
            fleet[leader].store.roll_up().await.unwrap();
        }
    }
    let measured = fleet[0].store.endpoints().await.unwrap();
    assert_eq!(measured.keys().collect::<Vec<_>>(), all.endpoints().keys().collect::<Vec<_>>());
    for (platform, endpoints) in measured {
        for endpoint in endpoints.iter().map(|name| Some(name.as_str())).chain([None]) {
            for range in RANGES {
                let told = fleet[1].store.figures(&platform, endpoint, range).await.unwrap();
                assert_eq!(told, all.get(&platform, endpoint, range), "{platform:?} {endpoint:?} {range:?}");
            }
        }
    }
}

#[test]
fn a_fleet_says_what_one_process_says_that_counted_everything() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::single();
    let mut runner = TestRunner::new(Runs::with_cases(24));
    let ran = runner.run(&calls(), |calls| {
        runtime.block_on(async {
            server.flush().await;
            together(&server.redis().await, calls).await;
        });
        Ok(())
    });
    ran.unwrap();
}

#[tokio::test]
async fn a_day_has_the_key_and_the_fields_that_are_promised() {
    let (server, (hand, clock)) = (Server::single(), hand());
    let redis = server.redis().await;
    let process = Process::new(redis.clone(), &clock);
    process.local.record("taobao", "taobao.trade.get", Outcome::Success, Duration::from_millis(1));
    process.local.record("taobao", "taobao.trade.get", Outcome::Error, Duration::from_micros(10));
    process.local.record("taobao", "taobao.trade.get", Outcome::Limited, Duration::ZERO);
    process.flush().await;
    hand.advance(60_000_000);
    assert_eq!(process.store.roll_up().await.unwrap(), 2); // the endpoint, and the platform
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
        let told = server.command(&["HGET", &key, field]).await;
        let digits = count.to_string();
        assert_eq!(told, format!("${}\r\n{digits}\r\n", digits.len()), "{field}");
    }
}

/// Windows of `count` calls that succeeded.
fn counted(count: u64) -> tidegate::core::store::Counted {
    let metrics = Metrics::told(100, Arc::new(tidegate::SystemClock::start()));
    (0..count).for_each(|_| metrics.record("jd", "e", Outcome::Success, Duration::from_millis(5)));
    metrics.take_untold()
}

async fn count(store: &RedisMetrics, range: Duration) -> u64 {
    store.figures("jd", Some("e"), range).await.unwrap().count
}

#[tokio::test]
async fn a_batch_whose_reply_is_lost_counts_once() {
    let server = Server::single();
    let proxy = Proxy::to(&server).await;
    let redis = Redis::open(&proxy.config(&server)).unwrap();
    let store = RedisMetrics::new(redis, 100);
    store.add(counted(1)).await.unwrap();
    let mut lost = 0;
    for _ in 0..20 {
        proxy.drop_next_reply();
        lost += u32::from(store.add(counted(1)).await.is_err());
    }
    assert!(lost > 0, "no reply was lost");
    while store.add(counted(0)).await.is_err() {}
    assert_eq!(count(&store, HOUR).await, 21);
}

#[tokio::test]
async fn what_cannot_be_added_while_redis_stands_still_is_added_once_when_it_goes_on() {
    let server = Server::single();
    let store = RedisMetrics::new(server.redis().await, 100);
    store.add(counted(1)).await.unwrap();
    server.stop();
    assert!(store.add(counted(10)).await.unwrap_err().is_away());
    assert!(store.add(counted(100)).await.unwrap_err().is_away());
    server.cont();
    while store.add(counted(0)).await.is_err() {}
    assert_eq!(count(&store, HOUR).await, 111);
}

#[tokio::test]
async fn two_leaders_at_once_roll_up_every_minute_once() {
    let (server, (hand, clock)) = (Server::single(), hand());
    let redis = server.redis().await;
    let leaders = [(); 2].map(|()| Process::new(redis.clone(), &clock));
    for _ in 0..10 {
        ENDPOINTS.iter().for_each(|name| leaders[0].local.record("jd", name, Outcome::Error, Duration::ZERO));
        leaders[0].local.record("jd", "e", Outcome::Success, Duration::from_millis(5));
        leaders[0].flush().await;
        hand.advance(60_000_000);
    }
    // Who reads meanwhile misses no minute and counts none twice.
    let reading = async {
        for _ in 0..50 {
            assert_eq!(count(&leaders[1].store, 24 * HOUR).await, 10);
        }
    };
    let (one, other, ()) = tokio::join!(leaders[0].store.roll_up(), leaders[1].store.roll_up(), reading);
    assert_eq!(one.unwrap() + other.unwrap(), 10 * (ENDPOINTS.len() as u64 + 2));
    assert_eq!(count(&leaders[0].store, 24 * HOUR).await, 10);
    assert_eq!(count(&leaders[0].store, 24 * 7 * HOUR).await, 10);
    assert_eq!(leaders[0].store.roll_up().await.unwrap(), 0);
}

#[tokio::test]
async fn a_minute_that_was_rolled_up_takes_no_more_when_the_clock_goes_back() {
    let (server, (hand, clock), (behind, late)) = (Server::single(), hand(), hand());
    hand.advance(600_000_000);
    let redis = server.redis().await;
    let [clock, late] = [clock, late].map(|clock| RedisMetrics::with_clock(redis.clone(), 100, clock));
    for minutes in 1..=3 {
        clock.add(counted(1)).await.unwrap();
        late.add(counted(1)).await.unwrap();
        for hand in [&hand, &behind] {
            hand.advance(60_000_000);
        }
        clock.roll_up().await.unwrap();
        assert_eq!(count(&clock, 24 * HOUR).await, 2 * minutes);
    }
    assert_eq!(clock.roll_up().await.unwrap(), 0);
}

#[tokio::test]
async fn endpoints_beyond_the_most_of_the_fleet_are_counted_together() {
    let server = Server::single();
    let redis = server.redis().await;
    let metrics = Metrics::told(100, Arc::new(tidegate::SystemClock::start()));
    for name in ["a", "b", "c", "d", "a"] {
        metrics.record("jd", name, Outcome::Success, Duration::from_millis(5));
    }
    let store = RedisMetrics::new(redis, 2);
    store.add(metrics.take_untold()).await.unwrap();
    assert_eq!(store.endpoints().await.unwrap()["jd"], ["a", "b", "other"]);
    for (name, calls) in [(Some("a"), 2), (Some("other"), 2), (None, 5)] {
        assert_eq!(store.figures("jd", name, HOUR).await.unwrap().count, calls, "{name:?}");
    }
}

#[tokio::test]
async fn a_slot_on_the_move_costs_no_call_and_counts_none_twice() {
    let (cluster, (hand, clock)) = (Cluster::start().await, hand());
    let redis = Redis::open(&cluster.config()).unwrap();
    let store = RedisMetrics::with_clock(redis.clone(), 100, clock);
    let (from, slot) = cluster.owner(&redis.keys().windows("jd")).await;
    let to = (from + 1) % 3;
    let minute = async || {
        store.add(counted(1)).await.unwrap();
        hand.advance(60_000_000);
    };
    minute().await;
    assert_eq!(store.roll_up().await.unwrap(), 2);
    minute().await;
    // Every key is there that the next batch declares, and the minute in which it counts is not.
    cluster.begin_move(slot, from, to).await;
    let moving = store.add(counted(10)).await;
    let keys = cluster.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "99"]).await;
    let keys: Vec<&str> = keys.lines().filter(|line| line.contains('{')).collect();
    cluster.end_move(slot, from, to, &keys).await;
    assert!(moving.is_err(), "a key that is nowhere yet cannot be written while its slot moves");
    while store.add(counted(0)).await.is_err() {}
    hand.advance(60_000_000);
    while store.roll_up().await.is_err() {}
    for range in RANGES {
        let kept = if range < HOUR { 10 } else { 12 };
        assert_eq!(count(&store, range).await, kept, "{range:?}");
    }
}

fn config(server: &Server, flush: Duration) -> Config {
    let mut config = Config { redis: Some(server.config()), ..Config::default() };
    config.metrics.flush = flush;
    config
}

#[tokio::test]
async fn a_host_that_is_asked_to_stop_flushes_first() {
    let server = Server::single();
    let config = config(&server, Duration::from_secs(60));
    let [host, other] = [(); 2].map(|()| Host::builder().config(config.clone()).build().unwrap());
    host.metrics().record("jd", "e", Outcome::Success, Duration::from_millis(5));
    assert_eq!(other.figures("jd", None, HOUR).await.unwrap().count, 0);
    host.clone().run(std::future::ready(())).await;
    assert_eq!(other.figures("jd", None, HOUR).await.unwrap().count, 1);
    assert_eq!(other.endpoints().await.unwrap(), [("jd".to_owned(), vec!["e".to_owned()])].into());
    assert_eq!(other.metrics().ever("jd", "e").count, 0); // its own counts are its own
}

#[tokio::test]
async fn a_killed_process_loses_no_more_than_it_had_not_flushed() {
    let server = Server::single();
    let config = config(&server, Duration::from_millis(100));
    let redis = config.redis.as_ref().unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_fleet-counter"))
        .args([redis.url[0].expose(), &redis.prefix])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(worker.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "seen 5"));
    worker.kill().unwrap(); // SIGKILL
    worker.wait().unwrap();
    let rest: Vec<String> = lines.collect();
    let last = |word: &str| {
        let numbers = rest.iter().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        numbers.max().unwrap_or(5_u64)
    };
    let host = Host::builder().config(config).build().unwrap();
    let count = host.figures("jd", None, HOUR).await.unwrap().count;
    assert!((last("seen")..=last("made")).contains(&count), "{count}: {rest:?}");
}
