//! One limit for many processes, in good times and in bad.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tidegate::core::config::{LimitConfig, RedisConfig};
use tidegate::core::store::OnFailure;
use tidegate::redis::{Redis, RedisLimit};
use tidegate::{Config, Decision, Host, Limiter, Quota, Rate, SystemClock};

use crate::servers::{Proxy, Server};

fn quota(rate: &str, burst: u64) -> Quota {
    Quota::new(Rate::parse(rate).unwrap(), burst).unwrap()
}

/// A limiter of a process of its own, as far as Redis can tell.
fn limiter(redis: &RedisConfig, rate: &str, burst: u64, on_redis_failure: OnFailure) -> Limiter {
    let limit = LimitConfig { quota: quota(rate, burst), on_redis_failure };
    // A slow machine is not one whose Redis is away.
    let decide_within = redis.decide_within.max(Duration::from_secs(1));
    let redis = Redis::open(&RedisConfig { decide_within, ..redis.clone() }).unwrap();
    Limiter::shared(Arc::new(RedisLimit::new(redis, "jd", limit, Arc::new(SystemClock::start()))))
}

/// The bound from both sides. A call let go between asking and being answered counts in every window that holds both.
fn assert_exact(mut calls: Vec<(u128, u128)>, rate_per_s: u128, burst: u128) {
    calls.sort_unstable();
    let ends = |from: u128| calls.iter().filter(move |(asked, _)| *asked >= from).map(|(_, answered)| *answered);
    for (start, _) in calls.iter().step_by(7) {
        let mut within: Vec<u128> = ends(*start).collect();
        within.sort_unstable();
        for (count, end) in within.iter().enumerate() {
            let granted = burst * 1_000_000 + rate_per_s * (end - start);
            assert!((count as u128 + 1) * 1_000_000 <= granted, "{} calls in {} µs", count + 1, end - start);
        }
    }
}

