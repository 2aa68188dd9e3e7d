//! The background tasks of a host: alerting, leader election and metric flushes.

#[cfg_attr(not(feature = "policies"), path = "no_alerting.rs")]
mod alerting;
#[cfg(feature = "policies")]
mod builtin_alerts;
mod flush;
mod leader;
#[cfg(feature = "policies")]
mod stats;

use std::future::Future;

use tokio_util::sync::CancellationToken;

use crate::Host;

impl Host {
    /// Runs the background tasks of the host until `stop` completes and the notifications in progress have been sent.
    ///
    /// It evaluates the alert rules every `[alerting] interval` and sends notifications. Every
    /// `[metrics] flush_interval`, and at the end, it exports the counts of this process to the shared metrics. Of the
    /// processes that share a Redis, only the leader evaluates rules. Another process takes over within 2 s if the leader dies,
    /// and at once if it shuts down. Both intervals are read again for each tick, so a change of the configuration
    /// applies from the next tick. Without this call, no alert is raised, and the metrics of this process are not
    /// exported.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
    /// use tokio_util::sync::CancellationToken;
    /// let host = tidegate::Host::builder().build()?;
    /// let stop = CancellationToken::new();
    /// let background = tokio::spawn(host.clone().run(stop.clone().cancelled_owned()));
    /// // … the program uses the host
    /// stop.cancel();
    /// background.await.unwrap();
    /// # Ok::<(), tidegate::ConfigError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Panics if called outside of a tokio runtime.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let stopped = CancellationToken::new();
        let stop = async {
            stop.await;
            stopped.cancel();
        };
        tokio::join!(stop, self.flush_metrics(&stopped), self.lead(&stopped));
    }
}
