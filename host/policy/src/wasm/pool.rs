//! A pool of a bounded number of instances, shared by the policies of one world.
//!
//! Wasmtime's pooling allocator returns an error when its capacity is exceeded. Therefore instances are counted here
//! first, and a caller waits if the pool is full. An idle instance never blocks another policy: the one that has been
//! idle longest is dropped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
}

impl<T> Pool<T> {
    /// Creates a pool for this many instances, idle ones included.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::new(PoolState { leased: 0, idle: VecDeque::new() }), freed: Condvar::new() }
    }

    /// Returns a lease for this owner. Waits while every instance is leased, or while the owner has reached its
    /// maximum.
    pub fn lease<'a>(&'a self, owner: &'a PoolOwner) -> InstanceLease<'a, T> {
        let mut state = self.state.lock();
        let (instance, evicted) = loop {
            if owner.leased.load(Ordering::Relaxed) >= owner.max_leased {
                self.freed.wait(&mut state);
                continue;
            }
            if let Some(warm) = state.take_warm(owner.id) {
                break (Some(warm), None);
            }
            if state.leased + state.idle.len() < self.capacity {
                break (None, None);
            }
            if let Some((_, oldest)) = state.idle.pop_front() {
                break (None, Some(oldest));
            }
            self.freed.wait(&mut state);
        };
        state.leased += 1;
        owner.leased.fetch_add(1, Ordering::Relaxed);
        drop(state);
        // The evicted instance is dropped after the lock is released, because that unmaps memory, and before the lease
        // is used, because that frees the slot.
        drop(evicted);
        InstanceLease { pool: self, owner, instance, is_reusable: false }
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

impl<T> PoolState<T> {
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
        drop(state);
        // Wakes all threads, because the first one may belong to an owner that has reached its maximum.
        self.pool.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Adds an idle instance.
    fn add_idle(pool: &Pool<&'static str>, owner: &PoolOwner, instance: &'static str) {
        let mut lease = pool.lease(owner);
        lease.instance = Some(instance);
        lease.is_reusable = true;
    }

    fn owners<const N: usize>() -> [PoolOwner; N] {
        std::array::from_fn(|_| PoolOwner::new(9))
    }

    #[test]
    fn owner_gets_its_own_warm_instance() {
        let (pool, [one, two, three]) = (Pool::new(3), owners());
        add_idle(&pool, &one, "of one");
        add_idle(&pool, &two, "of two");
        assert_eq!(pool.lease(&one).instance, Some("of one"));
        assert_eq!(pool.lease(&three).instance, None);
    }

    #[test]
    fn instance_that_is_not_reusable_is_dropped() {
        let (pool, [one]) = (Pool::new(1), owners());
        add_idle(&pool, &one, "poisoned");
        drop(pool.lease(&one));
        assert_eq!(pool.lease(&one).instance, None);
    }

    #[test]
    fn longest_idle_instance_is_evicted_for_another_owner() {
        let (pool, [one, two, three]) = (Pool::new(2), owners());
        add_idle(&pool, &one, "older");
        add_idle(&pool, &two, "newer");
        assert_eq!(pool.lease(&three).instance, None);
        assert_eq!(pool.lease(&one).instance, None, "the older one was evicted");
        assert_eq!(pool.lease(&two).instance, Some("newer"));
    }

    #[test]
    fn removing_an_owner_drops_its_idle_instances() {
        let (pool, [one]) = (Pool::new(1), owners());
        add_idle(&pool, &one, "old generation");
        pool.remove_owner(&one);
        assert_eq!(pool.lease(&one).instance, None);
    }

    #[test]
    fn lease_waits_while_the_pool_is_full() {
        assert_waits(&Pool::new(1), &PoolOwner::new(9), &PoolOwner::new(9));
    }

    #[test]
    fn lease_waits_while_the_owner_is_at_its_maximum() {
        let (pool, one) = (Pool::new(9), PoolOwner::new(1));
        assert_waits(&pool, &one, &one);
        let _held = pool.lease(&one);
        drop(pool.lease(&PoolOwner::new(1)));
    }

    /// Asserts that `second` gets no lease while `first` has one.
    fn assert_waits(pool: &Pool<()>, first: &PoolOwner, second: &PoolOwner) {
        let lease = pool.lease(first);
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let lease = pool.lease(second);
                sender.send(()).unwrap();
                drop(lease);
            });
            assert!(receiver.try_recv().is_err(), "the pool is full");
            drop(lease);
            receiver.recv_timeout(Duration::from_secs(30)).unwrap();
            waiter.join().unwrap();
        });
    }
}
