//! The blocking retry pipeline.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{BackgroundRuntime, BlockingError};
use crate::{Attempt, RetryableError};

/// A call to a platform, with retries; see [`crate::Retry`].
#[must_use = "the call is made by `run`"]
pub struct BlockingRetry {
    pub(super) inner: crate::Retry,
    pub(super) background: Arc<BackgroundRuntime>,
}

/// The error of a call.
#[derive(Debug, thiserror::Error)]
pub enum BlockingCallError<E> {
    /// The limit refused the call, or its last attempt failed.
    #[error(transparent)]
    Failed(crate::CallError<E>),
    /// The call could not be made from this thread.
    #[error(transparent)]
    Blocking(BlockingError),
}

impl BlockingRetry {
    /// Sets the endpoint under which the call is counted in the metrics. The default is `other`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.inner = self.inner.endpoint(endpoint);
        self
    }

    /// Sets the number of tokens that each attempt takes from the limit. The default is 1.
    pub fn cost(mut self, cost: u64) -> Self {
        self.inner = self.inner.cost(cost);
        self
    }

    /// Sets how long the first attempt may wait for the limit. The default is 30 s.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.inner = self.inner.wait(wait);
        self
    }

    /// Declares that the closure renews its credentials after a failure of class `auth`.
    pub fn refreshes_credentials(mut self) -> Self {
        self.inner = self.inner.refreshes_credentials();
        self
    }

    /// Makes the call on this thread and retries it as the policies decide. The closure may block and use other
    /// services of the host.
    ///
    /// # Errors
    /// Returns the errors of [`crate::Retry::run`], and an error if called inside an async runtime.
    pub fn run<T, E: RetryableError>(
        self,
        mut call: impl FnMut(Attempt) -> Result<T, E>,
    ) -> Result<T, BlockingCallError<E>> {
        let (attempt_sender, mut attempts) = mpsc::unbounded_channel();
        let (result_sender, results) = mpsc::unbounded_channel();
        let results = tokio::sync::Mutex::new(results);
        let mut running = pin!(self.inner.run(|attempt| {
            // Both ends of each channel live in this function, so neither channel is closed here.
            let _ = attempt_sender.send(attempt);
            async {
                match results.lock().await.recv().await {
                    Some(result) => result,
                    None => std::future::pending().await,
                }
            }
        }));
        loop {
            // The closure runs between two waits, outside the context of the runtime, so it may block.
            let step = self.background.wait(async {
                tokio::select! {
                    biased;
                    Some(attempt) = attempts.recv() => CallStep::Attempt(attempt),
                    result = &mut running => CallStep::Finished(result),
                }
            });
            match step.map_err(BlockingCallError::Blocking)? {
                CallStep::Attempt(attempt) => drop(result_sender.send(call(attempt))),
                CallStep::Finished(result) => return result.map_err(BlockingCallError::Failed),
            }
        }
    }
}

/// The next step of a call.
enum CallStep<T, E> {
    Attempt(Attempt),
    Finished(Result<T, crate::CallError<E>>),
}
