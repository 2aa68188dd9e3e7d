//! How leases keep time and what is asked of a store in trouble, on a clock that stands still unless it is waited for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_core::Timestamp;
use tidegate_core::store::{Answer, Signal};
use tokio::time::{sleep, timeout};

use super::*;
use crate::SystemClock;

const TTL: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

/// What is wrong with the way to a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    /// Nothing arrives, and it is told at once.
    Away,
    /// Nothing arrives, and nothing is told.
    Hangs,
    /// It is done, and its reply is lost.
    Unanswered,
}

/// Locks in memory behind a way that may be in trouble.
struct Far {
    near: MemoryLocks,
    trouble: Mutex<Trouble>,
    acquired: AtomicUsize,
    extended: AtomicUsize,
    releases: Mutex<BTreeSet<String>>,
}

impl Far {
    fn is(&self, trouble: Trouble) {
        *self.trouble.lock() = trouble;
    }

    async fn by<T>(&self, answer: Answer<'_, T>) -> Result<T, StoreError> {
        let trouble = *self.trouble.lock();
        match trouble {
            Trouble::None => answer.await,
            Trouble::Away => Err(StoreError::away("away")),
            Trouble::Hangs => std::future::pending().await,
            Trouble::Unanswered => answer.await.and(Err(StoreError::away("the reply was lost"))),
        }
    }

    /// Who holds the lock, whatever the trouble.
    async fn truth(&self) -> Option<LockInfo> {
        self.near.holder("job").await.unwrap()
    }
}

/// Nothing happens before it is asked for: what memory answers at once would be done even where nothing arrives.
macro_rules! by {
    ($self:ident, $answer:expr) => {
        Box::pin(async move { $self.by(Box::pin(async move { $answer.await })).await })
    };
}

impl LockStore for Far {
    fn acquire<'a>(&'a self, claim: Claim<'a>, ttl: Duration) -> Answer<'a, Result<Grant, Held>> {
        self.acquired.fetch_add(1, Ordering::Relaxed);
        by!(self, self.near.acquire(claim, ttl))
    }

    fn extend<'a>(&'a self, name: &'a str, owner: &'a str, token: u64, ttl: Duration) -> Answer<'a, bool> {
        self.extended.fetch_add(1, Ordering::Relaxed);
        by!(self, self.near.extend(name, owner, token, ttl))
    }

    fn release<'a>(&'a self, claim: Claim<'a>, token: u64) -> Answer<'a, Option<u32>> {
        self.releases.lock().insert(claim.id.to_owned());
        by!(self, self.near.release(claim, token))
    }

    fn evict<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        by!(self, self.near.evict(name))
    }

    fn holder<'a>(&'a self, name: &'a str) -> Answer<'a, Option<LockInfo>> {
        by!(self, self.near.holder(name))
    }

    fn list(&self) -> Answer<'_, Vec<LockInfo>> {
        by!(self, self.near.list())
    }

    fn released(&self, name: &str) -> Box<dyn Signal> {
        self.near.released(name)
    }
}

fn far() -> (Arc<Far>, Locks) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let store = Arc::new(Far {
        near: MemoryLocks::new(Arc::clone(&clock)),
        trouble: Mutex::default(),
        acquired: AtomicUsize::default(),
        extended: AtomicUsize::default(),
        releases: Mutex::default(),
    });
    (Arc::clone(&store), Locks::new(store, clock))
}

fn job(locks: &Locks) -> Lock {
    locks.lock("job").unwrap().ttl(TTL).unwrap()
}

