//! A limit that many processes share, with and without Redis failures.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tidegate::internals::shared_limiter;
use tidegate::{Config, Host, Limiter, ManualClock, Quota, Refusal, SystemClock};
use tidegate_core::config::{LimitConfig, RedisConfig};
use tidegate_core::store::{LimitStore, OnRedisFailure};
use tidegate_redis::{Redis, RedisLimit};

use crate::servers::{Proxy, RedisServer, open_redis};

fn quota(rate: &str, burst: u64) -> Quota {
    Quota::new(rate.parse().unwrap(), burst).unwrap()
}

/// Returns a limiter with connections of its own, so that Redis sees it as a separate process.
fn limiter(redis: &RedisConfig, rate: &str, burst: u64, on_redis_failure: OnRedisFailure) -> Limiter {
    let limit = LimitConfig::new(quota(rate, burst)).with_on_redis_failure(on_redis_failure);
    // At least one second, so that Redis is not regarded as unavailable on a slow machine.
    let decide_within = redis.decide_within.max(Duration::from_secs(1));
    let redis = open_redis(&redis.clone().with_decide_within(decide_within));
    shared_limiter(RedisLimit::new(redis, "jd", limit))
}

/// Asserts that no time window contains more allowed calls than the limit permits. A call counts in every window that
/// contains both its request and its reply.
fn assert_within_limit(mut calls: Vec<(u128, u128)>, rate_per_s: u128, burst: u128) {
    calls.sort_unstable();
    let ends = |from: u128| calls.iter().filter(move |(requested, _)| *requested >= from).map(|(_, replied)| *replied);
    for (start, _) in calls.iter().step_by(7) {
        let mut within: Vec<u128> = ends(*start).collect();
        within.sort_unstable();
        for (count, end) in within.iter().enumerate() {
            let permitted = burst * 1_000_000 + rate_per_s * (end - start);
            assert!((count as u128 + 1) * 1_000_000 <= permitted, "{} calls in {} µs", count + 1, end - start);
        }
    }
}

