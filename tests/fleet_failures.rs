//! Processes under full load while Redis fails: no call exceeds the limit, and no stale lock holder is accepted.

use std::time::Duration;

use tidegate::internals::shared_limiter;
use tidegate::{Config, Host, Limiter, Quota};
use tidegate_core::config::{LimitConfig, RedisConfig};
use tidegate_core::store::OnRedisFailure;
use tidegate_redis::RedisLimit;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::servers::{Proxy, RedisServer, Sentinels, open_redis};

const RATE: u128 = 500;
const BURST: u128 = 20;

/// Returns a limiter with its own connections, which allows only calls that Redis allows.
fn limiter(redis: &RedisConfig) -> Limiter {
    let quota = Quota::new(format!("{RATE}/s").parse().unwrap(), BURST as u64).unwrap();
    let limit = LimitConfig::new(quota).with_on_redis_failure(OnRedisFailure::Closed);
    shared_limiter(RedisLimit::new(open_redis(redis), "jd", limit))
}

/// Acquires repeatedly until `duration` is over. Returns the request and reply times of the allowed calls, in µs since
/// `started_at`.
async fn run_caller(limiter: Limiter, started_at: Instant, duration: Duration) -> Vec<(u128, u128)> {
    let mut calls = Vec::new();
    while started_at.elapsed() < duration {
        let requested_at = started_at.elapsed().as_micros();
        if limiter.acquire(1, Duration::from_millis(200)).await.is_ok() {
            calls.push((requested_at, started_at.elapsed().as_micros()));
        } else {
            tokio::task::yield_now().await;
        }
    }
    calls
}

/// Causes all kinds of failures in which Redis keeps its data, until `duration` is over.
async fn cause_failures(server: &RedisServer, proxy: &Proxy, started_at: Instant, duration: Duration) {
    let pause = || sleep(Duration::from_millis(60));
    while started_at.elapsed() < duration {
        server.command_ok(&["SCRIPT", "FLUSH"]).await;
        pause().await;
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        pause().await;
        proxy.drop_next_reply();
        pause().await;
        proxy.close_connections();
        pause().await;
        server.pause();
        pause().await;
        server.resume();
        pause().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_under_load_is_not_exceeded_during_redis_failures() {
    let server = RedisServer::start();
    let proxy = Proxy::to(&server).await;
    let (started_at, duration) = (Instant::now(), Duration::from_secs(4));
    let mut callers = JoinSet::new();
    for process in 0..6 {
        // Half of the processes connect through a proxy, which causes further failures.
        let limiter = limiter(&if process % 2 == 0 { proxy.config(&server) } else { server.config() });
        (0..4).for_each(|_| drop(callers.spawn(run_caller(limiter.clone(), started_at, duration))));
    }
    cause_failures(&server, &proxy, started_at, duration).await;
    let mut calls = callers.join_all().await.concat();
    calls.sort_unstable();
    for (start, _) in calls.iter().step_by(11) {
        let mut ends: Vec<u128> =
            calls.iter().filter(|(requested_at, _)| requested_at >= start).map(|(_, end)| *end).collect();
        ends.sort_unstable();
        for (count, end) in (1u128..).zip(&ends) {
            let permitted = BURST * 1_000_000 + RATE * (end - start);
            assert!(count * 1_000_000 <= permitted, "{count} calls in {} µs", end - start);
        }
    }
    // Connections fail several times a second, so many calls are lost. At least a quarter of the limit is still used.
    let maximum = BURST + RATE * duration.as_micros() / 1_000_000;
    assert!(calls.len() as u128 * 4 >= maximum, "{} of {maximum}", calls.len());
}

/// A resource that rejects fencing tokens older than the newest token that it has accepted.
#[derive(Default)]
struct FencedResource(u64);

impl FencedResource {
    fn accepts(&mut self, token: u64) -> bool {
        let fresh = token >= self.0;
        self.0 = self.0.max(token);
        fresh
    }
}

#[tokio::test]
async fn stale_lock_holder_is_rejected_after_a_failover() {
    let mut sentinels = Sentinels::start().await;
    let config = sentinels.config();
    let host = || Host::builder().config(Config::default().with_redis(config.clone())).build().unwrap();
    let (first, second) = (host(), host());
    let lock = |host: &Host| host.locks().lock("job").unwrap().with_ttl(Duration::from_secs(2)).unwrap();
    let mut resource = FencedResource::default();

    let timeout = Duration::from_secs(60);
    let mut old_lease = lock(&first).acquire(timeout).await.unwrap();
    assert!(resource.accepts(old_lease.fencing_token()));
    // The new master knows neither the lock nor its last token, as if its replication had stopped earlier.
    let [master, replica] = &mut sentinels.servers;
    replica.command_ok(&["CONFIG", "SET", "replica-read-only", "no"]).await;
    replica.command_ok(&["FLUSHALL"]).await;
    master.kill();
    let acquired = async {
        loop {
            // The store returns errors until the replica becomes the master.
            if let Ok(lease) = lock(&second).acquire(timeout).await {
                return lease;
            }
        }
    };
    let new_lease = tokio::time::timeout(timeout, acquired).await.expect("the replica takes over");
    assert!(resource.accepts(new_lease.fencing_token()));
    assert!(
        !resource.accepts(old_lease.fencing_token()),
        "{} after {}",
        old_lease.fencing_token(),
        new_lease.fencing_token()
    );
    // The old holder notices the loss when it extends its lease, or when the lease expires.
    tokio::time::timeout(timeout, old_lease.lost()).await.unwrap();
    assert!(!old_lease.is_held() && new_lease.is_held());

    drop(new_lease);
    old_lease = lock(&first).acquire(timeout).await.unwrap();
    assert!(resource.accepts(old_lease.fencing_token()), "the current holder is accepted");
}
