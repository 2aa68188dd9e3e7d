//! Locks in memory and in Redis: one table of facts for both.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate::core::config::RedisConfig;
use tidegate::core::store::Claim;
use tidegate::{Config, Host, Lock, LockError};

use crate::servers::{Proxy, Server};

const LONG: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);

/// The host of one process, in memory or in Redis.
fn host(redis: Option<RedisConfig>) -> Host {
    Host::builder().config(Config { redis, ..Config::default() }).build().unwrap()
}

fn lock(host: &Host, ttl: Duration) -> Lock {
    host.locks().lock("orders: {taobao} é").unwrap().ttl(ttl).unwrap()
}

/// Runs a story on both forms; in Redis each of the two processes has a way of its own.
macro_rules! both {
    ($($name:ident($one:ident, $other:ident) $story:block)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let $one = host(None);
                let $other = $one.clone();
                $story
            })*
        }
        mod redis {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let server = Server::single();
                let ($one, $other) = (host(Some(server.config())), host(Some(server.config())));
                $story
            })*
        }
    };
}

both! {
    one_holds_and_the_other_waits_until_it_is_given_back(one, other) {
        let (mine, theirs) = (lock(&one, LONG), lock(&other, LONG));
        let lease = mine.acquire(LONG).await.unwrap().unwrap();
        assert!(lease.is_held());
        assert!(theirs.try_acquire().await.unwrap().is_none());
        let waiting = tokio::spawn(async move { theirs.acquire(LONG).await.unwrap().map(|lease| lease.fencing_token()) });
        tokio::task::yield_now().await;
        let first = lease.fencing_token();
        assert!(lease.release().await.unwrap());
        // Far sooner than the ttl: it was woken.
        let second = tokio::time::timeout(LONG / 2, waiting).await.unwrap().unwrap().unwrap();
        assert!(second > first);
    }

    a_lock_is_reentrant_and_given_back_with_its_last_lease(one, other) {
        let (mine, theirs) = (lock(&one, LONG), lock(&other, LONG));
        let outer = mine.acquire(LONG).await.unwrap().unwrap();
        let inner = mine.clone().try_acquire().await.unwrap().unwrap();
        assert_eq!(inner.fencing_token(), outer.fencing_token());
        drop(outer);
        assert!(inner.is_held());
        assert!(theirs.try_acquire().await.unwrap().is_none());
        assert!(inner.release().await.unwrap());
        assert!(theirs.try_acquire().await.unwrap().is_some());
    }

    an_owner_by_name_holds_the_lock_in_any_process(one, other) {
        let mine = lock(&one, LONG).owner("shop 7").unwrap();
        let same = lock(&other, LONG).owner("shop 7").unwrap();
        let (first, second) = (mine.try_acquire().await.unwrap().unwrap(), same.try_acquire().await.unwrap().unwrap());
        assert_eq!(first.fencing_token(), second.fencing_token());
        assert_eq!(one.locks().list().await.unwrap()[0].depth, 2);
        assert!(first.release().await.unwrap());
        assert!(lock(&one, LONG).try_acquire().await.unwrap().is_none(), "it is held once still");
        assert!(second.release().await.unwrap());
        assert!(one.locks().list().await.unwrap().is_empty());
    }

    dropping_gives_back_and_ends_the_extension(one, other) {
        let lease = lock(&one, 300 * MS).try_acquire().await.unwrap().unwrap();
        drop(lease);
        let next = lock(&other, LONG).acquire(LONG).await.unwrap().unwrap();
        // An extension that outlived its lease would make this one end early, or give it to another.
        for _ in 0..8 {
            assert!(lock(&one, LONG).acquire(50 * MS).await.unwrap().is_none());
        }
        assert!(next.is_held() && next.release().await.unwrap());
    }

    a_waiter_that_is_dropped_leaves_no_trace(one, other) {
        let lease = lock(&one, LONG).try_acquire().await.unwrap().unwrap();
        let waits: Vec<_> = (0..5).map(|_| {
            let theirs = lock(&other, LONG);
            tokio::spawn(async move { theirs.acquire(LONG).await.unwrap().is_some() })
        }).collect();
        tokio::task::yield_now().await;
        waits.iter().for_each(|wait| wait.abort());
        lease.release().await.unwrap();
        assert!(lock(&other, LONG).acquire(LONG / 2).await.unwrap().is_some());
    }

    a_holder_that_works_longer_than_its_ttl_keeps_the_lock(one, other) {
        let lease = lock(&one, 200 * MS).try_acquire().await.unwrap().unwrap();
        // Several times the ttl, all the while asked for by another.
        assert!(lock(&other, 200 * MS).acquire(900 * MS).await.unwrap().is_none());
        assert!(lease.is_held());
    }

    fifty_contenders_are_never_two_at_once(one, other) {
        let (inside, served, last) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let mut contenders = tokio::task::JoinSet::new();
        for number in 0..50 {
            let mine = lock(if number % 2 == 0 { &one } else { &other }, LONG);
            let (inside, served, last) = (Arc::clone(&inside), Arc::clone(&served), Arc::clone(&last));
            contenders.spawn(async move {
                let lease = mine.acquire(LONG).await.unwrap().expect("all are served in time");
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
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

    who_loses_the_lock_is_told_and_takes_nothing_from_the_next(one, other) {
        let lease = lock(&one, 300 * MS).try_acquire().await.unwrap().unwrap();
        assert!(other.locks().evict("orders: {taobao} é").await.unwrap());
        let next = lock(&other, LONG).try_acquire().await.unwrap().unwrap();
        tokio::time::timeout(LONG, lease.lost()).await.unwrap();
        assert!(!lease.is_held());
        assert!(!lease.release().await.unwrap(), "it was no longer its own");
        assert!(next.is_held() && next.release().await.unwrap());
        assert!(!other.locks().evict("orders: {taobao} é").await.unwrap());
    }

    owners_elsewhere_extend_and_give_back_by_themselves(one, other) {
        let claim = |id| Claim { name: "job", owner: "python", id };
        let grant = one.locks().acquire_for(claim("1"), LONG, Duration::ZERO).await.unwrap().unwrap();
        let again = one.locks().acquire_for(claim("1"), LONG, Duration::ZERO).await.unwrap().unwrap();
        assert_eq!((grant.depth, again), (1, grant), "the same request counts once");
        let held = other.locks().acquire_for(Claim { name: "job", owner: "rust", id: "1" }, LONG, MS).await.unwrap();
        assert!(held.unwrap_err().ttl > LONG / 2);
        let token = grant.fencing_token;
        assert!(other.locks().extend_for("job", "python", token, LONG).await.unwrap());
        assert!(!other.locks().extend_for("job", "python", token + 1, LONG).await.unwrap());
        assert!(!other.locks().extend_for("job", "rust", token, LONG).await.unwrap());
        let info = other.locks().list().await.unwrap().remove(0);
        assert_eq!((info.name.as_str(), info.owner.as_str(), info.fencing_token, info.depth), ("job", "python", token, 1));
        assert!((1..=20_000).contains(&info.ttl_ms));
        assert_eq!(other.locks().release_for(claim("2"), token).await.unwrap(), Some(0));
        assert_eq!(other.locks().release_for(claim("3"), token).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_cannot_be_a_lock_is_refused() {
    let locks = host(None).locks().clone();
    let long = "x".repeat(201);
    for name in ["", "a\nb", &long] {
        let told = locks.lock(name).err().unwrap();
        assert!(told.to_string().contains("1 to 200 bytes without control characters"), "{told}");
    }
    let claim = |id| Claim { name: "a", owner: "b", id };
    for (id, ttl, expected) in
        [("x y", LONG, "without spaces"), ("", LONG, "id of a request"), ("1", MS, "from 100 ms to 1 day")]
    {
        let told = locks.acquire_for(claim(id), ttl, LONG).await.unwrap_err();
        assert!(matches!(&told, LockError::Invalid(why) if why.contains(expected)), "{told}");
    }
    assert!(locks.lock("a").unwrap().ttl(99 * MS).is_err());
}

#[tokio::test]
async fn a_reply_that_was_lost_neither_deepens_a_lock_nor_loses_it() {
    let server = Server::single();
    let proxy = Proxy::to(&server).await;
    let (one, other) = (host(Some(proxy.config(&server))), host(Some(server.config())));
    let mine = lock(&one, LONG);
    for _ in 0..10 {
        proxy.drop_next_reply();
        let lease = mine.acquire(LONG).await.unwrap().unwrap();
        assert_eq!(other.locks().list().await.unwrap()[0].depth, 1);
        proxy.drop_next_reply();
        let _ = lease.release().await.unwrap();
        assert!(lock(&other, LONG).try_acquire().await.unwrap().is_some(), "it was given back whole");
        // That lease was dropped; it is given back before the next round begins.
        assert!(lock(&other, LONG).acquire(LONG).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_pause_of_redis_shorter_than_the_ttl_loses_nothing_and_a_longer_one_is_told_in_time() {
    let server = Server::single();
    let one = host(Some(server.config()));
    let (short, long) =
        (lock(&one, 500 * MS), one.locks().lock("other").unwrap().ttl(Duration::from_secs(30)).unwrap());
    let (short, long) = (short.try_acquire().await.unwrap().unwrap(), long.try_acquire().await.unwrap().unwrap());
    server.stop();
    // The longer one's first extension is not due yet, so the shorter one alone is lost.
    tokio::time::timeout(LONG, short.lost()).await.unwrap();
    assert!(!short.is_held() && long.is_held());
    // Redis cannot have given it to anyone before it was lost: it stood still, and its own clock ran as long.
    server.cont();
    assert!(long.is_held());
    assert!(long.release().await.unwrap());
}

/// A resource that refuses whoever comes with an older token than it has seen.
#[derive(Default)]
struct Guarded {
    newest: u64,
    accepted: Vec<(u64, String)>,
}

impl Guarded {
    fn write(&mut self, token: u64, who: &str) -> bool {
        let fresh = token >= self.newest;
        if fresh {
            self.newest = token;
            self.accepted.push((token, who.to_owned()));
        }
        fresh
    }
}

/// A process of its own that takes the lock and prints its token, then, when told a line, whether it holds it still.
struct Holder {
    child: std::process::Child,
    out: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Holder {
    fn start(redis: &RedisConfig, ttl_ms: u64) -> Self {
        use std::io::BufRead;
        let mut child = Command::new(env!("CARGO_BIN_EXE_fleet-holder"))
            .args([redis.url[0].expose(), &redis.prefix, &ttl_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, out }
    }

    fn line(&mut self) -> String {
        self.out.next().unwrap().unwrap()
    }

    fn ask(&mut self) -> String {
        use std::io::Write;
        writeln!(self.child.stdin.as_mut().unwrap(), "?").unwrap();
        self.line()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn no_stale_write_is_accepted_from_a_holder_that_was_stopped_or_killed() {
    let server = Server::single();
    let redis = server.config();
    let mut guarded = Guarded::default();

    let mut stopped = Holder::start(&redis, 500);
    let token: u64 = stopped.line().parse().unwrap();
    assert!(guarded.write(token, "stopped"));
    assert_eq!(stopped.ask(), "held");
    stopped.signal("-STOP");
    let mine = host(Some(redis.clone())).locks().lock("job").unwrap();
    let lease = mine.acquire(LONG).await.unwrap().expect("the ttl of a stopped holder ends");
    assert!(guarded.write(lease.fencing_token(), "next"));
    stopped.signal("-CONT");
    assert_eq!(stopped.ask(), "lost", "it knows as soon as it runs again");
    assert!(!guarded.write(token, "stopped"), "and were it not to look, the resource refuses it");
    assert!(lease.is_held() && lease.release().await.unwrap());

    let mut killed = Holder::start(&redis, 500);
    let token: u64 = killed.line().parse().unwrap();
    assert!(guarded.write(token, "killed"));
    killed.signal("-KILL");
    let lease = mine.acquire(LONG).await.unwrap().expect("the ttl of a killed holder ends");
    assert!(guarded.write(lease.fencing_token(), "last"));
    assert!(guarded.accepted.is_sorted_by_key(|(token, _)| *token));
    assert_eq!(guarded.accepted.len(), 4);
}