/// Runs this number of worker processes and returns the request and reply times of the allowed calls of each, in µs.
fn run_workers(redis: &RedisConfig, workers: usize, milliseconds: u64) -> Vec<Vec<(u128, u128)>> {
    let start = |_| {
        Command::new(env!("CARGO_BIN_EXE_fleet-limit-worker"))
            .args([redis.url[0].expose(), &redis.prefix, &milliseconds.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let started: Vec<_> = (0..workers).map(start).collect();
    let read = |text: &str| -> Vec<(u128, u128)> {
        let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap();
        text.lines().map(pair).collect()
    };
    started
        .into_iter()
        .map(|worker| {
            let output = worker.wait_with_output().unwrap();
            assert!(output.status.success());
            read(&String::from_utf8(output.stdout).unwrap())
        })
        .collect()
}

#[test]
fn eight_processes_use_all_of_a_shared_limit_and_no_more() {
    let server = RedisServer::start();
    let redis = server.config();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Processes that start later use the limit that one process has set.
    let config = Config::with_platforms().with_redis(redis.clone());
    runtime.block_on(async {
        let host = Host::builder().config(config).build().unwrap();
        let limiter = host.limiter("taobao").unwrap();
        limiter.update(quota("400/s", 20)).await.unwrap();
    });
    let calls = run_workers(&redis, 8, 4_000);
    assert!(calls.iter().all(|calls| !calls.is_empty()), "every process gets some calls");
    let all_calls = calls.concat();
    // All processes run from the latest first call to the earliest last call.
    let from = calls.iter().map(|calls| calls.iter().map(|(_, replied)| *replied).min().unwrap()).max().unwrap();
    let to = calls.iter().map(|calls| calls.iter().map(|(_, replied)| *replied).max().unwrap()).min().unwrap();
    let within = all_calls.iter().filter(|(_, replied)| (from..=to).contains(replied)).count() as u128;
    assert!(within * 1_000_000 * 100 >= 400 * (to - from) * 98, "{within} calls in {} µs", to - from);
    assert_within_limit(all_calls, 400, 20);
}

#[tokio::test]
async fn update_by_one_process_applies_to_all_at_their_next_check() {
    let server = RedisServer::start();
    let fleet: Vec<_> = (0..5).map(|_| limiter(&server.config(), "1000/s", 50, OnRedisFailure::Closed)).collect();
    for limiter in &fleet {
        assert!(limiter.check(1).await.is_ok());
    }
    fleet[0].update(quota("1/h", 3)).await.unwrap();
    for limiter in &fleet {
        assert_eq!(limiter.check(4).await, Err(Refusal::Never { max_cost: 3 }));
        assert_eq!(limiter.quota(), quota("1/h", 3));
    }
    let allowed = [fleet[1].check(2).await, fleet[2].check(1).await, fleet[3].check(1).await].map(|d| d.is_ok());
    assert_eq!(allowed, [true, true, false], "the tokens are kept, but at most the new burst");
}

#[tokio::test]
async fn update_wakes_waiting_callers_in_other_processes() {
    let server = RedisServer::start();
    let [first, second] = [1, 2].map(|_| limiter(&server.config(), "1/m", 1, OnRedisFailure::Closed));
    assert!(first.check(1).await.is_ok());
    let limited = first.acquire(1, Duration::from_secs(20)).await;
    assert!(matches!(limited, Err(Refusal::Limited { .. })), "the wait of one minute exceeds the timeout: {limited:?}");
    first.update(quota("1/29s", 1)).await.unwrap();
    let waiting = tokio::spawn(async move { first.acquire(1, Duration::from_secs(30)).await });
    // The caller is in the queue as soon as the number of available tokens is negative.
    wait_until(|| async { second.status().await.unwrap().available < 0 }).await;
    second.update(quota("1000/s", 1)).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("the caller is woken long before 29 seconds");
    assert!(woken.unwrap().is_ok());
}

#[tokio::test]
async fn cancelled_wait_frees_its_queue_position_for_other_processes() {
    let server = RedisServer::start();
    let [first, second] = [1, 2].map(|_| limiter(&server.config(), "1/14s", 1, OnRedisFailure::Closed));
    assert!(first.check(1).await.is_ok());
    let waiting = tokio::spawn({
        let first = first.clone();
        async move { first.acquire(1, Duration::from_secs(30)).await }
    });
    wait_until(|| async { second.status().await.unwrap().available < 0 }).await;
    assert!(matches!(second.check(0).await, Err(Refusal::Limited { .. })), "a caller is waiting in the queue");
    waiting.abort();
    wait_until(|| async { second.status().await.unwrap().available == 0 }).await;
}

#[tokio::test]
async fn check_cancelled_before_its_reply_takes_nothing() {
    let server = RedisServer::start();
    // The timeout is long enough for a slow machine, because the cost of a request that times out is not returned.
    let redis = server.config().with_decide_within(Duration::from_secs(10));
    let limiter = limiter(&redis, "1/h", 10, OnRedisFailure::Closed);
    assert_eq!(limiter.status().await.unwrap().available, 10);
    server.pause();
    let checks: Vec<_> = (0..10)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.check(1).await })
        })
        .collect();
    // The requests are sent before their callers are cancelled.
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    checks.iter().for_each(tokio::task::JoinHandle::abort);
    for check in checks {
        assert!(check.await.unwrap_err().is_cancelled());
    }
    server.resume();
    wait_until(|| async { limiter.status().await.is_ok_and(|status| status.available == 10) }).await;
}

#[tokio::test]
async fn unused_limits_cost_no_subscription_and_no_command() {
    let server = RedisServer::start();
    let redis = server.config().with_decide_within(Duration::from_secs(5));
    let prefix = redis.prefix.clone();
    let host = Host::builder().config(Config::with_platforms().with_redis(redis)).build().unwrap();
    assert_eq!(host.limiters().len(), 18);
    assert_eq!(host.limiter("jd").unwrap().cached_status().available, 5);
    // Each request about a limit creates its bucket. A limit that can wait is subscribed, and stays so.
    assert!(host.limiter("pdd").unwrap().check(1).await.is_ok());
    assert!(host.limiter("jd").unwrap().acquire(1, Duration::from_secs(1)).await.is_ok());
    let channel = format!("{prefix}limit:{{jd}}:changed");
    server.wait_for_reply(&["PUBSUB", "CHANNELS"], &channel).await;
    let keys = server.command(&["KEYS", &format!("{prefix}limit:*")]).await;
    let mut platforms: Vec<_> = keys.split(['{', '}']).skip(1).step_by(2).collect();
    platforms.sort_unstable();
    platforms.dedup();
    assert_eq!(platforms, ["jd", "pdd"], "{keys}");
}

#[tokio::test]
async fn update_survives_restarts_until_the_configuration_changes() {
    let server = RedisServer::start();
    let first = limiter(&server.config(), "10/s", 5, OnRedisFailure::Closed);
    assert_eq!(first.status().await.unwrap().burst, 5);
    first.update(quota("20/s", 7)).await.unwrap();
    let same = limiter(&server.config(), "10/s", 5, OnRedisFailure::Closed);
    assert_eq!(same.status().await.unwrap().burst, 7, "an update stays until the configuration changes");
    let edited = limiter(&server.config(), "30/s", 9, OnRedisFailure::Closed);
    assert_eq!(edited.status().await.unwrap().burst, 9);
    assert_eq!(
        first.status().await.unwrap().rate.to_string(),
        "30/s",
        "running processes use the new configuration too"
    );
}

