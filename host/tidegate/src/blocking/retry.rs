//! Calls from threads that may block.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Engine, Error};
use crate::{Attempt, Failed};

/// One call to a platform; see [`crate::Retry`].
#[must_use = "nothing is called before `run`"]
pub struct Retry {
    pub(super) inner: crate::Retry,
    pub(super) engine: Arc<Engine>,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E> {
    /// The limit refused it, or it failed for good.
    #[error(transparent)]
    Ended(crate::CallError<E>),
    /// It could not be made here.
    #[error(transparent)]
    Misplaced(Error),
}

impl Retry {
    /// The endpoint by which the call is measured.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.inner = self.inner.endpoint(endpoint);
        self
    }

    /// What one attempt costs of the limit; 1 unless said.
    pub fn cost(mut self, cost: u64) -> Self {
        self.inner = self.inner.cost(cost);
        self
    }

    /// How long the first attempt may wait for the limit; 30 s unless said.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.inner = self.inner.wait(wait);
        self
    }

    /// Says that the closure renews its credentials after a failure of class `auth`.
    pub fn refreshes_credentials(mut self) -> Self {
        self.inner = self.inner.refreshes_credentials();
        self
    }

    /// Makes the call on this thread, and again where it is worth it; the closure may block and use other services.
    ///
    /// # Errors
    /// As [`crate::Retry::run`], and inside an async runtime.
    pub fn run<T, E: Failed>(self, mut call: impl FnMut(Attempt) -> Result<T, E>) -> Result<T, CallError<E>> {
        let (ask, mut asked) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let answers = tokio::sync::Mutex::new(answers);
        let mut running = pin!(self.inner.run(|attempt| {
            // Both ends live in this function, so neither channel can be closed here.
            let _ = ask.send(attempt);
            async {
                match answers.lock().await.recv().await {
                    Some(result) => result,
                    None => std::future::pending().await,
                }
            }
        }));
        loop {
            // The closure runs between two waits, outside the runtime's context: there it may block as it likes.
            let step = self.engine.wait(async {
                tokio::select! {
                    biased;
                    Some(attempt) = asked.recv() => Step::Attempt(attempt),
                    ended = &mut running => Step::Ended(ended),
                }
            });
            match step.map_err(CallError::Misplaced)? {
                Step::Attempt(attempt) => drop(answer.send(call(attempt))),
                Step::Ended(ended) => return ended.map_err(CallError::Ended),
            }
        }
    }
}

/// What the story of a call comes to next.
enum Step<T, E> {
    Attempt(Attempt),
    Ended(Result<T, crate::CallError<E>>),
}
