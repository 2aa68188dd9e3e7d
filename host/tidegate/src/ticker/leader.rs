//! Leader election: the leader evaluates the alert rules and rolls up metrics; the other processes stand by.

use std::time::Duration;

use tidegate_core::StoreError;
use tokio_util::sync::CancellationToken;

use super::alerting::Alerting;
use crate::{Host, Lease, Lock, LockError};

/// The name of the lock that the leader holds.
const LEADER_LOCK: &str = "tidegate:leader";

/// The TTL of the lock: if the leader dies, another process takes over within 2 s.
const TTL: Duration = Duration::from_millis(1_500);

/// How long a standby process waits for the lock before it requests the lock again.
const STANDBY_WAIT: Duration = Duration::from_secs(60);

/// The pause of the last leader after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(500);

/// The pause of the other processes after an error. It is longer, so that usually the last leader leads again after an
/// outage: it knows which notifications it sent meanwhile.
const ERROR_PAUSE_OF_OTHERS: Duration = Duration::from_millis(1_500);

/// The interval at which past minutes are added to their hours and days. Queries are correct without it.
const ROLL_UP_INTERVAL: Duration = Duration::from_secs(10);

impl Host {
    /// Competes for leadership and does the leader's work while this process is the leader. When asked to stop, it
    /// waits until the notifications in progress have been sent, and then releases the lock.
    pub(super) async fn lead(&self, stopped: &CancellationToken) {
        if self.is_read_only() {
            return;
        }
        let lock = match self.locks().lock(LEADER_LOCK).and_then(|lock| lock.with_ttl(TTL)) {
            Ok(lock) => lock,
            Err(error) => return tracing::error!(%error, "leader lock cannot be created"),
        };
        let mut alerting = Alerting::new(self);
        loop {
            let Some(lease) = stopped.run_until_cancelled(become_leader(&lock, &mut alerting)).await else { break };
            tracing::info!(fencing_token = lease.fencing_token(), "became leader");
            let stop = tokio::select! {
                () = stopped.cancelled() => true,
                () = lease.lost() => false,
                () = self.work_as_leader(lease.fencing_token(), &mut alerting) => false,
            };
            if stop {
                tokio::select! {
                    () = alerting.drain() => {}
                    () = lease.lost() => {}
                }
                if let Err(error) = lease.release().await {
                    tracing::warn!(%error, "leader lock not released, the next leader waits for its TTL");
                }
                break;
            }
            tracing::warn!("lost leadership");
            alerting.leadership_lost().await;
            drop(lease);
        }
        alerting.drain().await;
    }

    /// Does the leader's work; returns when the store has accepted a later leader.
    async fn work_as_leader(&self, fencing_token: u64, alerting: &mut Alerting) {
        tokio::select! {
            () = self.roll_up() => {}
            () = alerting.run(fencing_token) => tokio::time::sleep(ERROR_PAUSE).await,
        }
    }

    async fn roll_up(&self) {
        let Some(store) = self.fleet_metrics().shared else { return std::future::pending().await };
        loop {
            if let Err(error) = store.roll_up().await {
                tracing::warn!(%error, "metric roll-up failed, retrying");
            }
            tokio::time::sleep(ROLL_UP_INTERVAL).await;
        }
    }
}

/// Waits until this process becomes leader.
async fn become_leader(lock: &Lock, alerting: &mut Alerting) -> Lease {
    loop {
        // After an error, and after the loss of leadership, request the lock without waiting: the reply says at once
        // whether Redis is available and whether another process leads.
        let wait_for_reply = alerting.is_redis_unavailable() || alerting.was_leader();
        let wait = if wait_for_reply { Duration::ZERO } else { STANDBY_WAIT };
        let result = match lock.acquire(wait).await {
            Ok(lease) => return lease,
            Err(error) if error.held().is_some() => alerting.record_other_leader().await,
            Err(error) => Err(store_error(error)),
        };
        if let Err(error) = result {
            alerting.record_redis_failure(&error).await;
            let pause = if alerting.was_leader() { ERROR_PAUSE } else { ERROR_PAUSE_OF_OTHERS };
            tokio::time::sleep(pause).await;
        }
    }
}

fn store_error(error: LockError) -> StoreError {
    error.into_store_error()
}
