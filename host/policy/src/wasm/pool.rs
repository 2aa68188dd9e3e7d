//! Room for a bounded number of instances, shared by the policies of one world.
//!
//! The pooling allocator answers the instance after its last with an error, so instances are counted here first, and
//! who finds no room waits. An idle instance never stands in the way of another policy: the one idle longest goes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

/// A bounded number of instances; each belongs to an owner, the policy it was made from.
pub struct Pool<T> {
    room: usize,
    shelf: Mutex<Shelf<T>>,
    freed: Condvar,
}

/// `taken + idle.len()` never exceeds the room.
struct Shelf<T> {
    taken: usize,
    /// Idle longest first.
    idle: VecDeque<(u64, T)>,
}

/// Whose instances they are.
pub struct Owner {
    id: u64,
    /// The most instances that it holds at one time.
    most: usize,
    /// Changed only while the shelf is locked.
    busy: AtomicUsize,
}

impl Owner {
    /// An owner that holds so many instances at most.
    pub fn new(most: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), most, busy: AtomicUsize::new(0) }
    }
}

/// The right to hold one instance; it ends by drop, after the instance itself is gone or back on the shelf.
pub struct Lease<'a, T> {
    pool: &'a Pool<T>,
    owner: &'a Owner,
    /// The instance: a warm one, or `None` where the holder is to make one.
    pub instance: Option<T>,
    /// Whether the instance may serve again.
    pub keep: bool,
}

impl<T> Pool<T> {
    /// A pool for so many instances, idle ones included.
    pub fn new(room: usize) -> Self {
        Self { room, shelf: Mutex::new(Shelf { taken: 0, idle: VecDeque::new() }), freed: Condvar::new() }
    }

    /// A lease for this owner; waits while every instance is busy, or as many of its own as it may hold.
    pub fn lease<'a>(&'a self, owner: &'a Owner) -> Lease<'a, T> {
        let mut shelf = self.shelf.lock();
        let (instance, evicted) = loop {
            if owner.busy.load(Ordering::Relaxed) >= owner.most {
                self.freed.wait(&mut shelf);
                continue;
            }
            if let Some(warm) = shelf.take_warm(owner.id) {
                break (Some(warm), None);
            }
            if shelf.taken + shelf.idle.len() < self.room {
                break (None, None);
            }
            if let Some((_, oldest)) = shelf.idle.pop_front() {
                break (None, Some(oldest));
            }
            self.freed.wait(&mut shelf);
        };
        shelf.taken += 1;
        owner.busy.fetch_add(1, Ordering::Relaxed);
        drop(shelf);
        // Outside the lock, since it unmaps memory; before the lease is used, since it frees the slot.
        drop(evicted);
        Lease { pool: self, owner, instance, keep: false }
    }

    /// Drops the idle instances of an owner that will not come back.
    pub fn forget(&self, owner: &Owner) {
        let mut shelf = self.shelf.lock();
        let (gone, stay): (VecDeque<_>, VecDeque<_>) = shelf.idle.drain(..).partition(|(of, _)| *of == owner.id);
        let freed = gone.len();
        shelf.idle = stay;
        shelf.taken += freed;
        drop(shelf);
        drop(gone);
        self.shelf.lock().taken -= freed;
        self.freed.notify_all();
    }
}

impl<T> Shelf<T> {
    /// The owner's instance that was used last: its memory is the likeliest to be cached.
    fn take_warm(&mut self, owner: u64) -> Option<T> {
        let at = self.idle.iter().rposition(|(of, _)| *of == owner)?;
        self.idle.remove(at).map(|(_, instance)| instance)
    }
}

impl<T> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        let kept = self.instance.take_if(|_| self.keep);
        drop(self.instance.take());
        let mut shelf = self.pool.shelf.lock();
        shelf.taken -= 1;
        self.owner.busy.fetch_sub(1, Ordering::Relaxed);
        shelf.idle.extend(kept.map(|instance| (self.owner.id, instance)));
        drop(shelf);
        // All, since the first may be one that holds as many as it may.
        self.pool.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Puts an instance on the shelf.
    fn stock(pool: &Pool<&'static str>, owner: &Owner, instance: &'static str) {
        let mut lease = pool.lease(owner);
        lease.instance = Some(instance);
        lease.keep = true;
    }

    fn owners<const N: usize>() -> [Owner; N] {
        std::array::from_fn(|_| Owner::new(9))
    }

    #[test]
    fn an_owner_gets_its_own_warm_instance_back() {
        let (pool, [one, two, three]) = (Pool::new(3), owners());
        stock(&pool, &one, "of one");
        stock(&pool, &two, "of two");
        assert_eq!(pool.lease(&one).instance, Some("of one"));
        assert_eq!(pool.lease(&three).instance, None);
    }

    #[test]
    fn an_instance_that_is_not_kept_is_gone() {
        let (pool, [one]) = (Pool::new(1), owners());
        stock(&pool, &one, "poisoned");
        drop(pool.lease(&one));
        assert_eq!(pool.lease(&one).instance, None);
    }

    #[test]
    fn the_instance_idle_longest_makes_room_for_another_owner() {
        let (pool, [one, two, three]) = (Pool::new(2), owners());
        stock(&pool, &one, "older");
        stock(&pool, &two, "newer");
        assert_eq!(pool.lease(&three).instance, None);
        assert_eq!(pool.lease(&one).instance, None, "the older one made room");
        assert_eq!(pool.lease(&two).instance, Some("newer"));
    }

    #[test]
    fn a_forgotten_owner_leaves_its_room() {
        let (pool, [one]) = (Pool::new(1), owners());
        stock(&pool, &one, "old generation");
        pool.forget(&one);
        assert_eq!(pool.lease(&one).instance, None);
    }

    #[test]
    fn who_finds_no_room_waits_until_there_is_some() {
        waits(&Pool::new(1), &Owner::new(9), &Owner::new(9));
    }

    #[test]
    fn who_holds_as_many_as_it_may_waits_however_much_room_there_is() {
        let (pool, one) = (Pool::new(9), Owner::new(1));
        waits(&pool, &one, &one);
        let _held = pool.lease(&one);
        drop(pool.lease(&Owner::new(1)));
    }

    /// While `first` holds its lease, `second` gets none.
    fn waits(pool: &Pool<()>, first: &Owner, second: &Owner) {
        let lease = pool.lease(first);
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let lease = pool.lease(second);
                tell.send(()).unwrap();
                drop(lease);
            });
            assert!(told.try_recv().is_err(), "the room is taken");
            drop(lease);
            told.recv_timeout(Duration::from_secs(30)).unwrap();
            waiting.join().unwrap();
        });
    }
}
