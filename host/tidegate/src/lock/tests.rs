//! Timing of leases, and their requests to a store that fails; with paused time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tidegate_core::ManualClock;
use tidegate_core::store::{Signal, StoreFuture};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::SystemClock;

const TTL: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

/// A failure of the connection to a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ConnectionFailure {
    #[default]
    None,
    /// Requests fail at once and are not executed.
    Unavailable,
    /// Requests are not executed and get no reply.
    Hanging,
    /// Requests are executed, and their replies are lost.
    LostReplies,
}

/// Locks in memory behind a connection that can fail.
struct FaultyStore {
    inner: MemoryLocks,
    failure: Mutex<ConnectionFailure>,
    acquire_requests: AtomicUsize,
    extend_requests: AtomicUsize,
    release_ids: Mutex<BTreeSet<String>>,
}

impl FaultyStore {
    fn fail_with(&self, failure: ConnectionFailure) {
        *self.failure.lock() = failure;
    }

    async fn send<T>(&self, request: StoreFuture<'_, T>) -> Result<T, StoreError> {
        let failure = *self.failure.lock();
        match failure {
            ConnectionFailure::None => request.await,
            ConnectionFailure::Unavailable => Err(StoreError::unavailable("unavailable")),
            ConnectionFailure::Hanging => std::future::pending().await,
            ConnectionFailure::LostReplies => request.await.and(Err(StoreError::unavailable("the reply was lost"))),
        }
    }

    /// Returns the holder of the lock, regardless of the connection.
    async fn actual_holder(&self) -> Option<LockInfo> {
        self.inner.holder("job").await.unwrap()
    }
}

/// Delays the call until the future is polled: the memory store executes a request when it is called, even if the
/// connection then fails.
macro_rules! send {
    ($self:ident, $request:expr) => {
        Box::pin(async move { $self.send(Box::pin(async move { $request.await })).await })
    };
}

impl LockStore for FaultyStore {
    fn acquire<'a>(&'a self, request: LockRequest<'a>, ttl: Duration) -> StoreFuture<'a, LockReply> {
        self.acquire_requests.fetch_add(1, Ordering::Relaxed);
        send!(self, self.inner.acquire(request, ttl))
    }

    fn extend<'a>(&'a self, name: &'a str, owner: &'a str, token: u64, ttl: Duration) -> StoreFuture<'a, bool> {
        self.extend_requests.fetch_add(1, Ordering::Relaxed);
        send!(self, self.inner.extend(name, owner, token, ttl))
    }

    fn release<'a>(&'a self, request: LockRequest<'a>, token: u64) -> StoreFuture<'a, Option<u32>> {
        self.release_ids.lock().insert(request.id.to_owned());
        send!(self, self.inner.release(request, token))
    }

    fn force_release<'a>(&'a self, name: &'a str) -> StoreFuture<'a, bool> {
        send!(self, self.inner.force_release(name))
    }

    fn holder<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<LockInfo>> {
        send!(self, self.inner.holder(name))
    }

    fn list(&self) -> StoreFuture<'_, Vec<LockInfo>> {
        send!(self, self.inner.list())
    }

    fn released(&self, name: &str) -> Box<dyn Signal> {
        self.inner.released(name)
    }
}

fn faulty_store() -> (Arc<FaultyStore>, Locks) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Arc::new(FaultyStore {
        inner: MemoryLocks::new(Arc::clone(&clock)),
        failure: Mutex::default(),
        acquire_requests: AtomicUsize::default(),
        extend_requests: AtomicUsize::default(),
        release_ids: Mutex::default(),
    });
    (Arc::clone(&store), Locks::new(store, clock))
}

fn job_lock(locks: &Locks) -> Lock {
    locks.lock("job").unwrap().with_ttl(TTL).unwrap()
}

