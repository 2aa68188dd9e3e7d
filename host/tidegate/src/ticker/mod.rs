//! What a host does by itself: the story of one tick (windows, snapshots, verdicts, messages), and of every flush.

#[cfg(feature = "policies")]
mod alerting;
#[cfg(feature = "policies")]
mod figures;
mod flush;

use std::future::Future;

use tokio::sync::watch;

use crate::Host;

impl Host {
    /// Does all that a host does by itself, until `stop` ends and what is on its way has arrived: judges the alert
    /// rules every `[alerting] interval` and tells people; adds what it counted to the figures of all processes every
    /// `[metrics] flush` and at the end.
    ///
    /// The interval is read anew each time, so an edit of the configuration is obeyed from the next tick on.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let stop = async {
            stop.await;
            // An error says that nobody listens any more, which is an end as well.
            let _ = stopping.send(true);
        };
        tokio::join!(stop, self.flush(stopped.clone()), self.lead(stopped));
    }

    #[cfg(not(feature = "policies"))]
    async fn lead(&self, mut stopped: watch::Receiver<bool>) {
        ended(&mut stopped).await;
    }
}

/// Ends when the host is asked to stop.
async fn ended(stopped: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which is an end as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}
