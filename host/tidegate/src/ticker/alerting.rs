//! Alerting by the leader: each tick evaluates the rules and sends notifications.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::StoreError;
use tidegate_core::store::{AlertChanges, AlertStates};
use tidegate_policy::Rule;
use tokio::time::Instant;

use super::builtin_alerts::BuiltinConditions;
use super::stats::TickStats;
use crate::Host;
use crate::alerts::{Alerts, Deliveries, OfflineAlerting, RuleContext, evaluate};

/// The minimum time that a tick has to read its statistics, even if the interval is shorter.
const MIN_TICK: Duration = Duration::from_secs(5);

/// How long a process that stops waits to add its notifications to the store.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// The alerting of the leader, and of the last leader while the store is unavailable.
pub struct Alerting {
    host: Host,
    alerts: Alerts,
    deliveries: Deliveries,
    offline: OfflineAlerting,
    /// Whether this process was the last leader, as far as it knows.
    was_leader: bool,
    /// Whether the last request to the store failed.
    unavailable: bool,
    /// The rules that name unknown channels, with these channels. A warning about each is in the log.
    unknown_channels: BTreeSet<(String, String)>,
}

impl Alerting {
    pub fn new(host: &Host) -> Self {
        Self::with_alerts(host, host.alerts().clone())
    }

    fn with_alerts(host: &Host, alerts: Alerts) -> Self {
        Self {
            host: host.clone(),
            offline: OfflineAlerting::new(&alerts, host.clock()),
            alerts,
            deliveries: Deliveries::default(),
            was_leader: false,
            unavailable: false,
            unknown_channels: BTreeSet::new(),
        }
    }

    /// Runs a tick at once and then at every interval, until the store has accepted a later leader.
    ///
    /// The first tick also sends the notifications that an earlier leader wrote but did not record as delivered.
    pub async fn run(&mut self, fencing_token: u64) {
        self.unavailable = false;
        self.was_leader = true;
        loop {
            match self.tick(fencing_token).await {
                Ok(true) => {}
                Ok(false) => {
                    return tracing::warn!(fencing_token, "fencing token rejected, a later leader writes the alerts");
                }
                Err(error) => {
                    tracing::warn!(%error, "alert rules not evaluated");
                    self.evaluate_offline(&error).await;
                }
            }
            tokio::time::sleep(self.host.config().alerting.interval).await;
        }
    }

    /// Evaluates every rule and built-in alert once. Returns whether this process is still the leader.
    async fn tick(&mut self, fencing_token: u64) -> Result<bool, StoreError> {
        let retention = self.host.config().alerting.history;
        self.warn_of_unknown_channels();
        let alerts = &self.alerts;
        self.offline.add_to(alerts.store(), retention).await?;
        let Some(current) = alerts.store().states_as_leader(fencing_token).await? else { return Ok(false) };
        let current = Arc::new(current);
        let (mut changes, error) = match self.evaluate_rules(&current).await {
            Ok(changes) => (changes, None),
            Err(error) => (AlertChanges::default(), Some(error)),
        };
        if let Some(error) = &error {
            tracing::warn!(%error, "alert rules not evaluated");
        }
        let conditions = BuiltinConditions::of_fleet(&self.host, error.as_ref()).await;
        conditions.evaluate(&self.host, alerts, &current, &mut changes);
        changes.retention = retention;
        self.offline.note(&current, &changes);
        let new = changes.notifications.clone();
        let Some(undelivered) = alerts.store().write(fencing_token, changes).await? else { return Ok(false) };
        new.iter().for_each(|routed| alerts.log(routed));
        self.deliveries.send(alerts, undelivered).await;
        Ok(true)
    }

    /// Logs a warning about each rule that names an unknown channel, once, at the start and after each change.
    fn warn_of_unknown_channels(&mut self) {
        let rules = self.host.policies().map(|policies| policies.rules());
        let unknown = unknown_channels(rules.as_deref().unwrap_or_default(), &self.alerts.channels());
        for (rule, channel) in unknown.difference(&self.unknown_channels) {
            tracing::warn!(rule, channel, "rule names an unknown channel; notifications to that channel are not sent");
        }
        self.unknown_channels = unknown;
    }

