//! Locks in the memory of this process.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::store::{LockGrant, LockHeld, LockInfo, LockReply, LockRequest, LockStore, Signal, StoreFuture};
use tidegate_core::{Clock, Timestamp};
use tokio::sync::watch;

/// A [`LockStore`] in memory; its locks are not shared with other processes.
pub struct MemoryLocks {
    clock: Arc<dyn Clock>,
    locks: Mutex<LockTable>,
    releases: Arc<ReleaseSignals>,
}

/// The minimum number of entries at which expired ones are removed.
const MIN_SWEEP_SIZE: usize = 1_000;

#[derive(Default)]
struct LockTable {
    /// The last grant of each lock. It is kept after its release, so that a repeated release gets the same result.
    grants: BTreeMap<String, GrantEntry>,
    last_token: u64,
    /// The number of entries at which to sweep next.
    sweep_at: usize,
}

struct GrantEntry {
    owner: String,
    last_request: LastRequest,
    /// The grant. Its depth is 0 after the last release.
    grant: LockGrant,
    expires_at: Timestamp,
}

/// The owner's last request, with its id.
#[derive(PartialEq, Eq)]
enum LastRequest {
    Acquire(String),
    Release(String),
}

impl GrantEntry {
    fn is_held(&self, now: Timestamp) -> bool {
        self.grant.depth > 0 && now < self.expires_at
    }

    fn info(&self, name: &str, now: Timestamp) -> LockInfo {
        LockInfo::new(name, self.owner.as_str(), self.grant, self.expires_at - now)
    }
}

impl LockTable {
    /// Returns the entry of a lock that is held and has not expired.
    fn held(&mut self, name: &str, now: Timestamp) -> Option<&mut GrantEntry> {
        self.grants.get_mut(name).filter(|entry| entry.is_held(now))
    }

    /// Removes the entries of locks that are no longer held, because their owners may never release them. It runs each
    /// time the table has doubled, so its amortized cost per grant is constant.
    fn sweep(&mut self, now: Timestamp) {
        if self.grants.len() >= self.sweep_at.max(MIN_SWEEP_SIZE) {
            self.grants.retain(|_, entry| entry.is_held(now));
            self.sweep_at = self.grants.len() * 2;
        }
    }
}

impl MemoryLocks {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, locks: Mutex::default(), releases: Arc::default() }
    }

    /// Returns the number of entries, held or not.
    #[cfg(test)]
    pub fn entry_count(&self) -> usize {
        self.locks.lock().grants.len()
    }

    fn grant(&self, request: LockRequest<'_>, ttl: Duration) -> LockReply {
        let (mut locks, now) = (self.locks.lock(), self.clock.now());
        let expires_at = now + ttl;
        if let Some(entry) = locks.held(request.name, now) {
            if entry.owner != request.owner {
                return LockReply::Held(LockHeld::new(entry.expires_at - now));
            }
            let last_request = LastRequest::Acquire(request.id.to_owned());
            entry.grant.depth += u32::from(entry.last_request != last_request);
            entry.last_request = last_request;
            entry.expires_at = entry.expires_at.max(expires_at);
            return LockReply::Granted(entry.grant);
        }
        locks.sweep(now);
        // The token is greater than every earlier one, including those of earlier processes.
        locks.last_token = (locks.last_token + 1).max(self.clock.unix_ms() * 1_000);
        let grant = LockGrant::new(locks.last_token, 1);
        let last_request = LastRequest::Acquire(request.id.to_owned());
        let entry = GrantEntry { owner: request.owner.to_owned(), last_request, grant, expires_at };
        locks.grants.insert(request.name.to_owned(), entry);
        LockReply::Granted(grant)
    }

    /// Releases one acquisition and returns how many remain; `None` if the owner does not hold the lock.
    fn release_grant(&self, request: LockRequest<'_>, token: u64) -> Option<u32> {
        let (mut locks, now) = (self.locks.lock(), self.clock.now());
        let entry = locks.grants.get_mut(request.name)?;
        if entry.owner != request.owner || entry.grant.fencing_token != token {
            return None;
        }
        let last_request = LastRequest::Release(request.id.to_owned());
        if entry.last_request == last_request && (entry.grant.depth == 0 || entry.is_held(now)) {
            return Some(entry.grant.depth);
        }
        if !entry.is_held(now) {
            return None;
        }
        entry.last_request = last_request;
        entry.grant.depth -= 1;
        let depth = entry.grant.depth;
        drop(locks);
        if depth == 0 {
            self.releases.notify(request.name);
        }
        Some(depth)
    }
}

