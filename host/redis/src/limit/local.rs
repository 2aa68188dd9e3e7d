//! A process's share of a quota while Redis is away.

use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::{Bucket, Decision, Quota, Rate, Ticket, Timestamp};

/// How soon to ask again where the share can never hold what the whole burst could.
pub const AGAIN: Duration = Duration::from_secs(1);

/// A bucket for one of `processes`, and what went through it.
pub struct Share {
    state: Mutex<State>,
    whole: u64,
}

struct State {
    bucket: Bucket,
    admitted: u64,
}

impl Share {
    /// An empty bucket: what was in the shared one is not known to be anyone's.
    ///
    /// `None` where so small a part cannot be counted exactly.
    pub fn empty(quota: Quota, processes: usize, now: Timestamp) -> Option<Self> {
        let share = part(quota, processes)?;
        let mut bucket = Bucket::full(share, now);
        let _ = bucket.check(share.burst(), now);
        Some(Self { state: Mutex::new(State { bucket, admitted: 0 }), whole: quota.burst() })
    }

    /// Takes `cost` of the share; a refusal takes nothing.
    pub fn reserve(&self, cost: u64, within: Duration, now: Timestamp) -> Result<(Ticket, Duration, u64), Decision> {
        let mut state = self.state.lock();
        match state.bucket.reserve(cost, within, now) {
            Ok(ticket) => {
                state.admitted += cost;
                let wait = state.bucket.wait(&ticket, now);
                Ok((ticket, wait, u64::try_from(state.bucket.level(now)).unwrap_or(0)))
            }
            Err(Decision::Never { .. }) if cost <= self.whole => Err(Decision::Limited { retry_after: AGAIN }),
            Err(Decision::Never { .. }) => Err(Decision::Never { max: self.whole }),
            Err(refusal) => Err(refusal),
        }
    }

    /// How long a ticket still has to wait.
    pub fn look(&self, ticket: &Ticket, now: Timestamp) -> Duration {
        self.state.lock().bucket.wait(ticket, now)
    }

    /// Gives a slot back that has not come yet.
    pub fn cancel(&self, ticket: &Ticket, cost: u64, now: Timestamp) {
        let mut state = self.state.lock();
        let before = state.bucket.level(now);
        state.bucket.cancel(ticket, now);
        // A slot that has come is spent: then the level stays.
        if state.bucket.level(now) != before {
            state.admitted -= cost;
        }
    }

    /// What the shared bucket is to be debited: what went through, and no more than the share lacks now.
    ///
    /// Then the shared level is at most the sum of what all shares hold, as if they had been one bucket all along.
    pub fn debt(&self, now: Timestamp) -> u64 {
        let mut state = self.state.lock();
        let burst = i64::try_from(state.bucket.quota().burst()).unwrap_or(i64::MAX);
        let lacking = burst.saturating_sub(state.bucket.level(now));
        state.admitted.min(u64::try_from(lacking).unwrap_or(0))
    }
}

/// One of so many parts: the same tokens over a period as many times as long.
fn part(quota: Quota, processes: usize) -> Option<Quota> {
    let parts = u32::try_from(processes.max(1)).ok()?;
    let rate = Rate::new(quota.rate().tokens(), quota.rate().period().checked_mul(parts)?).ok()?;
    Quota::new(rate, (quota.burst() / u64::from(parts)).max(1)).ok()
}
