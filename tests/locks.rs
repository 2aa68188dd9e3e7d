//! Locks in memory and in Redis. Most tests run with both stores.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate::{Config, Host, Lock, LockHolder};
use tidegate_core::config::RedisConfig;
use tidegate_core::store::LockRequest;

use crate::servers::{Proxy, RedisServer};

/// A wait and a TTL that no test reaches.
const LONG: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);

/// Creates the host of one process, with locks in memory or in Redis.
fn host(redis: Option<RedisConfig>) -> Host {
    let mut config = Config::default();
    config.redis = redis;
    Host::builder().config(config).build().unwrap()
}

fn lock(host: &Host, ttl: Duration) -> Lock {
    host.locks().lock("orders: {taobao} é").unwrap().with_ttl(ttl).unwrap()
}

/// Defines each test twice: with two handles to one host in memory, and with two hosts that share a Redis server.
macro_rules! in_both_stores {
    ($($name:ident($first:ident, $second:ident) $body:block)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let $first = host(None);
                let $second = $first.clone();
                $body
            })*
        }
        mod redis {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let server = RedisServer::start();
                let ($first, $second) = (host(Some(server.config())), host(Some(server.config())));
                $body
            })*
        }
    };
}

in_both_stores! {
    release_wakes_the_waiting_process(first, second) {
        let (mine, theirs) = (lock(&first, LONG), lock(&second, LONG));
        let lease = mine.acquire(LONG).await.unwrap();
        assert!(lease.is_held());
        assert!(theirs.try_acquire().await.unwrap_err().held().is_some());
        let waiting = tokio::spawn(async move { theirs.acquire(LONG).await.unwrap().fencing_token() });
        tokio::task::yield_now().await;
        let first_token = lease.fencing_token();
        assert!(lease.release().await.unwrap());
        // The wait ends long before the TTL, because the release wakes the waiter.
        let second_token = tokio::time::timeout(LONG / 2, waiting).await.unwrap().unwrap();
        assert!(second_token > first_token);
    }

    reentrant_lock_is_released_with_its_last_lease(first, second) {
        let (mine, theirs) = (lock(&first, LONG), lock(&second, LONG));
        let outer = mine.acquire(LONG).await.unwrap();
        let inner = mine.clone().try_acquire().await.unwrap();
        assert_eq!(inner.fencing_token(), outer.fencing_token());
        drop(outer);
        assert!(inner.is_held());
        assert!(theirs.try_acquire().await.unwrap_err().held().is_some());
        assert!(inner.release().await.unwrap());
        assert!(theirs.try_acquire().await.is_ok());
    }

    named_owner_holds_the_lock_in_every_process(first, second) {
        let mine = lock(&first, LONG).with_owner("shop 7").unwrap();
        let same = lock(&second, LONG).with_owner("shop 7").unwrap();
        let lease = mine.try_acquire().await.unwrap();
        let same_lease = same.try_acquire().await.unwrap();
        assert_eq!(lease.fencing_token(), same_lease.fencing_token());
        assert_eq!(first.locks().list().await.unwrap()[0].depth, 2);
        assert!(lease.release().await.unwrap());
        assert!(lock(&first, LONG).try_acquire().await.unwrap_err().held().is_some(), "one lease still holds the lock");
        assert!(same_lease.release().await.unwrap());
        assert!(first.locks().list().await.unwrap().is_empty());
    }

    dropped_lease_releases_the_lock_and_stops_its_extension(first, second) {
        let lease = lock(&first, 300 * MS).try_acquire().await.unwrap();
        drop(lease);
        let next = lock(&second, LONG).acquire(LONG).await.unwrap();
        // If the extension of the dropped lease continued, this lease would end early, or another owner would get the
        // lock.
        for _ in 0..8 {
            assert!(lock(&first, LONG).acquire(50 * MS).await.unwrap_err().held().is_some());
        }
        assert!(next.is_held() && next.release().await.unwrap());
    }

    aborted_waiters_do_not_block_the_lock(first, second) {
        let lease = lock(&first, LONG).try_acquire().await.unwrap();
        let waits: Vec<_> = (0..5).map(|_| {
            let theirs = lock(&second, LONG);
            tokio::spawn(async move { theirs.acquire(LONG).await.is_ok() })
        }).collect();
        tokio::task::yield_now().await;
        waits.iter().for_each(|wait| wait.abort());
        lease.release().await.unwrap();
        assert!(lock(&second, LONG).acquire(LONG / 2).await.is_ok());
    }

    lease_is_extended_beyond_its_ttl(first, second) {
        let lease = lock(&first, 200 * MS).try_acquire().await.unwrap();
        // Another owner waits for the lock for several times the TTL.
        assert!(lock(&second, 200 * MS).acquire(900 * MS).await.unwrap_err().held().is_some());
        assert!(lease.is_held());
    }

    only_one_of_fifty_contenders_holds_the_lock(first, second) {
        let (inside, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let last = Arc::new(AtomicU64::new(0));
        let mut contenders = tokio::task::JoinSet::new();
        for number in 0..50 {
            let mine = lock(if number % 2 == 0 { &first } else { &second }, LONG);
            let (inside, served, last) = (Arc::clone(&inside), Arc::clone(&served), Arc::clone(&last));
            contenders.spawn(async move {
                let lease = mine.acquire(LONG).await.expect("every contender gets the lock in time");
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two contenders hold the lock");
                assert!(last.swap(lease.fencing_token(), Ordering::SeqCst) < lease.fencing_token());
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                served.fetch_add(1, Ordering::SeqCst);
                lease.release().await.unwrap();
            });
        }
        contenders.join_all().await;
        assert_eq!(served.load(Ordering::SeqCst), 50);
    }

    forcibly_released_lease_reports_the_loss_and_leaves_the_next_lease_alone(first, second) {
        let lease = lock(&first, 300 * MS).try_acquire().await.unwrap();
        assert!(second.locks().force_release("orders: {taobao} é").await.unwrap());
        let next = lock(&second, LONG).try_acquire().await.unwrap();
        tokio::time::timeout(LONG, lease.lost()).await.unwrap();
        assert!(!lease.is_held());
        assert!(!lease.release().await.unwrap(), "the lease no longer holds the lock");
        assert!(next.is_held() && next.release().await.unwrap());
        assert!(!second.locks().force_release("orders: {taobao} é").await.unwrap());
    }

    external_owners_acquire_extend_and_release(first, second) {
        let request = |id| LockRequest::new("job", "python", id);
        let grant = first.locks().acquire_for(request("1"), LONG, Duration::ZERO).await.unwrap();
        let again = first.locks().acquire_for(request("1"), LONG, Duration::ZERO).await.unwrap();
        assert_eq!((grant.depth, again), (1, grant), "a repeated request counts once");
        let other_owner = LockRequest::new("job", "rust", "1");
        let error = second.locks().acquire_for(other_owner, LONG, MS).await.unwrap_err();
        assert!(error.held().unwrap().ttl > LONG / 2 && !error.is_unavailable());
        let token = grant.fencing_token;
        let holder = |owner, fencing_token| LockHolder::new("job", owner, fencing_token);
        for (owner, token, is_held) in [("python", token, true), ("python", token + 1, false), ("rust", token, false)] {
            assert_eq!(second.locks().extend_for(holder(owner, token), LONG).await.unwrap(), is_held);
        }
        let info = second.locks().list().await.unwrap().remove(0);
        assert_eq!((info.name.as_str(), info.owner.as_str()), ("job", "python"));
        assert_eq!((info.fencing_token, info.depth), (token, 1));
        assert!((1..=20_000).contains(&info.ttl_ms));
        assert_eq!(second.locks().release_for(holder("python", token), "2").await.unwrap(), Some(0));
        assert_eq!(second.locks().release_for(holder("python", token), "3").await.unwrap(), None);
    }
}

#[tokio::test]
async fn invalid_lock_arguments_are_rejected() {
    let locks = host(None).locks().clone();
    let long = "x".repeat(201);
    for name in ["", "a\nb", &long] {
        let error = locks.lock(name).err().unwrap();
        assert!(error.to_string().contains("1 to 200 bytes without control characters"), "{error}");
    }
    let request = |id| LockRequest::new("a", "b", id);
    for (id, ttl, expected) in [
        ("x y", LONG, "expected no whitespace"),
        ("", LONG, "invalid request id"),
        ("1", MS, "expected 100 ms to 1 day"),
    ] {
        let error = locks.acquire_for(request(id), ttl, LONG).await.unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains(expected), "{error}");
    }
    assert!(locks.lock("a").unwrap().with_ttl(99 * MS).is_err());
}

