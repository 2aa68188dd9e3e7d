//! The retry pipeline of one call: pass the limits, make an attempt, record it, classify a failure, wait, repeat.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::RetryConfig;
use tidegate_core::{Backoff, Class, Failure, Outcome};

use crate::admission::Admitted;
use crate::advice::{Advice, CallOptions, GiveUpReason, NextStep, advise};
use crate::call_error::{CallError, RetryableError};
use crate::context::CallContext;
use crate::error::UnknownPlatform;
use crate::limit_set::{LimitRefused, LimitSet};
use crate::limiter::MAX_WAIT;
use crate::metrics::{OTHER_ENDPOINT, Recorder};

/// The attempt that the caller's closure makes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The number of the attempt; the first is 1.
    pub number: u32,
    /// The class of the previous attempt's failure.
    pub previous_class: Option<Class>,
}

/// A call to a platform, with retries; see [`Host::retry`](crate::Host::retry).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use std::time::Duration;
/// use tidegate::{Config, Failure, Host};
/// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
/// let order = host.retry("jd")?.endpoint("orders.create").idempotent(false).max_attempts(2).max_wait(Duration::ZERO);
/// let down = Failure::response(503);
/// let error = order.run(async |_| Err::<(), _>(down.clone())).await.unwrap_err();
/// assert_eq!(error.attempts(), 1, "the platform may have created the order");
/// # Ok::<(), tidegate::UnknownPlatform>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "the call is made by `run`"]
pub struct Retry {
    context: Arc<CallContext>,
    platform: String,
    endpoint: String,
    limits: LimitSet,
    cost: u64,
    max_wait: Duration,
    options: CallOptions,
    bounds: RetryConfig,
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { platform, endpoint, limits, cost, max_wait, options, bounds, .. } = self;
        f.debug_struct("Retry")
            .field("platform", platform)
            .field("endpoint", endpoint)
            .field("limits", &limits.names().collect::<Vec<_>>())
            .field("cost", cost)
            .field("max_wait", max_wait)
            .field("options", options)
            .field("bounds", bounds)
            .finish_non_exhaustive()
    }
}

impl Retry {
    pub(crate) fn new(context: Arc<CallContext>, platform: &str) -> Result<Self, UnknownPlatform> {
        Ok(Self {
            limits: LimitSet::new(platform, context.limiters.get(platform)?),
            bounds: context.retry_config(platform),
            context,
            platform: platform.to_owned(),
            endpoint: OTHER_ENDPOINT.to_owned(),
            cost: 1,
            max_wait: MAX_WAIT,
            options: CallOptions::default(),
        })
    }

    /// Sets the endpoint under which the call is counted in the metrics. The default is `other`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Sets the number of tokens that each attempt takes from the limits. The default is 1.
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// Applies the decision of an admission policy: the cost and the limits.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use tidegate::{Config, Failure, Host, Request};
    /// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    /// let request = Request::new("pdd").with_endpoint("orders");
    /// let admitted = host.admit(&request).await.unwrap();
    /// let call = host.retry("pdd").unwrap().endpoint("orders").admitted(admitted);
    /// assert_eq!(call.run(async |_| Ok::<_, Failure>("an order")).await.unwrap(), "an order");
    /// # });
    /// ```
    pub fn admitted(mut self, admitted: Admitted) -> Self {
        self.cost = admitted.cost.unwrap_or(self.cost);
        self.limits = admitted.limits;
        self
    }

