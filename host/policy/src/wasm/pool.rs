//! A pool of a bounded number of instances, shared by the policies of one world.
//!
//! Wasmtime's pooling allocator returns an error when its capacity is exceeded. Therefore instances are counted here
//! first, and a caller waits if the pool is full. An idle instance never blocks another policy: the one that has been
//! idle longest is dropped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A bounded number of instances. Each one belongs to an owner: the policy that it was created from.
pub struct Pool<T> {
    capacity: usize,
    state: Mutex<PoolState<T>>,
    freed: Condvar,
}

/// `leased + idle.len()` never exceeds the capacity.
struct PoolState<T> {
    leased: usize,
    /// The number of threads that wait for an instance.
    waiting: usize,
    /// The idle instances with their owners, longest idle first.
    idle: VecDeque<(u64, T)>,
}

/// A policy that owns instances of a pool.
pub struct PoolOwner {
    id: u64,
    /// The maximum number of instances that are leased at one time.
    max_leased: usize,
    /// Changed only while the pool's state is locked.
    leased: AtomicUsize,
}

impl PoolOwner {
    /// Creates an owner that leases at most this many instances at one time.
    pub fn new(max_leased: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), max_leased, leased: AtomicUsize::new(0) }
    }
}

/// The right to use one instance. When it is dropped, its instance is dropped or returned to the pool first.
pub struct InstanceLease<'a, T> {
    pool: &'a Pool<T>,
    owner: &'a PoolOwner,
    /// A warm instance, or `None` if the holder must create one.
    pub instance: Option<T>,
    /// Whether the instance returns to the pool.
    pub is_reusable: bool,
    /// How long the holder waited.
    pub waited: Duration,
}

impl<T> Pool<T> {
    /// Creates a pool for this many instances, idle ones included.
    pub fn new(capacity: usize) -> Self {
        let state = PoolState { leased: 0, waiting: 0, idle: VecDeque::new() };
        Self { capacity, state: Mutex::new(state), freed: Condvar::new() }
    }

    /// Returns a lease for this owner. Waits while every instance is leased, or while the owner has reached its
    /// maximum. Returns `None` if it would wait for `max_wait` or longer.
    pub fn lease<'a>(&'a self, owner: &'a PoolOwner, max_wait: Duration) -> Option<InstanceLease<'a, T>> {
        let mut state = self.state.lock();
        // A thread that does not wait reads no clock.
        let mut started_at = None;
        let slot = loop {
            if let Some(slot) = state.take_slot(owner, self.capacity) {
                break slot;
            }
            // This is a real wait, so it is measured with the system's clock.
            let waited = started_at.get_or_insert_with(Instant::now).elapsed();
            let left = max_wait.checked_sub(waited).filter(|left| !left.is_zero())?;
            state.waiting += 1;
            self.freed.wait_for(&mut state, left);
            state.waiting -= 1;
        };
        drop(state);
        let waited = started_at.map_or(Duration::ZERO, |started_at| started_at.elapsed());
        let Slot { instance, evicted } = slot;
        // The evicted instance is dropped after the lock is released, because that unmaps memory, and before the lease
        // is used, because that frees the slot.
        drop(evicted);
        Some(InstanceLease { pool: self, owner, instance, is_reusable: false, waited })
    }

    /// Drops the idle instances of an owner that is no longer used.
    pub fn remove_owner(&self, owner: &PoolOwner) {
        let mut state = self.state.lock();
        let (removed, kept): (VecDeque<_>, VecDeque<_>) = state.idle.drain(..).partition(|(id, _)| *id == owner.id);
        let freed = removed.len();
        state.idle = kept;
        state.leased += freed;
        drop(state);
        drop(removed);
        self.state.lock().leased -= freed;
        self.freed.notify_all();
    }
}

/// The place of a leased instance.
struct Slot<T> {
    /// A warm instance.
    instance: Option<T>,
    /// The instance whose place it takes.
    evicted: Option<T>,
}

impl<T> PoolState<T> {
    /// Takes a place for this owner, if there is one.
    fn take_slot(&mut self, owner: &PoolOwner, capacity: usize) -> Option<Slot<T>> {
        if owner.leased.load(Ordering::Relaxed) >= owner.max_leased {
            return None;
        }
        let (instance, mut evicted) = (self.take_warm(owner.id), None);
        if instance.is_none() && self.leased + self.idle.len() >= capacity {
            evicted = Some(self.idle.pop_front()?.1);
        }
        self.leased += 1;
        owner.leased.fetch_add(1, Ordering::Relaxed);
        Some(Slot { instance, evicted })
    }

    /// Takes the owner's most recently used instance: its memory is the most likely to be in the CPU cache.
    fn take_warm(&mut self, owner: u64) -> Option<T> {
        let index = self.idle.iter().rposition(|(id, _)| *id == owner)?;
        self.idle.remove(index).map(|(_, instance)| instance)
    }
}