#[tokio::test]
async fn lost_reply_neither_increases_the_depth_nor_loses_the_lock() {
    let server = RedisServer::start();
    let proxy = Proxy::to(&server).await;
    let (first, second) = (host(Some(proxy.config(&server))), host(Some(server.config())));
    let mine = lock(&first, LONG);
    for _ in 0..10 {
        proxy.drop_next_reply();
        let lease = mine.acquire(LONG).await.unwrap();
        assert_eq!(second.locks().list().await.unwrap()[0].depth, 1);
        proxy.drop_next_reply();
        let _ = lease.release().await.unwrap();
        assert!(lock(&second, LONG).try_acquire().await.is_ok(), "the lock is released completely");
        // The lease above was dropped. Wait until it is released before the next round starts.
        assert!(lock(&second, LONG).acquire(LONG).await.is_ok());
    }
}

#[tokio::test]
async fn redis_pause_longer_than_the_ttl_loses_the_lease_and_a_shorter_one_does_not() {
    let server = RedisServer::start();
    let first = host(Some(server.config()));
    let (short, long) =
        (lock(&first, 500 * MS), first.locks().lock("second").unwrap().with_ttl(Duration::from_secs(30)).unwrap());
    let (short, long) = (short.try_acquire().await.unwrap(), long.try_acquire().await.unwrap());
    server.pause();
    // The first extension of the long lease is not due yet, so only the short lease is lost.
    tokio::time::timeout(LONG, short.lost()).await.unwrap();
    assert!(!short.is_held() && long.is_held());
    // Redis cannot have granted the short lock to another owner before the loss was reported: it executed no commands
    // during the pause, and by its own clock the TTL lasts as long.
    server.resume();
    assert!(long.is_held());
    assert!(long.release().await.unwrap());
}

