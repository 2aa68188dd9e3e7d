//! A process's share of a quota while Redis is unavailable.

use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::{Bucket, BucketReservation, Quota, Rate, Refusal, Ticket, Timestamp};

/// The `retry_after` of a call that can be allowed only after Redis has recovered. That time is unknown, so this is a
/// fixed interval for retries.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A bucket with one process's part of a quota, and the tokens that it granted.
#[derive(Debug)]
pub struct LocalShare {
    state: Mutex<ShareState>,
    whole_burst: u64,
}

#[derive(Debug)]
struct ShareState {
    bucket: Bucket,
    granted: u64,
}

impl LocalShare {
    /// Creates an empty share for one of `processes` processes. It starts empty because other processes may have used
    /// the shared tokens already.
    ///
    /// Returns `None` if so small a part of the quota cannot be counted exactly.
    pub fn empty(quota: Quota, processes: usize, now: Timestamp) -> Option<Self> {
        let share = divide_quota(quota, processes)?;
        let mut bucket = Bucket::full(share, now);
        let _ = bucket.check(share.burst(), now);
        Some(Self { state: Mutex::new(ShareState { bucket, granted: 0 }), whole_burst: quota.burst() })
    }

    /// Takes `cost` tokens of the share. A refusal takes nothing.
    pub fn reserve(&self, cost: u64, within: Duration, now: Timestamp) -> Result<BucketReservation, Refusal> {
        let mut state = self.state.lock();
        match state.bucket.reserve(cost, within, now) {
            Ok(reserved) => {
                state.granted += cost;
                Ok(reserved)
            }
            Err(Refusal::Never { .. }) if cost <= self.whole_burst => {
                Err(Refusal::Limited { retry_after: RETRY_AFTER })
            }
            Err(Refusal::Never { .. }) => Err(Refusal::Never { max_cost: self.whole_burst }),
            Err(refusal) => Err(refusal),
        }
    }

    /// Returns how long the call with this ticket still has to wait.
    pub fn remaining_wait(&self, ticket: &Ticket, now: Timestamp) -> Duration {
        self.state.lock().bucket.remaining_wait(ticket, now)
    }

    /// Removes a waiting call from the queue and puts its tokens back into the share.
    pub fn cancel_wait(&self, ticket: &Ticket, cost: u64, now: Timestamp) {
        let mut state = self.state.lock();
        let level_before = state.bucket.level(now);
        state.bucket.cancel_wait(ticket, now);
        // A call that no longer waits keeps its tokens, and the level is unchanged.
        if state.bucket.level(now) != level_before {
            state.granted -= cost;
        }
    }

    /// Returns the tokens to debit from the shared bucket: the tokens that the share granted, but at most as many as
    /// are missing in the share now.
    ///
    /// The shared level is then at most the sum of the levels of all shares, as if they had always been one bucket.
    pub fn debt(&self, now: Timestamp) -> u64 {
        let mut state = self.state.lock();
        let burst = i64::try_from(state.bucket.quota().burst()).unwrap_or(i64::MAX);
        let missing = burst.saturating_sub(state.bucket.level(now));
        state.granted.min(u64::try_from(missing).unwrap_or(0))
    }
}

/// Returns one of `processes` equal parts of a quota: the same tokens over a longer period, and a smaller burst.
fn divide_quota(quota: Quota, processes: usize) -> Option<Quota> {
    let parts = u32::try_from(processes.max(1)).ok()?;
    let rate = Rate::new(quota.rate().tokens(), quota.rate().period().checked_mul(parts)?).ok()?;
    Quota::new(rate, (quota.burst() / u64::from(parts)).max(1)).ok()
}