async fn held(lock: &Lock) -> Lease {
    lock.try_acquire().await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_while_nobody_else_can_have_the_lock() {
    for trouble in [Trouble::Away, Trouble::Hangs] {
        for ttl in [100 * MS, 1_500 * MS, TTL] {
            let (store, locks) = far();
            let lease = held(&job(&locks).ttl(ttl).unwrap()).await;
            store.is(trouble);
            let since = Instant::now();
            lease.lost().await;
            assert!(!lease.is_held());
            assert!(since.elapsed() >= ttl * 98 / 100 && since.elapsed() < ttl, "{trouble:?} {:?}", since.elapsed());
            assert!(store.truth().await.is_some(), "{trouble:?} {ttl:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_shorter_than_the_ttl_loses_nothing() {
    for trouble in [Trouble::Away, Trouble::Unanswered] {
        let (store, locks) = far();
        let lease = held(&job(&locks)).await;
        for _ in 0..5 {
            store.is(trouble);
            // The last extension was a third of the ttl ago at most.
            assert!(timeout(TTL * 6 / 10, lease.lost()).await.is_err(), "{trouble:?}");
            store.is(Trouble::None);
            assert!(timeout(TTL, lease.lost()).await.is_err(), "{trouble:?}");
            assert!(lease.is_held());
        }
        assert_eq!(store.truth().await.unwrap().fencing_token, lease.fencing_token());
    }
}

/// A clock that goes on while no task runs, as it does for a process that is stopped.
#[derive(Default)]
struct Hand(std::sync::atomic::AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / 1_000
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_sees_the_loss_before_any_task_of_its_has_run() {
    let hand = Arc::new(Hand::default());
    let locks = Locks::new(Arc::new(MemoryLocks::new(hand.clone())), hand.clone());
    let lease = held(&job(&locks)).await;
    hand.0.store(29_699_999, Ordering::Relaxed);
    assert!(lease.is_held());
    hand.0.store(29_700_000, Ordering::Relaxed);
    assert!(!lease.is_held());
}

#[tokio::test(start_paused = true)]
async fn the_extension_comes_at_each_third_of_the_ttl_and_ends_with_the_last_lease() {
    let (store, locks) = far();
    for round in 0..3 {
        store.extended.store(0, Ordering::Relaxed);
        let (lock, lost) = (job(&locks), round == 2);
        let (first, second) = (held(&lock).await, held(&lock).await);
        drop(first);
        sleep(TTL * 10 + MS).await;
        assert_eq!(store.extended.load(Ordering::Relaxed), 30);
        match round {
            0 => assert!(second.release().await.unwrap()),
            1 => drop(second),
            _ => {
                assert!(locks.evict("job").await.unwrap());
                second.lost().await;
            }
        }
        sleep(TTL * 10).await;
        assert_eq!(store.extended.load(Ordering::Relaxed), 30 + usize::from(lost));
        assert_eq!(store.truth().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_counts_once_when_it_is_made_again() {
    let (store, locks) = far();
    let lock = job(&locks);
    store.is(Trouble::Unanswered);
    assert!(lock.try_acquire().await.is_err());
    assert_eq!(store.truth().await.unwrap().depth, 1);
    store.is(Trouble::None);
    let lease = held(&lock).await;
    assert_eq!(store.truth().await.unwrap().depth, 1);
    assert!(lease.release().await.unwrap());
    assert_eq!(store.truth().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_given_back_though_nobody_waits_for_it_or_the_store_was_away() {
    let (store, locks) = far();
    let lock = job(&locks);
    // The future of the release ends before the store has answered.
    let lease = held(&lock).await;
    assert!(timeout(Duration::ZERO, lease.release()).await.is_err());
    sleep(MS).await;
    assert_eq!(store.truth().await, None);

    let lease = held(&lock).await;
    store.is(Trouble::Away);
    assert!(lease.release().await.is_err());
    sleep(TTL / 3).await;
    store.is(Trouble::None);
    sleep(TTL / 10).await;
    assert_eq!(store.truth().await, None, "long before its ttl");

    // One whose replies are lost gives it back once: the grant that came after it stays.
    let (outer, inner) = (held(&lock.clone().owner("shop").unwrap()).await, held(&lock.owner("shop").unwrap()).await);
    store.releases.lock().clear();
    store.is(Trouble::Unanswered);
    drop(inner);
    sleep(TTL / 2).await;
    assert_eq!((store.truth().await.unwrap().depth, store.releases.lock().len()), (1, 1));
    store.is(Trouble::None);
    assert!(outer.release().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn who_waits_asks_when_it_is_woken_and_when_the_time_is_over_that_it_was_told() {
    let (store, locks) = far();
    let lease = held(&job(&locks)).await;
    let waits: Vec<_> = (0..20)
        .map(|_| {
            let lock = job(&locks);
            tokio::spawn(async move { lock.acquire(Duration::MAX).await.unwrap().unwrap() })
        })
        .collect();
    sleep(TTL * 10).await;
    let asked = store.acquired.load(Ordering::Relaxed) - 1;
    // The first in the line alone, and no more often than the extended ttl told it: two thirds of the ttl at least.
    assert!((10..=16).contains(&asked), "{asked}");
    let since = Instant::now();
    lease.release().await.unwrap();
    let mut last = 0;
    for wait in waits {
        // In the order in which they came.
        let lease = wait.await.unwrap();
        assert!(lease.fencing_token() > last);
        last = lease.fencing_token();
        lease.release().await.unwrap();
    }
    assert_eq!(since.elapsed(), Duration::ZERO, "woken, and not at the end of a ttl");
    assert!(locks.0.lines.lock().values().all(|line| line.strong_count() == 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_dropped_holds_up_nobody_wherever_it_stands() {
    for gone in [0, 1, 2] {
        let (store, locks) = far();
        let lease = held(&job(&locks)).await;
        let mut waits: Vec<_> = (0..3)
            .map(|_| {
                let lock = job(&locks);
                tokio::spawn(async move { lock.acquire(TTL).await.unwrap().unwrap().release().await.unwrap() })
            })
            .collect();
        sleep(MS).await;
        waits.remove(gone).abort();
        let since = Instant::now();
        lease.release().await.unwrap();
        for wait in waits {
            assert!(wait.await.unwrap());
        }
        assert_eq!(since.elapsed(), Duration::ZERO);
        assert_eq!(store.truth().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_does_not_wait_behind_those_who_wait_for_it() {
    let (_, locks) = far();
    let named = || job(&locks).owner("shop").unwrap();
    let outer = held(&named()).await;
    let theirs = job(&locks);
    let waiting = tokio::spawn(async move { theirs.acquire(TTL).await.unwrap().is_some() });
    sleep(MS).await;
    let since = Instant::now();
    let inner = named().acquire(TTL).await.unwrap().unwrap();
    assert_eq!((since.elapsed(), inner.fencing_token()), (Duration::ZERO, outer.fencing_token()));
    drop((outer, inner));
    assert!(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_shorter_ttl_of_the_same_owner_does_not_end_the_longer_one() {
    let (store, locks) = far();
    let named = |ttl| job(&locks).owner("shop").unwrap().ttl(ttl).unwrap();
    let long = held(&named(TTL)).await;
    let short = held(&named(TTL / 100)).await;
    sleep(TTL / 200).await;
    assert!(short.release().await.unwrap());
    // The longer one is extended at a third; until then the shorter one would have ended it.
    sleep(TTL / 4).await;
    assert!(long.is_held() && store.truth().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_nested_lease_of_a_lost_lock_says_so_when_it_is_released() {
    let (_, locks) = far();
    let lock = job(&locks);
    let (outer, inner) = (held(&lock).await, held(&lock).await);
    assert!(locks.evict("job").await.unwrap());
    inner.lost().await;
    let next = held(&job(&locks)).await;
    assert!(!inner.release().await.unwrap() && !outer.release().await.unwrap());
    assert!(next.is_held() && next.release().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn owners_elsewhere_that_never_come_back_are_forgotten() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let store = MemoryLocks::new(clock);
    for number in 0..20_000 {
        let name = number.to_string();
        let claim = Claim { name: &name, owner: "elsewhere", id: "1" };
        store.acquire(claim, 1_000 * MS).await.unwrap().unwrap();
        sleep(MS).await;
    }
    assert_eq!(store.list().await.unwrap().len(), 999);
    assert!(store.remembered() <= 4_000, "{}", store.remembered());
}
