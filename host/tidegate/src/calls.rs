//! The calls of a host: retries, verdicts, advice and admissions.

use std::sync::Arc;

use tidegate_core::{Failure, Request};

use crate::admission::{AdmitError, Admitted, admit};
use crate::advice::{Advice, CallOptions, advise};
use crate::error::UnknownPlatform;
use crate::evaluator::Classification;
use crate::host::Host;
use crate::pipeline::Retry;

impl Host {
    /// Returns a call to a platform; [`Retry::run`] makes it and retries it.
    ///
    /// The bounds of the retries are those of the configuration at this moment; [`Retry::max_attempts`],
    /// [`Retry::deadline`] and [`Retry::backoff`] replace them.
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit for the platform.
    pub fn retry(&self, platform: &str) -> Result<Retry, UnknownPlatform> {
        Retry::new(Arc::clone(self.call_context()), platform)
    }

    /// Classifies a failed call: returns the verdict of the platform's policy, of `retry/default`, or of the fallback.
    ///
    /// A policy runs on tokio's blocking pool. If the future is dropped, the evaluation still ends, and its verdict is
    /// discarded.
    ///
    /// # Panics
    /// Panics if called outside of a tokio runtime.
    pub async fn classify(&self, failure: &Failure) -> Classification {
        self.call_context().policies.classify(Arc::new(failure.clone())).await
    }

    /// Decides whether to retry a failed attempt. The policies classify the failure as in [`Host::classify`]; the
    /// options of the call and the maximum number of attempts, the backoff and the deadline of the configuration apply
    /// to their verdict.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use tidegate::{CallOptions, Class, Config, Failure, Host};
    /// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    /// let down = Failure::response(503).with_platform("jd");
    /// let advice = host.advise(&down, CallOptions::default()).await;
    /// assert_eq!((advice.verdict.class, advice.delay().is_some()), (Some(Class::Transient), true));
    /// let advice = host.advise(&down, CallOptions::default().with_idempotent(false)).await;
    /// assert_eq!(advice.delay(), None, "the platform may have executed the call");
    /// # });
    /// ```
    ///
    /// # Panics
    /// Panics if called outside of a tokio runtime.
    pub async fn advise(&self, failure: &Failure, options: CallOptions) -> Advice {
        let context = self.call_context();
        advise(context, Arc::new(failure.clone()), options, &context.retry_config(&failure.platform)).await
    }

    /// Evaluates the admission policy of the request's platform and selects the limits that apply. It takes nothing
    /// from the limits.
    ///
    /// A policy runs on tokio's blocking pool; a platform without an admission policy needs no hop to it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use tidegate::{Config, Host, Request};
    /// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    /// let request = Request::new("pdd");
    /// let admitted = host.admit(&request).await?;
    /// assert_eq!((admitted.cost(), admitted.limits().count()), (1, 1));
    /// let reservations = admitted.reserve(std::time::Duration::ZERO).await.unwrap();
    /// reservations.cancel().await; // the request is not sent after all
    /// # Ok::<(), tidegate::AdmitError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Returns an error if a policy denied the request, or if the configuration has no limit for the platform.
    ///
    /// # Panics
    /// Panics if called outside of a tokio runtime.
    pub async fn admit(&self, request: &Request) -> Result<Admitted, AdmitError> {
        admit(self.call_context(), request).await
    }
}