async fn acquire(lock: &Lock) -> Lease {
    lock.try_acquire().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn loss_is_reported_before_another_owner_can_acquire_the_lock() {
    for failure in [ConnectionFailure::Unavailable, ConnectionFailure::Hanging] {
        for ttl in [100 * MS, 1_500 * MS, TTL] {
            let (store, locks) = faulty_store();
            let lease = acquire(&job_lock(&locks).with_ttl(ttl).unwrap()).await;
            store.fail_with(failure);
            let since = Instant::now();
            lease.lost().await;
            assert!(!lease.is_held());
            assert!(since.elapsed() >= ttl * 98 / 100 && since.elapsed() < ttl, "{failure:?} {:?}", since.elapsed());
            assert!(store.actual_holder().await.is_some(), "{failure:?} {ttl:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_ttl_loses_no_lock() {
    for failure in [ConnectionFailure::Unavailable, ConnectionFailure::LostReplies] {
        let (store, locks) = faulty_store();
        let lease = acquire(&job_lock(&locks)).await;
        for _ in 0..5 {
            store.fail_with(failure);
            // The last extension was at most a third of the TTL ago.
            assert!(timeout(TTL * 6 / 10, lease.lost()).await.is_err(), "{failure:?}");
            store.fail_with(ConnectionFailure::None);
            assert!(timeout(TTL, lease.lost()).await.is_err(), "{failure:?}");
            assert!(lease.is_held());
        }
        assert_eq!(store.actual_holder().await.unwrap().fencing_token, lease.fencing_token());
    }
}

#[tokio::test(start_paused = true)]
async fn suspended_process_detects_the_loss_before_its_tasks_run() {
    let clock = Arc::new(ManualClock::default());
    let locks = Locks::new(Arc::new(MemoryLocks::new(clock.clone())), clock.clone());
    let lease = acquire(&job_lock(&locks)).await;
    // The time advances although no task runs, as for a suspended process.
    clock.advance(Duration::from_micros(29_699_999));
    assert!(lease.is_held());
    clock.advance(Duration::from_micros(1));
    assert!(!lease.is_held());
}

#[tokio::test(start_paused = true)]
async fn lock_is_extended_at_every_third_of_the_ttl_until_the_last_lease_ends() {
    let (store, locks) = faulty_store();
    for round in 0..3 {
        store.extend_requests.store(0, Ordering::Relaxed);
        let (lock, lost) = (job_lock(&locks), round == 2);
        let (first, second) = (acquire(&lock).await, acquire(&lock).await);
        drop(first);
        sleep(TTL * 10 + MS).await;
        assert_eq!(store.extend_requests.load(Ordering::Relaxed), 30);
        match round {
            0 => assert!(second.release().await.unwrap()),
            1 => drop(second),
            _ => {
                assert!(locks.force_release("job").await.unwrap());
                second.lost().await;
            }
        }
        sleep(TTL * 10).await;
        assert_eq!(store.extend_requests.load(Ordering::Relaxed), 30 + usize::from(lost));
        assert_eq!(store.actual_holder().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_whose_reply_was_lost_counts_once() {
    let (store, locks) = faulty_store();
    let lock = job_lock(&locks);
    store.fail_with(ConnectionFailure::LostReplies);
    assert!(lock.try_acquire().await.is_err());
    assert_eq!(store.actual_holder().await.unwrap().depth, 1);
    store.fail_with(ConnectionFailure::None);
    let lease = acquire(&lock).await;
    assert_eq!(store.actual_holder().await.unwrap().depth, 1);
    assert!(lease.release().await.unwrap());
    assert_eq!(store.actual_holder().await, None);
}

#[tokio::test(start_paused = true)]
async fn release_completes_in_the_background_after_a_dropped_future_or_an_outage() {
    let (store, locks) = faulty_store();
    let lock = job_lock(&locks);
    // The future of the release is dropped before the store replies.
    let lease = acquire(&lock).await;
    assert!(timeout(Duration::ZERO, lease.release()).await.is_err());
    sleep(MS).await;
    assert_eq!(store.actual_holder().await, None);

    let lease = acquire(&lock).await;
    store.fail_with(ConnectionFailure::Unavailable);
    assert!(lease.release().await.is_err());
    sleep(TTL / 3).await;
    store.fail_with(ConnectionFailure::None);
    sleep(TTL / 10).await;
    assert_eq!(store.actual_holder().await, None, "long before its ttl");

    // Although the replies are lost, the inner lease is released only once: the outer acquisition stays.
    let (outer, inner) =
        (acquire(&lock.clone().with_owner("shop").unwrap()).await, acquire(&lock.with_owner("shop").unwrap()).await);
    store.release_ids.lock().clear();
    store.fail_with(ConnectionFailure::LostReplies);
    drop(inner);
    sleep(TTL / 2).await;
    assert_eq!((store.actual_holder().await.unwrap().depth, store.release_ids.lock().len()), (1, 1));
    store.fail_with(ConnectionFailure::None);
    assert!(outer.release().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn waiting_callers_retry_on_release_and_when_the_ttl_has_passed() {
    let (store, locks) = faulty_store();
    let lease = acquire(&job_lock(&locks)).await;
    let waits: Vec<_> = (0..20)
        .map(|_| {
            let lock = job_lock(&locks);
            tokio::spawn(async move { lock.acquire(Duration::MAX).await.unwrap() })
        })
        .collect();
    sleep(TTL * 10).await;
    let requests = store.acquire_requests.load(Ordering::Relaxed) - 1;
    // Only the first caller in the queue sends requests, one each time the reported TTL has passed. A reported TTL is
    // at least two thirds of the full TTL.
    assert!((10..=16).contains(&requests), "{requests}");
    let since = Instant::now();
    lease.release().await.unwrap();
    let mut last = 0;
    for wait in waits {
        // The callers acquire the lock in order of arrival.
        let lease = wait.await.unwrap();
        assert!(lease.fencing_token() > last);
        last = lease.fencing_token();
        lease.release().await.unwrap();
    }
    assert_eq!(since.elapsed(), Duration::ZERO, "woken by the release, not by an expiry");
    assert!(locks.0.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_blocks_no_other_waiter() {
    for dropped in [0, 1, 2] {
        let (store, locks) = faulty_store();
        let lease = acquire(&job_lock(&locks)).await;
        let mut waits: Vec<_> = (0..3)
            .map(|_| {
                let lock = job_lock(&locks);
                tokio::spawn(async move { lock.acquire(TTL).await.unwrap().release().await.unwrap() })
            })
            .collect();
        sleep(MS).await;
        waits.remove(dropped).abort();
        let since = Instant::now();
        lease.release().await.unwrap();
        for wait in waits {
            assert!(wait.await.unwrap());
        }
        assert_eq!(since.elapsed(), Duration::ZERO);
        assert_eq!(store.actual_holder().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_does_not_queue_behind_callers_that_wait_for_it() {
    let (_, locks) = faulty_store();
    let named = || job_lock(&locks).with_owner("shop").unwrap();
    let outer = acquire(&named()).await;
    let other = job_lock(&locks);
    let waiting = tokio::spawn(async move { other.acquire(TTL).await.is_ok() });
    sleep(MS).await;
    let since = Instant::now();
    let inner = named().acquire(TTL).await.unwrap();
    assert_eq!((since.elapsed(), inner.fencing_token()), (Duration::ZERO, outer.fencing_token()));
    drop((outer, inner));
    assert!(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_shorter_ttl_of_the_same_owner_does_not_shorten_the_lock() {
    let (store, locks) = faulty_store();
    let named = |ttl| job_lock(&locks).with_owner("shop").unwrap().with_ttl(ttl).unwrap();
    let long = acquire(&named(TTL)).await;
    let short = acquire(&named(TTL / 100)).await;
    sleep(TTL / 200).await;
    assert!(short.release().await.unwrap());
    // The longer lease is extended after a third of its TTL. With the shorter TTL, the lock would have expired by then.
    sleep(TTL / 4).await;
    assert!(long.is_held() && store.actual_holder().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn releasing_a_nested_lease_of_a_lost_lock_returns_false() {
    let (_, locks) = faulty_store();
    let lock = job_lock(&locks);
    let (outer, inner) = (acquire(&lock).await, acquire(&lock).await);
    assert!(locks.force_release("job").await.unwrap());
    inner.lost().await;
    let next = acquire(&job_lock(&locks)).await;
    assert!(!inner.release().await.unwrap() && !outer.release().await.unwrap());
    assert!(next.is_held() && next.release().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn expired_entries_of_other_processes_are_removed() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = MemoryLocks::new(clock);
    for number in 0..20_000 {
        let name = number.to_string();
        let request = LockRequest::new(&name, "elsewhere", "1");
        assert!(matches!(store.acquire(request, 1_000 * MS).await, Ok(LockReply::Granted(_))));
        sleep(MS).await;
    }
    assert_eq!(store.list().await.unwrap().len(), 999);
    assert!(store.entry_count() <= 4_000, "{}", store.entry_count());
}