/// Starts so many workers and gathers what they were let go for.
fn fleet(redis: &RedisConfig, workers: usize, milliseconds: u64) -> Vec<Vec<(u128, u128)>> {
    let start = |_| {
        Command::new(env!("CARGO_BIN_EXE_fleet-worker"))
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
fn eight_processes_share_one_limit_exactly() {
    let server = Server::single();
    let redis = server.config();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A limit that a process sets is the limit of those that start later.
    let config = Config { redis: Some(redis.clone()), ..Config::default() };
    runtime.block_on(async {
        let host = Host::builder().config(config).build().unwrap();
        let limiter = host.limiter("taobao").unwrap();
        limiter.update(quota("400/s", 20)).await.unwrap();
    });
    let calls = fleet(&redis, 8, 4_000);
    assert!(calls.iter().all(|calls| !calls.is_empty()), "everyone gets something");
    let all = calls.concat();
    // All are there from the last one's first call to the first one's last.
    let from = calls.iter().map(|calls| calls.iter().map(|(_, answered)| *answered).min().unwrap()).max().unwrap();
    let to = calls.iter().map(|calls| calls.iter().map(|(_, answered)| *answered).max().unwrap()).min().unwrap();
    let within = all.iter().filter(|(_, answered)| (from..=to).contains(answered)).count() as u128;
    assert!(within * 1_000_000 * 100 >= 400 * (to - from) * 98, "{within} calls in {} µs", to - from);
    assert_exact(all, 400, 20);
}

#[tokio::test]
async fn an_update_by_one_is_obeyed_by_all_at_their_next_check() {
    let server = Server::single();
    let fleet: Vec<_> = (0..5).map(|_| limiter(&server.config(), "1000/s", 50, OnFailure::Closed)).collect();
    for one in &fleet {
        assert!(one.check(1).await.is_allowed());
    }
    fleet[0].update(quota("1/h", 3)).await.unwrap();
    for one in &fleet {
        assert_eq!(one.check(4).await, Decision::Never { max: 3 });
        assert_eq!(one.quota(), quota("1/h", 3));
    }
    let allowed = [fleet[1].check(2).await, fleet[2].check(1).await, fleet[3].check(1).await].map(|d| d.is_allowed());
    assert_eq!(allowed, [true, true, false], "the level is kept, and cut to the burst");
}

#[tokio::test]
async fn an_update_wakes_those_who_wait_in_other_processes() {
    let server = Server::single();
    let [one, other] = [1, 2].map(|_| limiter(&server.config(), "1/m", 1, OnFailure::Closed));
    assert!(one.check(1).await.is_allowed());
    let refused = one.acquire(1, Duration::from_secs(20)).await;
    assert!(matches!(refused, Decision::Limited { .. }), "a minute is beyond the timeout: {refused:?}");
    one.update(quota("1/29s", 1)).await.unwrap();
    let waiting = tokio::spawn(async move { one.acquire(1, Duration::from_secs(30)).await });
    // It stands in line as soon as the level is below zero.
    until(|| async { other.status().await.unwrap().available < 0 }).await;
    other.update(quota("1000/s", 1)).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("woken long before 29 s");
    assert!(woken.unwrap().is_allowed());
}

#[tokio::test]
async fn who_leaves_lets_those_in_other_processes_move_up() {
    let server = Server::single();
    let [one, other] = [1, 2].map(|_| limiter(&server.config(), "1/14s", 1, OnFailure::Closed));
    assert!(one.check(1).await.is_allowed());
    let first = tokio::spawn({
        let one = one.clone();
        async move { one.acquire(1, Duration::from_secs(30)).await }
    });
    until(|| async { other.status().await.unwrap().available < 0 }).await;
    assert!(matches!(other.check(0).await, Decision::Limited { .. }), "somebody stands in line");
    first.abort();
    until(|| async { other.status().await.unwrap().available == 0 }).await;
}

#[tokio::test]
async fn who_goes_away_before_the_answer_comes_takes_nothing() {
    let server = Server::single();
    // Whatever a slow machine needs: what was asked too long ago to be answered is lost, never minted.
    let patient = RedisConfig { decide_within: Duration::from_secs(10), ..server.config() };
    let limiter = limiter(&patient, "1/h", 10, OnFailure::Closed);
    assert_eq!(limiter.status().await.unwrap().available, 10);
    server.stop();
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.check(1).await })
        })
        .collect();
    // They are in the air, and nobody waits for them any more.
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    for one in asking {
        assert!(one.await.unwrap_err().is_cancelled());
    }
    server.cont();
    until(|| async { limiter.status().await.is_ok_and(|status| status.available == 10) }).await;
}

#[tokio::test]
async fn a_configuration_is_news_once_and_an_update_survives_who_starts_with_the_same() {
    let server = Server::single();
    let first = limiter(&server.config(), "10/s", 5, OnFailure::Closed);
    assert_eq!(first.status().await.unwrap().burst, 5);
    first.update(quota("20/s", 7)).await.unwrap();
    let same = limiter(&server.config(), "10/s", 5, OnFailure::Closed);
    assert_eq!(same.status().await.unwrap().burst, 7, "an update stays until the configuration changes");
    let edited = limiter(&server.config(), "30/s", 9, OnFailure::Closed);
    assert_eq!(edited.status().await.unwrap().burst, 9);
    assert_eq!(first.status().await.unwrap().rate, "30/s", "whoever runs already obeys it too");
}

