//! The story of one tick: windows, snapshots, verdicts, messages.

use std::time::Duration;

use tidegate_core::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ended;
use super::figures::TickFigures;
use crate::Host;
use crate::alerts::{Deliveries, judge};

/// The least time that a tick has for its figures, however short the interval is.
const LEAST_TICK: Duration = Duration::from_secs(5);

impl Host {
    pub(super) async fn lead(&self, mut stopped: watch::Receiver<bool>) {
        let mut deliveries = Deliveries::default();
        loop {
            tokio::select! {
                () = ended(&mut stopped) => break,
                () = tokio::time::sleep(self.config().alerting.interval) => {}
            }
            if let Err(error) = self.tick(1, &mut deliveries).await {
                tracing::warn!(%error, "alert rules were not judged");
            }
        }
        deliveries.arrive().await;
    }

    /// One look at every rule; whether this leader still leads.
    async fn tick(&self, token: u64, deliveries: &mut Deliveries) -> Result<bool, StoreError> {
        let (alerts, config) = (&self.0.alerts, self.config());
        let Some(policies) = &self.0.policies else { return Ok(true) };
        let Some(seen) = alerts.store().lead(token).await? else { return Ok(false) };
        let (rules, fleet) = (policies.rules(), self.fleet());
        let measured = fleet.endpoints().await?;
        let until = Instant::now() + config.alerting.interval.max(LEAST_TICK);
        let figures = TickFigures::fetch(&fleet, &rules, &measured, until).await;
        // Policies may take their whole deadline, so they run off the async workers.
        let judging = tokio::task::spawn_blocking(move || judge(&rules, &measured, &figures, &seen));
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
        deliveries.send(alerts, open).await;
        Ok(true)
    }
}
