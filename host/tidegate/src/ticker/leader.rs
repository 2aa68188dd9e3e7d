//! One instance acts: it judges alert rules and rolls figures up, the others stand by.

use std::time::Duration;

use tidegate_core::StoreError;
use tokio::sync::watch;

use super::alerting::Alerting;
use super::ended;
use crate::{Host, Lease, Lock, LockError};

/// The lock of whoever acts.
const LEADER: &str = "tidegate:leader";

/// How long the lock outlives its holder: the others take over within 2 s of a death.
const TTL: Duration = Duration::from_millis(1_500);

/// How long one who stands by waits before it asks whether it still has to.
const STAND_BY: Duration = Duration::from_secs(60);

/// The pause after trouble.
const PAUSE: Duration = Duration::from_millis(500);

/// How often minutes that have ended are added to their hours and days; readers do not wait for it.
const ROLL_UP: Duration = Duration::from_secs(10);

impl Host {
    /// Acts while it leads, until it is asked to stop; then lets messages on their way arrive and makes room at once.
    pub(super) async fn lead(&self, mut stopped: watch::Receiver<bool>) {
        let lock = match self.locks().lock(LEADER).and_then(|lock| lock.ttl(TTL)) {
            Ok(lock) => lock,
            Err(error) => return tracing::error!(%error, "nobody can lead"),
        };
        let mut alerting = Alerting::new(self);
        loop {
            let lease = tokio::select! {
                () = ended(&mut stopped) => break,
                lease = stand_by(&lock, &mut alerting) => lease,
            };
            tracing::info!(token = lease.fencing_token(), "this process leads");
            let stop = tokio::select! {
                () = ended(&mut stopped) => true,
                () = lease.lost() => false,
                () = self.act(lease.fencing_token(), &mut alerting) => false,
            };
            if stop {
                tokio::select! {
                    () = alerting.arrive() => {}
                    () = lease.lost() => {}
                }
                if let Err(error) = lease.release().await {
                    tracing::warn!(%error, "the next leader has to wait");
                }
                break;
            }
            tracing::warn!("this process leads no longer");
            alerting.deposed().await;
            drop(lease);
        }
        alerting.arrive().await;
    }

    /// What a leader does; it ends where the store obeys a later one.
    async fn act(&self, token: u64, alerting: &mut Alerting) {
        tokio::select! {
            () = self.roll_up() => {}
            () = alerting.tick_on(token) => tokio::time::sleep(PAUSE).await,
        }
    }

    async fn roll_up(&self) {
        let Some(store) = self.fleet().shared else { return std::future::pending().await };
        loop {
            if let Err(error) = store.roll_up().await {
                tracing::warn!(%error, "figures wait to be rolled up");
            }
            tokio::time::sleep(ROLL_UP).await;
        }
    }
}

/// Waits until this process leads.
async fn stand_by(lock: &Lock, alerting: &mut Alerting) -> Lease {
    loop {
        // After trouble it does not wait for the lock: that Redis is back is news by itself.
        let wait = if alerting.is_away() { Duration::ZERO } else { STAND_BY };
        match lock.acquire(wait).await {
            Ok(lease) => {
                alerting.back();
                if let Some(lease) = lease {
                    return lease;
                }
            }
            Err(error) => {
                alerting.away(&reason(error));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn reason(error: LockError) -> StoreError {
    match error {
        LockError::Store(error) => error,
        LockError::Invalid(error) => StoreError::refused(error),
    }
}
