//! Room for a bounded number of instances, shared by the policies of one world.
//!
//! The pooling allocator answers the instance after its last with an error, so instances are counted here first, and
//! who finds no room waits. An idle instance never stands in the way of another policy: the one idle longest goes.

use std::collections::VecDeque;

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

/// The right to hold one instance; it ends by drop, after the instance itself is gone or back on the shelf.
pub struct Lease<'a, T> {
    pool: &'a Pool<T>,
    owner: u64,
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

    /// A lease for this owner; waits while every instance is busy.
    pub fn lease(&self, owner: u64) -> Lease<'_, T> {
        let mut shelf = self.shelf.lock();
        let (instance, evicted) = loop {
            if let Some(warm) = shelf.take_warm(owner) {
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
        drop(shelf);
        // Outside the lock, since it unmaps memory; before the lease is used, since it frees the slot.
        drop(evicted);
        Lease { pool: self, owner, instance, keep: false }
    }

    /// Drops the idle instances of an owner that will not come back.
    pub fn forget(&self, owner: u64) {
        let mut shelf = self.shelf.lock();
        let (gone, stay): (VecDeque<_>, VecDeque<_>) = shelf.idle.drain(..).partition(|(of, _)| *of == owner);
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
        shelf.idle.extend(kept.map(|instance| (self.owner, instance)));
        drop(shelf);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Puts an instance on the shelf.
    fn stock(pool: &Pool<&'static str>, owner: u64, instance: &'static str) {
        let mut lease = pool.lease(owner);
        lease.instance = Some(instance);
        lease.keep = true;
    }

    #[test]
    fn an_owner_gets_its_own_warm_instance_back() {
        let pool = Pool::new(3);
        stock(&pool, 1, "of one");
        stock(&pool, 2, "of two");
        assert_eq!(pool.lease(1).instance, Some("of one"));
        assert_eq!(pool.lease(3).instance, None);
    }

    #[test]
    fn an_instance_that_is_not_kept_is_gone() {
        let pool = Pool::new(1);
        stock(&pool, 1, "poisoned");
        drop(pool.lease(1));
        assert_eq!(pool.lease(1).instance, None);
    }

    #[test]
    fn the_instance_idle_longest_makes_room_for_another_owner() {
        let pool = Pool::new(2);
        stock(&pool, 1, "older");
        stock(&pool, 2, "newer");
        assert_eq!(pool.lease(3).instance, None);
        assert_eq!(pool.lease(1).instance, None, "the older one made room");
        assert_eq!(pool.lease(2).instance, Some("newer"));
    }

    #[test]
    fn a_forgotten_owner_leaves_its_room() {
        let pool = Pool::new(1);
        stock(&pool, 1, "old generation");
        pool.forget(1);
        assert_eq!(pool.lease(1).instance, None);
    }

    #[test]
    fn who_finds_no_room_waits_until_there_is_some() {
        let pool = Pool::<()>::new(1);
        let lease = pool.lease(1);
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let lease = pool.lease(2);
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
