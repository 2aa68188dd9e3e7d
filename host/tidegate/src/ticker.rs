//! The story of one tick: windows, snapshots, verdicts, messages.

use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::Host;

impl Host {
    /// Judges the alert rules every `[alerting] interval` until `stop` ends, then lets messages on their way arrive.
    ///
    /// The interval is read anew each time, so an edit of the configuration is obeyed from the next tick on.
    pub async fn run_alerts(self, stop: impl Future<Output = ()>) {
        let mut delivering = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(self.config().alerting.interval) => {}
            }
            self.tick(&mut delivering).await;
            while delivering.try_join_next().is_some() {}
        }
        while delivering.join_next().await.is_some() {}
    }

    /// One look at every rule.
    async fn tick(&self, delivering: &mut JoinSet<()>) {
        let Some(policies) = &self.0.policies else { return };
        let (policies, host) = (Arc::clone(policies), self.clone());
        // Policies may take their whole deadline, so they run off the async workers.
        let judged = tokio::task::spawn_blocking(move || host.0.alerts.judge(&policies.rules(), host.metrics())).await;
        self.0.alerts.forget(self.config().alerting.history);
        match judged {
            Ok(due) => due.into_iter().for_each(|due| drop(delivering.spawn(self.0.alerts.clone().deliver(due)))),
            Err(panic) => tracing::error!(%panic, "a tick of the alert rules failed"),
        }
    }
}
