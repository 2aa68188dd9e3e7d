//! Alerting by the leader: each tick evaluates the rules and sends notifications.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::StoreError;
use tokio::time::Instant;

use super::quarantine_alert::QuarantineAlert;
use super::redis_alert::RedisUnavailableAlert;
use super::stats::TickStats;
use crate::Host;
use crate::alerts::{Deliveries, RuleContext, evaluate};

/// The minimum time that a tick has to read its statistics, even if the interval is shorter.
const MIN_TICK: Duration = Duration::from_secs(5);

/// The alerting of the leader.
pub struct Alerting {
    host: Host,
    deliveries: Deliveries,
    redis_alert: RedisUnavailableAlert,
    quarantine_alert: QuarantineAlert,
}

impl Alerting {
    pub fn new(host: &Host) -> Self {
        Self {
            host: host.clone(),
            deliveries: Deliveries::default(),
            redis_alert: RedisUnavailableAlert::new(host),
            quarantine_alert: QuarantineAlert::new(host),
        }
    }

    /// Runs a tick at once and then at every interval, until the store has accepted a later leader.
    ///
    /// The first tick also sends the notifications that an earlier leader wrote but did not record as delivered.
    pub async fn run(&mut self, fencing_token: u64) {
        loop {
            match self.tick(fencing_token).await {
                Ok(true) => {}
                Ok(false) => {
                    return tracing::warn!(fencing_token, "fencing token rejected, a later leader writes the alerts");
                }
                Err(error) => tracing::warn!(%error, "alert rules not evaluated"),
            }
            tokio::time::sleep(self.host.config().alerting.interval).await;
        }
    }

    /// Evaluates every rule once. Returns whether this process is still the leader.
    async fn tick(&mut self, fencing_token: u64) -> Result<bool, StoreError> {
        self.quarantine_alert.check();
        let (alerts, config) = (self.host.alerts(), self.host.config());
        let Some(policies) = self.host.policies() else { return Ok(true) };
        let Some(current) = alerts.store().states_as_leader(fencing_token).await? else { return Ok(false) };
        let (rules, fleet) = (policies.rules(), self.host.fleet_metrics());
        let endpoints = fleet.endpoints().await?;
        let deadline = Instant::now() + config.alerting.interval.max(MIN_TICK);
        let stats = TickStats::fetch(&fleet, &rules, &endpoints, deadline).await;
        // A policy may run until its deadline, so it must not block an async worker.
        let context = RuleContext { stats: Arc::new(stats), limits: self.host.view() };
        let evaluation = tokio::task::spawn_blocking(move || evaluate(&rules, &endpoints, &context, &current));
        let mut changes = match evaluation.await {
            Ok(changes) => changes,
            Err(panic) => {
                tracing::error!(%panic, "evaluation of alert rules panicked");
                return Ok(true);
            }
        };
        changes.retention = config.alerting.history;
        for routed in &changes.notifications {
            tracing::info!(title = routed.notification.title(), "sending alert notification");
        }
        let Some(undelivered) = alerts.store().write(fencing_token, changes).await? else { return Ok(false) };
        self.deliveries.send(alerts, undelivered).await;
        Ok(true)
    }

    /// Cancels deliveries in progress; the next leader sends them.
    pub async fn leadership_lost(&mut self) {
        self.deliveries.stop().await;
        self.redis_alert.leadership_lost();
    }

    /// Waits until all notifications in progress have been sent.
    pub async fn drain(&mut self) {
        self.deliveries.drain().await;
        self.redis_alert.drain().await;
        self.quarantine_alert.drain().await;
    }

    pub const fn is_redis_unavailable(&self) -> bool {
        self.redis_alert.is_unavailable()
    }

    /// Records that a request to Redis failed.
    pub fn record_redis_failure(&mut self, error: &StoreError) {
        self.redis_alert.record_failure(error);
    }

    /// Records that a request to Redis succeeded.
    pub fn record_redis_success(&mut self) {
        self.redis_alert.record_success();
    }
}
