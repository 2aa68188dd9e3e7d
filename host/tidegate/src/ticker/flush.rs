//! Export of this process's counts to the shared metric store.

use std::sync::Arc;

use tidegate_core::store::MetricStore;
use tokio_util::sync::CancellationToken;

use crate::Host;

/// The maximum fraction of the interval by which a flush comes early, so that processes that start together do not all
/// flush at the same time.
const JITTER: f64 = 0.2;

impl Host {
    /// Flushes every `[metrics] flush_interval`, minus a random jitter, and once at the end.
    pub(super) async fn flush_metrics(&self, stopped: &CancellationToken) {
        let Some(store) = self.fleet_metrics().shared else { return };
        loop {
            let pause = self.config().metrics.flush_interval.mul_f64(1.0 - JITTER * rand::random::<f64>());
            let stop = stopped.run_until_cancelled(tokio::time::sleep(pause)).await.is_none();
            self.flush_once(&store).await;
            if stop {
                return;
            }
        }
    }

    /// Flushes once, in a separate task, so that a panic does not end all later flushes.
    async fn flush_once(&self, store: &Arc<dyn MetricStore>) {
        let (store, deltas) = (Arc::clone(store), self.metrics().take_pending());
        let task = tokio::spawn(async move { store.add(deltas).await });
        match task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "metric flush failed, retrying at the next flush"),
            Err(panic) => tracing::error!(%panic, "metric flush panicked"),
        }
    }
}
