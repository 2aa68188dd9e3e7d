//! What this process counted goes to where the figures of all processes come together.

use std::sync::Arc;

use tidegate_core::store::MetricStore;
use tokio::sync::watch;

use super::ended;
use crate::Host;

/// The share of the interval by which a flush may come early, so that processes that start together spread.
const JITTER: f64 = 0.2;

impl Host {
    /// Flushes every `[metrics] flush`, a little earlier by chance, and once at the end.
    pub(super) async fn flush(&self, mut stopped: watch::Receiver<bool>) {
        let Some(store) = self.fleet().shared else { return };
        loop {
            let pause = self.config().metrics.flush.mul_f64(1.0 - JITTER * rand::random::<f64>());
            let stop = tokio::select! {
                () = ended(&mut stopped) => true,
                () = tokio::time::sleep(pause) => false,
            };
            self.flush_once(&store).await;
            if stop {
                return;
            }
        }
    }

    /// One flush, in a task of its own: a panic there must not end counting for good.
    async fn flush_once(&self, store: &Arc<dyn MetricStore>) {
        let (store, counted) = (Arc::clone(store), self.metrics().take_untold());
        let flushed = tokio::spawn(async move { store.add(counted).await });
        match flushed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "counts wait for the next flush"),
            Err(panic) => tracing::error!(%panic, "a flush failed"),
        }
    }
}
