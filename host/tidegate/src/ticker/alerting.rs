//! The story of one tick: windows, snapshots, verdicts, messages.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::StoreError;
use tokio::time::Instant;

use super::aside::Aside;
use super::away::Away;
use super::figures::TickFigures;
use crate::Host;
use crate::alerts::{Deliveries, Sight, judge};

/// The least time that a tick has for its figures, however short the interval is.
const LEAST_TICK: Duration = Duration::from_secs(5);

/// The alerting of the process that leads.
pub struct Alerting {
    host: Host,
    deliveries: Deliveries,
    away: Away,
    aside: Aside,
}

impl Alerting {
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), deliveries: Deliveries::default(), away: Away::new(host), aside: Aside::new(host) }
    }

    /// Ticks at once and at every interval, until the store obeys a later leader.
    ///
    /// The first tick sends what an earlier leader wrote down and did not mark.
    pub async fn tick_on(&mut self, token: u64) {
        loop {
            match self.tick(token).await {
                Ok(true) => {}
                Ok(false) => return tracing::warn!(token, "a later leader writes alerts"),
                Err(error) => tracing::warn!(%error, "alert rules were not judged"),
            }
            tokio::time::sleep(self.host.config().alerting.interval).await;
        }
    }

    /// One look at every rule; whether this process still leads.
    async fn tick(&mut self, token: u64) -> Result<bool, StoreError> {
        self.aside.look();
        let (alerts, config) = (self.host.alerts(), self.host.config());
        let Some(policies) = self.host.policies() else { return Ok(true) };
        let Some(seen) = alerts.store().lead(token).await? else { return Ok(false) };
        let (rules, fleet) = (policies.rules(), self.host.fleet());
        let measured = fleet.endpoints().await?;
        let until = Instant::now() + config.alerting.interval.max(LEAST_TICK);
        let figures = TickFigures::fetch(&fleet, &rules, &measured, until).await;
        // Policies may take their whole deadline, so they run off the async workers.
        let sight = Sight { figures: Arc::new(figures), limits: self.host.view() };
        let judging = tokio::task::spawn_blocking(move || judge(&rules, &measured, &sight, &seen));
        let mut changes = match judging.await {
            Ok(changes) => changes,
            Err(panic) => {
                tracing::error!(%panic, "a tick of the alert rules failed");
                return Ok(true);
            }
        };
        changes.keep = config.alerting.history;
        for intent in &changes.intents {
            tracing::info!(title = intent.notification.title(), "alert");
        }
        let Some(open) = alerts.store().write(token, changes).await? else { return Ok(false) };
        self.deliveries.send(alerts, open).await;
        Ok(true)
    }

    /// Stops sending: the next leader does it.
    pub async fn deposed(&mut self) {
        self.deliveries.stop().await;
        self.away.led();
    }

    /// Waits until messages on their way have arrived.
    pub async fn arrive(&mut self) {
        self.deliveries.arrive().await;
        self.away.arrive().await;
        self.aside.arrive().await;
    }

    pub const fn is_away(&self) -> bool {
        self.away.is_away()
    }

    /// Redis gave no answer.
    pub fn away(&mut self, error: &StoreError) {
        self.away.gone(error);
    }

    /// Redis answers.
    pub fn back(&mut self) {
        self.away.back();
    }
}