#[tokio::test]
async fn update_survives_lost_data_and_a_restart() {
    let server = RedisServer::start();
    let first = limiter(&server.config(), "10/s", 5, OnRedisFailure::Closed);
    first.update(quota("20/s", 7)).await.unwrap();
    server.flush().await;
    let _ = first.check(1).await;
    let restarted = limiter(&server.config(), "10/s", 5, OnRedisFailure::Closed);
    assert_eq!(restarted.status().await.unwrap().burst, 7);
    let edited = limiter(&server.config(), "30/s", 9, OnRedisFailure::Closed);
    server.flush().await;
    assert_eq!(edited.status().await.unwrap().burst, 9, "an edit is active although the data was lost");
    assert_eq!(first.status().await.unwrap().burst, 9);
}

#[tokio::test]
async fn reset_of_lost_data_by_another_process_does_not_change_the_quota() {
    let server = RedisServer::start();
    let limit = LimitConfig::new(quota("77/s", 77)).with_on_redis_failure(OnRedisFailure::Closed);
    let redis = server.config().with_decide_within(Duration::from_secs(5));
    let used = limiter(&redis, "10/s", 10, OnRedisFailure::Closed);
    assert!(used.check(1).await.is_ok());
    server.flush().await;
    let other = Redis::open_read_only(&redis, Arc::new(SystemClock::new())).unwrap();
    shared_limiter(RedisLimit::new(other, "jd", limit)).reset().await.unwrap();
    assert_eq!(used.status().await.unwrap().burst, 10);
}

#[tokio::test]
async fn newest_configuration_is_active_whichever_process_uses_the_limit_first() {
    let server = RedisServer::start();
    let clock = Arc::new(ManualClock::default());
    let open = |burst| {
        clock.advance(Duration::from_secs(1));
        let limit = LimitConfig::new(quota("10/s", burst)).with_on_redis_failure(OnRedisFailure::Closed);
        let redis = open_redis(&server.config().with_decide_within(Duration::from_secs(5)));
        shared_limiter(RedisLimit::with_clock(redis, "jd", limit, Arc::clone(&clock) as _))
    };
    let (older, newer) = (open(100), open(20));
    clock.advance(Duration::from_secs(1));
    assert!(newer.check(1).await.is_ok());
    clock.advance(Duration::from_secs(1));
    // The first request of the other process announces its configuration, which is older.
    assert!(older.check(1).await.is_ok());
    for limiter in [&older, &newer] {
        assert_eq!(limiter.status().await.unwrap().burst, 20);
    }
    let edited = open(30);
    assert!(edited.check(1).await.is_ok());
    assert_eq!(older.status().await.unwrap().burst, 30);
}

#[tokio::test]
async fn read_only_process_creates_no_bucket_and_its_update_stays() {
    let server = RedisServer::start();
    let limit = LimitConfig::new(quota("10/s", 10)).with_on_redis_failure(OnRedisFailure::Closed);
    let redis = server.config().with_decide_within(Duration::from_secs(5));
    let clock = Arc::new(ManualClock::default());
    let open = |redis| RedisLimit::with_clock(redis, "jd", limit, Arc::clone(&clock) as _);
    let unused = open(open_redis(&redis));
    let reader = open(Redis::open_read_only(&redis, Arc::new(SystemClock::new())).unwrap());
    clock.advance(Duration::from_secs(1));
    assert_eq!(reader.status().await.unwrap().burst, 10);
    let bucket = format!("{}limit:{{jd}}", redis.prefix);
    assert_eq!(server.command(&["EXISTS", &bucket]).await, ":0\r\n", "a status creates no bucket");
    reader.configure(quota("5/s", 5), OnRedisFailure::Closed);
    reader.status().await.unwrap();
    assert_eq!(server.command(&["EXISTS", &bucket]).await, ":0\r\n", "an edit of its configuration is not sent");
    reader.update(quota("1/h", 1)).await.unwrap();
    assert_eq!(unused.status().await.unwrap().burst, 1, "the first request of a process does not undo an update");
    clock.advance(Duration::from_secs(1));
    let same = open(open_redis(&redis));
    assert_eq!(same.status().await.unwrap().burst, 1, "the same configuration is not an edit");
}