/// Returns a future that is ready with `value`.
fn ready<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl LockStore for MemoryLocks {
    fn acquire<'a>(&'a self, request: LockRequest<'a>, ttl: Duration) -> StoreFuture<'a, LockReply> {
        ready(self.grant(request, ttl))
    }

    fn extend<'a>(&'a self, name: &'a str, owner: &'a str, token: u64, ttl: Duration) -> StoreFuture<'a, bool> {
        let (mut locks, now) = (self.locks.lock(), self.clock.now());
        let entry = locks.held(name, now).filter(|entry| entry.owner == owner);
        let entry = entry.filter(|entry| entry.grant.fencing_token == token);
        ready(entry.map(|entry| entry.expires_at = entry.expires_at.max(now + ttl)).is_some())
    }

    fn release<'a>(&'a self, request: LockRequest<'a>, token: u64) -> StoreFuture<'a, Option<u32>> {
        ready(self.release_grant(request, token))
    }

    fn force_release<'a>(&'a self, name: &'a str) -> StoreFuture<'a, bool> {
        let (mut locks, now) = (self.locks.lock(), self.clock.now());
        let was_held = locks.held(name, now).is_some();
        locks.grants.remove(name);
        drop(locks);
        self.releases.notify(name);
        ready(was_held)
    }

    fn holder<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<LockInfo>> {
        let (mut locks, now) = (self.locks.lock(), self.clock.now());
        ready(locks.held(name, now).map(|entry| entry.info(name, now)))
    }

    fn list(&self) -> StoreFuture<'_, Vec<LockInfo>> {
        let (locks, now) = (self.locks.lock(), self.clock.now());
        let held = locks.grants.iter().filter(|(_, entry)| entry.is_held(now));
        ready(held.map(|(name, entry)| entry.info(name, now)).collect())
    }

    fn released(&self, name: &str) -> Box<dyn Signal> {
        ReleaseSignals::subscribe(&self.releases, name)
    }
}

/// Wakes the callers that wait for a lock. There is one channel for each lock with a waiting caller.
#[derive(Default)]
struct ReleaseSignals(Mutex<HashMap<String, watch::Sender<()>>>);

impl ReleaseSignals {
    fn notify(&self, name: &str) {
        if let Some(sender) = self.0.lock().get(name) {
            sender.send_replace(());
        }
    }

    fn subscribe(signals: &Arc<Self>, name: &str) -> Box<dyn Signal> {
        let receiver = signals.0.lock().entry(name.to_owned()).or_insert_with(|| watch::Sender::new(())).subscribe();
        Box::new(ReleaseSubscription { signals: Arc::clone(signals), name: name.to_owned(), receiver })
    }
}

struct ReleaseSubscription {
    signals: Arc<ReleaseSignals>,
    name: String,
    receiver: watch::Receiver<()>,
}

impl Signal for ReleaseSubscription {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // This cannot fail: the sender exists as long as it has a subscription.
            let _ = self.receiver.changed().await;
        })
    }
}

impl Drop for ReleaseSubscription {
    fn drop(&mut self) {
        let mut senders = self.signals.0.lock();
        // While the map is locked there can be no new subscription. The count includes this one.
        if senders.get(&self.name).is_some_and(|sender| sender.receiver_count() == 1) {
            senders.remove(&self.name);
        }
    }
}