/// A resource that rejects a write with a token older than the newest it has received.
#[derive(Default)]
struct FencedResource {
    newest: u64,
    accepted: Vec<(u64, String)>,
}

impl FencedResource {
    fn write(&mut self, token: u64, writer: &str) -> bool {
        let is_current = token >= self.newest;
        if is_current {
            self.newest = token;
            self.accepted.push((token, writer.to_owned()));
        }
        is_current
    }
}

/// A separate process that acquires the lock and prints its token. For each line of input, it prints whether it still
/// holds the lock.
struct HolderProcess {
    child: std::process::Child,
    stdout: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl HolderProcess {
    fn start(redis: &RedisConfig, ttl_ms: u64) -> Self {
        use std::io::BufRead;
        let mut child = Command::new(env!("CARGO_BIN_EXE_fleet-lock-holder"))
            .args([redis.url[0].expose(), &redis.prefix, &ttl_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout }
    }

    fn read_line(&mut self) -> String {
        self.stdout.next().unwrap().unwrap()
    }

    /// Returns `held` or `lost`.
    fn status(&mut self) -> String {
        use std::io::Write;
        writeln!(self.child.stdin.as_mut().unwrap(), "?").unwrap();
        self.read_line()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for HolderProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn fencing_token_rejects_writes_of_a_stopped_or_killed_holder() {
    let server = RedisServer::start();
    let redis = server.config();
    let mut resource = FencedResource::default();

    let mut stopped = HolderProcess::start(&redis, 500);
    let token: u64 = stopped.read_line().parse().unwrap();
    assert!(resource.write(token, "stopped"));
    assert_eq!(stopped.status(), "held");
    stopped.signal("-STOP");
    let mine = host(Some(redis.clone())).locks().lock("job").unwrap();
    let lease = mine.acquire(LONG).await.expect("the TTL of the stopped holder expires");
    assert!(resource.write(lease.fencing_token(), "next"));
    stopped.signal("-CONT");
    assert_eq!(stopped.status(), "lost", "the holder detects the loss when it continues");
    assert!(!resource.write(token, "stopped"), "the resource rejects the stale token");
    assert!(lease.is_held() && lease.release().await.unwrap());

    let mut killed = HolderProcess::start(&redis, 500);
    let token: u64 = killed.read_line().parse().unwrap();
    assert!(resource.write(token, "killed"));
    killed.signal("-KILL");
    let lease = mine.acquire(LONG).await.expect("the TTL of the killed holder expires");
    assert!(resource.write(lease.fencing_token(), "last"));
    assert!(resource.accepted.is_sorted_by_key(|(token, _)| *token));
    assert_eq!(resource.accepted.len(), 4);
}
