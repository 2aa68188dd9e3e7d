//! The blocking retry pipeline.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::Backoff;
use tokio::sync::mpsc;

use super::admission::BlockingAdmitted;
use super::error::BlockingError;
use super::runtime::BackgroundRuntime;
use crate::call_error::{CallError, RetryableError};
use crate::pipeline::{Attempt, Retry};

/// A call to a platform, with retries; see [`crate::Retry`].
///
/// ```
/// use tidegate::blocking::BlockingHost;
/// use tidegate::{Config, Failure, Host};
/// let host = BlockingHost::start(|| Host::builder().config(Config::with_platforms()).build())?;
/// let order = host.retry("jd")?.endpoint("orders.get").run(|_| Ok::<_, Failure>("an order"));
/// assert_eq!(order.unwrap(), "an order");
/// # Ok::<(), tidegate::blocking::BlockingError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "the call is made by `run`"]
pub struct BlockingRetry {
    pub(super) inner: Retry,
    pub(super) background: Arc<BackgroundRuntime>,
}

/// The error of a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingCallError<E> {
    /// The limit refused the call, or its last attempt failed.
    #[error(transparent)]
    Failed(CallError<E>),
    /// The call could not be made from this thread.
    #[error(transparent)]
    Blocking(BlockingError),
}

impl<E> BlockingCallError<E> {
    /// Returns the error of the call; `None` if the call could not be made from this thread.
    #[must_use]
    pub const fn call_error(&self) -> Option<&CallError<E>> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Blocking(_) => None,
        }
    }

    /// Returns how long to wait before the same call is made again, if that is known; see [`CallError::retry_after`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.call_error()?.retry_after()
    }
}

impl BlockingRetry {
    /// Sets the endpoint under which the call is counted in the metrics. The default is `other`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.inner = self.inner.endpoint(endpoint);
        self
    }

    /// Sets the number of tokens that each attempt takes from the limits. The default is 1.
    pub fn cost(mut self, cost: u64) -> Self {
        self.inner = self.inner.cost(cost);
        self
    }

    /// Applies the decision of an admission policy: the cost and the limits.
    pub fn admitted(mut self, admitted: BlockingAdmitted) -> Self {
        self.inner = self.inner.admitted(admitted.inner);
        self
    }

    /// Sets how long the first attempt may wait for the limits. The default is 30 s.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.inner = self.inner.max_wait(max_wait);
        self
    }

    /// Sets the maximum number of attempts of this call; see [`Retry::max_attempts`].
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.inner = self.inner.max_attempts(max_attempts);
        self
    }

    /// Sets the maximum time from the start of the first attempt to the start of the last one; see [`Retry::deadline`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.inner = self.inner.deadline(deadline);
        self
    }

    /// Sets the delays between attempts of this call; see [`Retry::backoff`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.inner = self.inner.backoff(backoff);
        self
    }

    /// Sets whether the platform may execute the call twice; see [`Retry::idempotent`].
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.inner = self.inner.idempotent(idempotent);
        self
    }

    /// Sets whether the closure renews its credentials after a failure of class `auth`; see
    /// [`Retry::refreshes_credentials`].
    pub fn refreshes_credentials(mut self, refreshes_credentials: bool) -> Self {
        self.inner = self.inner.refreshes_credentials(refreshes_credentials);
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
    Finished(Result<T, CallError<E>>),
}