impl<T> Drop for InstanceLease<'_, T> {
    fn drop(&mut self) {
        let reusable = self.instance.take_if(|_| self.is_reusable);
        drop(self.instance.take());
        let mut state = self.pool.state.lock();
        state.leased -= 1;
        self.owner.leased.fetch_sub(1, Ordering::Relaxed);
        state.idle.extend(reusable.map(|instance| (self.owner.id, instance)));
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            // Wakes all threads, because the first one may belong to an owner that has reached its maximum.
            self.pool.freed.notify_all();
        }
    }
}

#[cfg(test)]
impl<T> Pool<T> {
    /// Returns once this many threads wait for an instance.
    pub fn await_waiting(&self, count: usize) {
        while self.state.lock().waiting < count {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A wait that no test reaches.
    const LONG: Duration = Duration::from_secs(60);

    /// Adds an idle instance.
    fn add_idle(pool: &Pool<&'static str>, owner: &PoolOwner, instance: &'static str) {
        let mut lease = pool.lease(owner, LONG).unwrap();
        lease.instance = Some(instance);
        lease.is_reusable = true;
    }

    /// Returns the warm instance that a lease contains, and drops it.
    fn take(pool: &Pool<&'static str>, owner: &PoolOwner) -> Option<&'static str> {
        pool.lease(owner, LONG).unwrap().instance.take()
    }

    fn owners<const N: usize>() -> [PoolOwner; N] {
        std::array::from_fn(|_| PoolOwner::new(9))
    }

    #[test]
    fn owner_gets_its_own_warm_instance() {
        let (pool, [one, two, three]) = (Pool::new(3), owners());
        add_idle(&pool, &one, "of one");
        add_idle(&pool, &two, "of two");
        assert_eq!(take(&pool, &one), Some("of one"));
        assert_eq!(take(&pool, &three), None);
    }

    #[test]
    fn instance_that_is_not_reusable_is_dropped() {
        let (pool, [one]) = (Pool::new(1), owners());
        add_idle(&pool, &one, "poisoned");
        drop(pool.lease(&one, LONG));
        assert_eq!(take(&pool, &one), None);
    }

    #[test]
    fn longest_idle_instance_is_evicted_for_another_owner() {
        let (pool, [one, two, three]) = (Pool::new(2), owners());
        add_idle(&pool, &one, "older");
        add_idle(&pool, &two, "newer");
        assert_eq!(take(&pool, &three), None);
        assert_eq!(take(&pool, &one), None, "the older one was evicted");
        assert_eq!(take(&pool, &two), Some("newer"));
    }

    #[test]
    fn removing_an_owner_drops_its_idle_instances() {
        let (pool, [one]) = (Pool::new(1), owners());
        add_idle(&pool, &one, "old generation");
        pool.remove_owner(&one);
        assert_eq!(take(&pool, &one), None);
    }

    #[test]
    fn lease_waits_while_the_pool_is_full() {
        assert_waits(&Pool::new(1), &PoolOwner::new(9), &PoolOwner::new(9));
    }

    #[test]
    fn lease_waits_while_the_owner_is_at_its_maximum() {
        let (pool, one) = (Pool::new(9), PoolOwner::new(1));
        assert_waits(&pool, &one, &one);
        let _held = pool.lease(&one, LONG).unwrap();
        assert_eq!(pool.lease(&PoolOwner::new(1), LONG).unwrap().waited, Duration::ZERO, "other owners do not wait");
    }

    /// Asserts that no thread gets a lease for `second` while `first` has one, and that all of them get one later.
    fn assert_waits(pool: &Pool<()>, first: &PoolOwner, second: &PoolOwner) {
        let held = pool.lease(first, LONG).unwrap();
        assert_eq!(held.waited, Duration::ZERO);
        thread::scope(|scope| {
            let short =
                [1, 2, 3].map(|ms| scope.spawn(move || pool.lease(second, Duration::from_millis(ms)).is_none()));
            assert!(short.into_iter().all(|waiter| waiter.join().unwrap()), "they wait no longer than their maximum");
            let long = [(); 3].map(|()| scope.spawn(|| pool.lease(second, LONG).map(|lease| lease.waited)));
            pool.await_waiting(3);
            drop(held);
            for waiter in long {
                assert!(waiter.join().unwrap().is_some_and(|waited| waited > Duration::ZERO && waited < LONG));
            }
        });
    }

    #[test]
    fn caller_that_must_not_wait_gets_only_a_free_instance() {
        let (pool, [one]) = (Pool::<()>::new(1), owners());
        let held = pool.lease(&one, Duration::ZERO);
        assert!(held.is_some());
        assert!(pool.lease(&one, Duration::ZERO).is_none());
    }
}