#[tokio::test]
async fn configuration_can_be_applied_from_a_plain_thread() {
    let server = RedisServer::start();
    let host = |text: &str| {
        let config = Config::parse(text).unwrap();
        config.with_redis(server.config())
    };
    let running = Host::builder().config(host("")).build().unwrap();
    let edited = host("[limits]\nmine = { rate = '1/h', burst = 3 }\njd = { rate = '2/h', burst = 4 }\n");
    // A plain thread, like the one that watches the configuration file.
    std::thread::scope(|threads| threads.spawn(|| running.apply_config(edited)).join().unwrap()).unwrap();
    assert_eq!(running.limiter("mine").unwrap().status().await.unwrap().burst, 3);
    let other = limiter(&server.config(), "2/h", 4, OnRedisFailure::Closed);
    assert_eq!(other.status().await.unwrap().rate.to_string(), "2/h");
    wait_until(|| async { running.limiter("jd").unwrap().status().await.unwrap().burst == 4 }).await;
}

#[tokio::test]
async fn call_with_a_lost_reply_is_counted_once() {
    let server = RedisServer::start();
    let proxy = Proxy::to(&server).await;
    let limiter = limiter(&proxy.config(&server), "1/h", 1_000, OnRedisFailure::Closed);
    assert!(limiter.check(1).await.is_ok());
    let mut allowed = 1;
    for round in 0..20 {
        proxy.drop_next_reply();
        let check = || {
            let limiter = limiter.clone();
            async move { limiter.check(1).await }
        };
        let decisions = run_concurrently(8, check).await;
        allowed += decisions.iter().filter(|decision| decision.is_ok()).count() as i64;
        // The connection works again before the next round.
        wait_until(|| async { limiter.status().await.is_ok() }).await;
        let available = limiter.status().await.unwrap().available;
        assert!(available <= 1_000 - allowed, "round {round}: {available} available after {allowed} allowed calls");
    }
    assert!(allowed > 20, "calls with a lost reply are sent again and allowed: {allowed}");
}

#[tokio::test]
async fn limits_follow_on_redis_failure_while_redis_is_unavailable() {
    let server = RedisServer::start();
    let [open, closed, local] = [OnRedisFailure::Open, OnRedisFailure::Closed, OnRedisFailure::Local]
        .map(|on_failure| limiter(&server.config(), "1000/s", 1_000, on_failure));
    for limiter in [&open, &closed, &local] {
        assert!(limiter.check(1).await.is_ok());
    }
    server.pause();
    for _ in 0..5 {
        assert!(open.check(1_000).await.is_ok());
        assert!(matches!(closed.check(1).await, Err(Refusal::Limited { .. })));
    }
    assert!(local.check(1_000).await.is_err(), "the local share starts empty");
    assert!(local.acquire(5, Duration::from_secs(5)).await.is_ok(), "the local share refills at its rate");
    assert_eq!(local.check(1_001).await, Err(Refusal::Never { max_cost: 1_000 }));
    assert!(local.update(quota("1/s", 1)).await.unwrap_err().is_unavailable());
    server.resume();
    // A caller that may wait also waits for Redis to recover, and Redis then decides.
    assert!(closed.acquire(1, Duration::from_secs(20)).await.is_ok());
    wait_until(|| async { local.status().await.is_ok() }).await;
}

#[tokio::test]
async fn lost_bucket_starts_empty_for_processes_that_have_used_it() {
    let server = RedisServer::start();
    let known = limiter(&server.config(), "1/h", 10, OnRedisFailure::Closed);
    assert!(known.check(10).await.is_ok());
    known.update(quota("2/h", 10)).await.unwrap();
    server.flush().await;
    assert!(matches!(known.check(1).await, Err(Refusal::Limited { .. })), "the spent tokens are not available again");
    assert_eq!(known.status().await.unwrap().rate.to_string(), "2/h", "the update at run time is restored");
    server.flush().await;
    let fresh = limiter(&server.config(), "1/h", 10, OnRedisFailure::Closed);
    assert!(fresh.check(10).await.is_ok(), "a process that never used the bucket starts with a full one");
}

/// Runs `count` futures concurrently and returns their results.
async fn run_concurrently<F: Future<Output: Send + 'static> + Send + 'static>(
    count: usize,
    make: impl Fn() -> F,
) -> Vec<F::Output> {
    let mut set = tokio::task::JoinSet::new();
    (0..count).for_each(|_| drop(set.spawn(make())));
    set.join_all().await
}

/// Waits until the condition is true, with a timeout that is long enough for a slow machine.
async fn wait_until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let polling = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), polling).await.expect("the condition becomes true within 20 seconds");
}
