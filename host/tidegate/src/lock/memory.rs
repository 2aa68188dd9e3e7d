//! Locks in the memory of this process.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::millis;
use tidegate_core::store::{Answer, Claim, Grant, Held, LockInfo, LockStore, Signal};
use tidegate_core::{Clock, Timestamp};
use tokio::sync::watch;

/// Locks that no other process knows of.
pub struct MemoryLocks {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    bells: Arc<Bells>,
}

/// As many locks are remembered before those that ended are looked for.
const SWEEP: usize = 1_000;

#[derive(Default)]
struct State {
    /// What was granted last, also where it was given back: whoever gives it back again is to hear the same.
    granted: BTreeMap<String, Holder>,
    last_token: u64,
    sweep_at: usize,
}

struct Holder {
    owner: String,
    last: Request,
    /// Of depth 0 where it was given back.
    grant: Grant,
    until: Timestamp,
}

/// What the owner asked for last, by the id of the request.
#[derive(PartialEq, Eq)]
enum Request {
    Acquire(String),
    Release(String),
}

impl Holder {
    fn holds(&self, now: Timestamp) -> bool {
        self.grant.depth > 0 && now < self.until
    }

    fn info(&self, name: &str, now: Timestamp) -> LockInfo {
        LockInfo {
            name: name.to_owned(),
            owner: self.owner.clone(),
            fencing_token: self.grant.fencing_token,
            depth: self.grant.depth,
            ttl_ms: millis(self.until - now),
        }
    }
}

impl State {
    /// Whoever holds the lock now; one whose time is over holds it no longer.
    fn holder(&mut self, name: &str, now: Timestamp) -> Option<&mut Holder> {
        self.granted.get_mut(name).filter(|holder| holder.holds(now))
    }

    /// Owners elsewhere may never come back: what ended is forgotten once as much has come anew as is held.
    fn sweep(&mut self, now: Timestamp) {
        if self.granted.len() >= self.sweep_at.max(SWEEP) {
            self.granted.retain(|_, holder| holder.holds(now));
            self.sweep_at = self.granted.len() * 2;
        }
    }
}

impl MemoryLocks {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), bells: Arc::default() }
    }

    /// How many locks are remembered, held or not.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.state.lock().granted.len()
    }

    fn take(&self, claim: Claim<'_>, ttl: Duration) -> Result<Grant, Held> {
        let (mut state, now) = (self.state.lock(), self.clock.now());
        let until = now + ttl;
        if let Some(holder) = state.holder(claim.name, now) {
            if holder.owner != claim.owner {
                return Err(Held { ttl: holder.until - now });
            }
            let request = Request::Acquire(claim.id.to_owned());
            holder.grant.depth += u32::from(holder.last != request);
            holder.last = request;
            holder.until = holder.until.max(until);
            return Ok(holder.grant);
        }
        state.sweep(now);
        // Above every token before, and above those of a process that ran earlier.
        state.last_token = (state.last_token + 1).max(self.clock.unix_ms() * 1_000);
        let grant = Grant { fencing_token: state.last_token, depth: 1 };
        let last = Request::Acquire(claim.id.to_owned());
        let holder = Holder { owner: claim.owner.to_owned(), last, grant, until };
        state.granted.insert(claim.name.to_owned(), holder);
        Ok(grant)
    }

    fn give_back(&self, claim: Claim<'_>, token: u64) -> Option<u32> {
        let (mut state, now) = (self.state.lock(), self.clock.now());
        let holder = state.granted.get_mut(claim.name)?;
        if holder.owner != claim.owner || holder.grant.fencing_token != token {
            return None;
        }
        let request = Request::Release(claim.id.to_owned());
        if holder.last == request && (holder.grant.depth == 0 || holder.holds(now)) {
            return Some(holder.grant.depth);
        }
        if !holder.holds(now) {
            return None;
        }
        holder.last = request;
        holder.grant.depth -= 1;
        let left = holder.grant.depth;
        drop(state);
        if left == 0 {
            self.bells.ring(claim.name);
        }
        Some(left)
    }
}

/// What needs no waiting.
fn ready<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl LockStore for MemoryLocks {
    fn acquire<'a>(&'a self, claim: Claim<'a>, ttl: Duration) -> Answer<'a, Result<Grant, Held>> {
        ready(self.take(claim, ttl))
    }

    fn extend<'a>(&'a self, name: &'a str, owner: &'a str, token: u64, ttl: Duration) -> Answer<'a, bool> {
        let (mut state, now) = (self.state.lock(), self.clock.now());
        let holder = state.holder(name, now).filter(|holder| holder.owner == owner);
        let holder = holder.filter(|holder| holder.grant.fencing_token == token);
        ready(holder.map(|holder| holder.until = holder.until.max(now + ttl)).is_some())
    }

    fn release<'a>(&'a self, claim: Claim<'a>, token: u64) -> Answer<'a, Option<u32>> {
        ready(self.give_back(claim, token))
    }

    fn evict<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        let (mut state, now) = (self.state.lock(), self.clock.now());
        let held = state.holder(name, now).is_some();
        state.granted.remove(name);
        drop(state);
        self.bells.ring(name);
        ready(held)
    }

    fn holder<'a>(&'a self, name: &'a str) -> Answer<'a, Option<LockInfo>> {
        let (mut state, now) = (self.state.lock(), self.clock.now());
        ready(state.holder(name, now).map(|holder| holder.info(name, now)))
    }

    fn list(&self) -> Answer<'_, Vec<LockInfo>> {
        let (state, now) = (self.state.lock(), self.clock.now());
        let held = state.granted.iter().filter(|(_, holder)| holder.holds(now));
        ready(held.map(|(name, holder)| holder.info(name, now)).collect())
    }

    fn released(&self, name: &str) -> Box<dyn Signal> {
        Bells::hear(&self.bells, name)
    }
}

/// Wakes those who wait for a lock; there is a bell for each lock that somebody waits for.
#[derive(Default)]
struct Bells(Mutex<HashMap<String, watch::Sender<()>>>);

impl Bells {
    fn ring(&self, name: &str) {
        if let Some(bell) = self.0.lock().get(name) {
            bell.send_replace(());
        }
    }

    fn hear(bells: &Arc<Self>, name: &str) -> Box<dyn Signal> {
        let heard = bells.0.lock().entry(name.to_owned()).or_insert_with(|| watch::Sender::new(())).subscribe();
        Box::new(Heard { bells: Arc::clone(bells), name: name.to_owned(), heard })
    }
}

struct Heard {
    bells: Arc<Bells>,
    name: String,
    heard: watch::Receiver<()>,
}

impl Signal for Heard {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // The bell is there as long as anyone hears it.
            let _ = self.heard.changed().await;
        })
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let mut bells = self.bells.0.lock();
        // Under the lock nobody else can begin to hear it; this one still counts.
        if bells.get(&self.name).is_some_and(|bell| bell.receiver_count() == 1) {
            bells.remove(&self.name);
        }
    }
}