    /// Evaluates every rule once. A host without policies has no rules and leaves the states of other hosts' rules as
    /// they are.
    async fn evaluate_rules(&self, current: &Arc<AlertStates>) -> Result<AlertChanges, StoreError> {
        let Some(policies) = self.host.policies() else { return Ok(AlertChanges::default()) };
        let (rules, fleet) = (policies.rules(), self.host.fleet_metrics());
        let endpoints = fleet.endpoints().await?;
        let deadline = Instant::now() + self.host.config().alerting.interval.max(MIN_TICK);
        let stats = TickStats::fetch(&fleet, &rules, &endpoints, deadline).await;
        let context = RuleContext { stats: Arc::new(stats), limits: self.host.view() };
        let current = Arc::clone(current);
        // A policy may run until its deadline, so it must not block an async worker.
        let evaluation = tokio::task::spawn_blocking(move || evaluate(&rules, &endpoints, &context, &current)).await;
        Ok(evaluation.unwrap_or_else(|panic| {
            tracing::error!(%panic, "evaluation of alert rules panicked");
            AlertChanges::default()
        }))
    }

    /// Evaluates the built-in alerts in memory, because a request to the store failed.
    async fn evaluate_offline(&mut self, error: &StoreError) {
        let (host, alerts) = (&self.host, &self.alerts);
        let conditions = BuiltinConditions::of_process(host, Some(error));
        let evaluate = |current: &AlertStates| {
            let mut changes = AlertChanges::default();
            conditions.evaluate(host, alerts, current, &mut changes);
            changes
        };
        match self.offline.evaluate(host.config().alerting.history, evaluate).await {
            Ok(new) => new.iter().for_each(|routed| alerts.log(routed)),
            Err(error) => tracing::error!(%error, "built-in alerts not evaluated"),
        }
    }

    /// Ends the deliveries in progress; the next leader sends them.
    pub async fn leadership_lost(&mut self) {
        self.deliveries.stop().await;
    }

    /// Whether this process was the last leader, as far as it knows.
    pub const fn was_leader(&self) -> bool {
        self.was_leader
    }

    pub const fn is_redis_unavailable(&self) -> bool {
        self.unavailable
    }

    /// Records that a request to Redis failed. The last leader then evaluates the built-in alerts.
    pub async fn record_redis_failure(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.unavailable, true) {
            tracing::warn!(%error, "redis unavailable, no leader");
        }
        if self.was_leader {
            self.evaluate_offline(error).await;
        }
    }

    /// Records that another process leads. Adds to the store what this process kept in memory while the store was
    /// unavailable.
    ///
    /// # Errors
    /// Returns an error if the store is unavailable again.
    pub async fn record_other_leader(&mut self) -> Result<(), StoreError> {
        let (alerts, retention) = (&self.alerts, self.host.config().alerting.history);
        self.was_leader = false;
        self.deliveries.record_finished(alerts).await?;
        self.offline.add_to(alerts.store(), retention).await?;
        self.unavailable = false;
        Ok(())
    }

    /// Waits until all notifications in progress have been sent, and adds those in memory to the store.
    pub async fn drain(&mut self) {
        self.deliveries.drain().await;
        self.offline.drain().await;
        let (store, retention) = (self.alerts.store(), self.host.config().alerting.history);
        let added = tokio::time::timeout(LAST_WRITE, self.offline.add_to(store, retention)).await;
        if !matches!(added, Ok(Ok(()))) {
            for title in self.offline.titles() {
                tracing::warn!(title, "alert notification not added to the history, redis unavailable");
            }
        }
    }
}

/// Returns each rule that names a channel that is not in `channels`, with that channel.
fn unknown_channels(rules: &[Rule], channels: &[String]) -> BTreeSet<(String, String)> {
    let of_rule = |rule: &Rule| {
        let unknown = rule.channels.iter().filter(|name| !channels.contains(name));
        unknown.map(|name| (rule.name.clone(), name.clone())).collect::<Vec<_>>()
    };
    rules.iter().flat_map(of_rule).collect()
}

#[cfg(test)]
mod tests;