    /// Sets how long the first attempt may wait for the limits. The default is 30 s.
    ///
    /// Later attempts may wait until the [`deadline`](Self::deadline).
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Sets the maximum number of attempts of this call, including the first, which is always made. The default is
    /// `max_attempts` of the configuration.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.bounds.max_attempts = max_attempts;
        self
    }

    /// Sets the maximum time from the start of the first attempt to the start of the last one. The default is
    /// `deadline` of the configuration.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.bounds.deadline = deadline;
        self
    }

    /// Sets the delays between attempts of this call. The default is the backoff of the configuration.
    ///
    /// A longer wait that the platform requires replaces the backoff.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.bounds.backoff = backoff;
        self
    }

    /// Sets whether the platform may execute the call twice. The default is true.
    ///
    /// A call that is not idempotent is retried only after a response of class `throttled`, because then the platform
    /// did not execute it.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.options.idempotent = idempotent;
        self
    }

    /// Sets whether the closure renews its credentials when [`Attempt::previous_class`] is [`Class::Auth`]. The default
    /// is false.
    ///
    /// If false, a failure of that class is never retried, because the same credentials would fail again.
    pub fn refreshes_credentials(mut self, refreshes_credentials: bool) -> Self {
        self.options.refreshes_credentials = refreshes_credentials;
        self
    }

    /// Makes the call and retries it as the policies decide.
    ///
    /// Dropping the future cancels the call: a wait for the limits returns its tokens, and an evaluation of a policy
    /// that is running ends by itself.
    ///
    /// # Errors
    /// Returns [`CallError::Refused`] if a limit refuses the first attempt. Returns [`CallError::GaveUp`] with the last
    /// error if the policy, the maximum number of attempts, the deadline or a limit does not allow another attempt.
    ///
    /// # Panics
    /// Panics if called outside of a tokio runtime.
    pub async fn run<T, E, F>(self, call: impl FnMut(Attempt) -> F) -> Result<T, CallError<E>>
    where
        E: RetryableError,
        F: Future<Output = Result<T, E>>,
    {
        self.run_with(E::failure, call).await
    }

    /// Makes the call like [`Retry::run`], with a function that describes errors for the policies. Use it for the error
    /// types of other crates.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// use std::io::{Error, ErrorKind};
    /// use tidegate::{Config, Failure, Host};
    /// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    /// let describe = |error: &Error| match error.kind() {
    ///     ErrorKind::TimedOut => Failure::timeout().with_message(error.to_string()),
    ///     _ => Failure::connection().with_message(error.to_string()),
    /// };
    /// let result = host.retry("jd").unwrap().run_with(describe, async |attempt| match attempt.number {
    ///     1 => Err(Error::from(ErrorKind::TimedOut)),
    ///     _ => Ok("an order"),
    /// });
    /// assert_eq!(result.await.unwrap(), "an order");
    /// # });
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`Retry::run`].
    ///
    /// # Panics
    /// Panics if called outside of a tokio runtime.
    pub async fn run_with<T, E, F>(
        self,
        describe: impl Fn(&E) -> Failure,
        mut call: impl FnMut(Attempt) -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let (context, mut options) = (&self.context, self.options);
        let clock = &*context.clock;
        let recorder = context.metrics.recorder(&self.platform, &self.endpoint);
        if let Err(refused) = self.acquire_and_record(self.max_wait, &recorder).await {
            return Err(CallError::Refused { platform: self.platform, refused });
        }
        let started_at = clock.now();
        for number in 1.. {
            let attempt_started_at = clock.now();
            let result = call(Attempt { number, previous_class: options.previous_class }).await;
            let outcome = if result.is_ok() { Outcome::Success } else { Outcome::Error };
            recorder.record(outcome, clock.now() - attempt_started_at);
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let failure = Arc::new(self.describe(describe(&error), number, clock.now() - started_at));
            let Advice { verdict, policy, next } = advise(context, failure, options, &self.bounds).await;
            let reason = match next {
                NextStep::GiveUp(reason) => reason,
                NextStep::Retry(delay) => {
                    tokio::time::sleep(delay).await;
                    let remaining = (started_at + self.bounds.deadline) - clock.now();
                    match self.acquire_and_record(remaining, &recorder).await {
                        Ok(()) => {
                            options.previous_class = verdict.class;
                            continue;
                        }
                        Err(refused) => GiveUpReason::Limit(refused),
                    }
                }
            };
            return Err(CallError::GaveUp { error, verdict, policy, reason, attempts: number });
        }
        unreachable!("the range of attempts has no end")
    }

    /// Takes the tokens of an attempt from the limits; records the call as limited if one refuses it.
    async fn acquire_and_record(&self, timeout: Duration, recorder: &Recorder) -> Result<(), LimitRefused> {
        let acquired = self.limits.acquire(self.cost, timeout).await;
        acquired.map(drop).inspect_err(|_| recorder.record(Outcome::Limited, Duration::ZERO))
    }

    /// Adds what the host knows to a failure.
    fn describe(&self, failure: Failure, attempt: u32, elapsed: Duration) -> Failure {
        let (platform, endpoint) = (self.platform.clone(), self.endpoint.clone());
        let at_ms = self.context.clock.unix_ms();
        failure
            .with_platform(platform)
            .with_endpoint(endpoint)
            .with_attempt(attempt)
            .with_elapsed(elapsed)
            .with_at_ms(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::Host;

    fn host() -> Host {
        Host::builder().config(tidegate_core::config::Config::with_platforms()).build().unwrap()
    }

    fn status(status: u16) -> Failure {
        Failure::response(status)
    }

    /// Runs a call whose attempts end with these statuses (200 is success). Returns its result, the number of attempts
    /// and the time it took.
    async fn run(statuses: &[u16], refreshes_credentials: bool) -> (Result<(), CallError<Failure>>, u32, Duration) {
        let (start, mut attempts) = (Instant::now(), 0);
        let retry = host().retry("jd").unwrap().refreshes_credentials(refreshes_credentials);
        let result = retry
            .run(|attempt| {
                attempts = attempt.number;
                let code = statuses[attempt.number as usize - 1];
                async move { if code == 200 { Ok(()) } else { Err(status(code)) } }
            })
            .await;
        (result, attempts, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_retried_with_exponential_backoff() {
        let (result, attempts, took) = run(&[503, 500, 200], false).await;
        assert!(result.is_ok());
        assert_eq!(attempts, 3);
        // 1 s ± 50 %, then 2 s ± 50 %.
        assert!((1_500..=4_502).contains(&took.as_millis()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn retries_stop_at_max_attempts() {
        let (result, made, _) = run(&[503; 20], false).await;
        assert!(matches!(result, Err(CallError::GaveUp { attempts, .. }) if attempts == made));
        assert_eq!(made, host().config().retry.max_attempts);
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_failures_are_not_retried() {
        for code in [400, 403, 404] {
            let (result, attempts, took) = run(&[code, 200], false).await;
            assert!(matches!(result, Err(CallError::GaveUp { attempts: 1, .. })), "{code}");
            assert_eq!((attempts, took), (1, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_requested_wait_beyond_the_deadline_ends_the_call_at_once() {
        let start = Instant::now();
        let failure = Failure::response(429).with_retry_after(Duration::from_millis(3_600_000));
        let result: Result<(), _> = host().retry("jd").unwrap().run(|_| std::future::ready(Err(failure.clone()))).await;
        let error = result.unwrap_err();
        assert_eq!((error.attempts(), error.retry_after()), (1, Some(Duration::from_secs(3_600))));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_also_pass_the_limit() {
        let host = host();
        let limiter = host.limiter("jd").unwrap();
        limiter.update(tidegate_core::Quota::new("1/10s".parse().unwrap(), 1).unwrap()).await.unwrap();
        let start = Instant::now();
        let retry = host.retry("jd").unwrap();
        let result =
            retry.run(async |attempt: Attempt| if attempt.number < 3 { Err(status(503)) } else { Ok(()) }).await;
        assert!(result.is_ok());
        assert!(
            start.elapsed() >= Duration::from_secs(20),
            "three calls at one per ten seconds: {:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_limit_refuses_before_the_first_attempt() {
        let host = host();
        let limiter = host.limiter("jd").unwrap();
        let _ = limiter.check(limiter.quota().burst()).await;
        let retry = host.retry("jd").unwrap().endpoint("e").max_wait(Duration::ZERO);
        let result: Result<(), CallError<Failure>> = retry.run(async |_| unreachable!("the limit is exhausted")).await;
        let error = result.unwrap_err();
        assert!(error.is_refused() && error.retry_after().is_some() && !error.is_permanent(), "{error:?}");
        assert_eq!(host.metrics().stats("jd", Some("e"), Duration::from_secs(60)).limited, 1);
    }

    /// Sets the bounds of a call.
    type SetBounds = fn(Retry) -> Retry;

    #[tokio::test(start_paused = true)]
    async fn bounds_of_a_call_replace_those_of_the_configuration() {
        let second = Duration::from_secs(1);
        let every = |delay| Backoff::new(delay, delay);
        // Each row: the bounds, the attempts that are made, and the seconds that they take.
        let rows: [(SetBounds, u32, u64); 5] = [
            (|retry| retry.max_attempts(2), 2, 5),
            (|retry| retry.max_attempts(0), 1, 0),
            (|retry| retry.max_attempts(9), 9, 40),
            (|retry| retry.max_attempts(9).deadline(Duration::from_secs(12)), 3, 10),
            (|retry| retry.max_attempts(9).deadline(Duration::ZERO), 1, 0),
        ];
        for (row, (bound, attempts, seconds)) in rows.into_iter().enumerate() {
            let start = Instant::now();
            let retry = bound(host().retry("jd").unwrap().backoff(every(5 * second)).deadline(60 * second));
            let error = retry.run(async |_| Err::<(), _>(status(503))).await.unwrap_err();
            assert_eq!((error.attempts(), start.elapsed().as_secs()), (attempts, seconds), "row {row}: {error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_is_not_idempotent_is_retried_only_after_it_was_rejected() {
        for (code, attempts) in [(503, 1), (429, 2)] {
            let retry = host().retry("jd").unwrap().idempotent(false).max_attempts(2);
            let error = retry.run(async |_| Err::<(), _>(status(code))).await.unwrap_err();
            assert_eq!(error.attempts(), attempts, "{code}");
        }
    }
}