#[tokio::test]
async fn platforms_come_with_an_edit_from_a_thread_of_its_own() {
    let server = Server::single();
    let host = |text: &str| {
        let config = Config::parse(text, &tidegate::core::config::SystemEnv::default()).unwrap();
        Config { redis: Some(server.config()), ..config }
    };
    let running = Host::builder().config(host("")).build().unwrap();
    let edited = host("[limits]\nmine = { rate = '1/h', burst = 3 }\njd = { rate = '2/h', burst = 4 }\n");
    // Edits are followed by plain threads.
    std::thread::scope(|threads| threads.spawn(|| running.apply(edited)).join().unwrap()).unwrap();
    assert_eq!(running.limiter("mine").unwrap().status().await.unwrap().burst, 3);
    let other = limiter(&server.config(), "2/h", 4, OnFailure::Closed);
    assert_eq!(other.status().await.unwrap().rate, "2/h");
    until(|| async { running.limiter("jd").unwrap().status().await.unwrap().burst == 4 }).await;
}

#[tokio::test]
async fn a_reply_that_was_lost_counts_once() {
    let server = Server::single();
    let proxy = Proxy::to(&server).await;
    let limiter = limiter(&proxy.config(&server), "1/h", 1_000, OnFailure::Closed);
    assert!(limiter.check(1).await.is_allowed());
    let mut allowed = 1;
    for round in 0..20 {
        proxy.drop_next_reply();
        let check = || {
            let limiter = limiter.clone();
            async move { limiter.check(1).await }
        };
        let decisions = futures(8, check).await;
        allowed += decisions.iter().filter(|decision| decision.is_allowed()).count() as i64;
        // The way is open again before the next round.
        until(|| async { limiter.status().await.is_ok() }).await;
        let left = limiter.status().await.unwrap().available;
        assert!(left <= 1_000 - allowed, "round {round}: {left} left after {allowed}, so something was given twice");
    }
    assert!(allowed > 20, "sent again, they are allowed: {allowed}");
}

#[tokio::test]
async fn while_redis_is_away_each_limit_does_as_it_was_told() {
    let server = Server::single();
    let [open, closed, local] = [OnFailure::Open, OnFailure::Closed, OnFailure::Local]
        .map(|on_failure| limiter(&server.config(), "1000/s", 1_000, on_failure));
    for one in [&open, &closed, &local] {
        assert!(one.check(1).await.is_allowed());
    }
    server.stop();
    for _ in 0..5 {
        assert!(open.check(1_000).await.is_allowed());
        assert!(matches!(closed.check(1).await, Decision::Limited { .. }));
    }
    assert!(!local.check(1_000).await.is_allowed(), "a share begins empty");
    assert!(local.acquire(5, Duration::from_secs(5)).await.is_allowed(), "and fills at the share's rate");
    assert_eq!(local.check(1_001).await, Decision::Never { max: 1_000 });
    assert!(local.update(quota("1/s", 1)).await.unwrap_err().is_away());
    server.cont();
    // Whoever may wait for a slot waits for Redis, and is served by it.
    assert!(closed.acquire(1, Duration::from_secs(20)).await.is_allowed());
    until(|| async { local.status().await.is_ok() }).await;
}

#[tokio::test]
async fn a_bucket_that_was_lost_begins_empty_for_those_who_knew_it() {
    let server = Server::single();
    let known = limiter(&server.config(), "1/h", 10, OnFailure::Closed);
    assert!(known.check(10).await.is_allowed());
    known.update(quota("2/h", 10)).await.unwrap();
    server.flush().await;
    assert!(matches!(known.check(1).await, Decision::Limited { .. }), "it was spent, and is not minted anew");
    assert_eq!(known.status().await.unwrap().rate, "2/h", "what was set at run time is set again");
    server.flush().await;
    let fresh = limiter(&server.config(), "1/h", 10, OnFailure::Closed);
    assert!(fresh.check(10).await.is_allowed(), "who never saw it finds a full one");
}

/// So many of one future at once.
async fn futures<F: Future<Output: Send + 'static> + Send + 'static>(
    count: usize,
    make: impl Fn() -> F,
) -> Vec<F::Output> {
    let mut set = tokio::task::JoinSet::new();
    (0..count).for_each(|_| drop(set.spawn(make())));
    set.join_all().await
}

/// Waits for what must come about, for as long as a slow machine may take.
async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let looked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looked).await.expect("it never came about");
}
