//! What a host does by itself.

#[cfg_attr(not(feature = "policies"), path = "silent.rs")]
mod alerting;
#[cfg(feature = "policies")]
mod aside;
#[cfg(feature = "policies")]
mod away;
#[cfg(feature = "policies")]
mod figures;
mod flush;
#[cfg(feature = "policies")]
mod herald;
mod leader;

use std::future::Future;

use tokio::sync::watch;

use crate::Host;

impl Host {
    /// Does all that a host does by itself, until `stop` ends and what is on its way has arrived.
    ///
    /// It judges the alert rules every `[alerting] interval` and tells people, and adds what it counted to the figures
    /// of all processes every `[metrics] flush` and at the end. Of the processes that share a Redis one judges; the
    /// others take over within 2 s of its death, and at once where it ends in order. Intervals are read anew each time,
    /// so an edit of the configuration is obeyed from the next tick on.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let stop = async {
            stop.await;
            // An error says that nobody listens any more, which is an end as well.
            let _ = stopping.send(true);
        };
        tokio::join!(stop, self.flush(stopped.clone()), self.lead(stopped));
    }
}

/// Ends when the host is asked to stop.
async fn ended(stopped: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which is an end as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}
