//! The background tasks of a host: alerting, leader election and metric flushes.

#[cfg_attr(not(feature = "policies"), path = "no_alerting.rs")]
mod alerting;
mod flush;
mod leader;
#[cfg(feature = "policies")]
mod quarantine_alert;
#[cfg(feature = "policies")]
mod redis_alert;
#[cfg(feature = "policies")]
mod stats;
#[cfg(feature = "policies")]
mod system_notifier;

use std::future::Future;

use tokio::sync::watch;

use crate::Host;

impl Host {
    /// Runs the background tasks of the host until `stop` completes and the notifications in progress have been sent.
    ///
    /// It evaluates the alert rules every `[alerting] interval` and sends notifications. Every `[metrics] flush_interval`, and
    /// at the end, it exports the counts of this process to the shared metrics. Of the processes that share a Redis,
    /// only the leader evaluates rules. Another process takes over within 2 s if the leader dies, and at once if it
    /// shuts down. Both intervals are read again for each tick, so a change of the configuration applies from the next
    /// tick.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let stop = async {
            stop.await;
            // An error means that all receivers were dropped, so there is nothing left to stop.
            let _ = stopping.send(true);
        };
        tokio::join!(stop, self.flush_metrics(stopped.clone()), self.lead(stopped));
    }
}

/// Waits until the host is asked to stop.
async fn stop_requested(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped, which also is a signal to stop.
    let _ = stopped.wait_for(|stop| *stop).await;
}
