//! The retry pipeline of one call: pass the limit, make an attempt, record it, classify a failure, wait, repeat.

use std::time::Duration;

use tidegate_core::clock::millis;
use tidegate_core::{Allowed, Class, Failure, Outcome, Refusal, Verdict};

use crate::admission::Admitted;
use crate::advice::Advice;
use crate::host::Host;
use crate::{Limiter, Recorder};

/// The attempt that the caller's closure makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The number of the attempt; the first is 1.
    pub number: u32,
    /// The class of the previous attempt's failure.
    pub previous: Option<Class>,
}

/// An error that a retry policy can classify.
pub trait RetryableError {
    /// Describes the failure for the policies. The host fills in platform, endpoint, attempt and time.
    fn failure(&self) -> Failure;

    /// Returns whether the same call may be sent again after a failure of this class. The default is true.
    ///
    /// For a call that must not be executed twice, return true only for [`Class::Throttled`]: the platform rejected
    /// that call without executing it.
    fn may_repeat(&self, class: Option<Class>) -> bool {
        let _ = class;
        true
    }
}

impl RetryableError for Failure {
    fn failure(&self) -> Failure {
        self.clone()
    }
}

/// The error of a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E> {
    /// A limit refused the first attempt; nothing was sent.
    #[error("the rate limit of {platform} refused the call")]
    Refused {
        /// The platform.
        platform: String,
        /// The refusal of the limit.
        #[source]
        refusal: Refusal,
    },
    /// The last attempt failed, and no further attempt is made.
    #[error("gave up after {attempts} attempts")]
    GaveUp {
        /// The error of the last attempt.
        error: E,
        /// The verdict on that error.
        verdict: Verdict,
        /// The policy that returned the verdict, or `fallback`.
        by: String,
        /// The number of attempts.
        attempts: u32,
    },
}

/// A call to a platform, with retries; see [`Host::retry`].
#[must_use = "the call is made by `run`"]
pub struct Retry {
    pub(crate) host: Host,
    pub(crate) limiter: Limiter,
    /// The limits that apply in addition to the platform's own.
    pub(crate) extra_limits: Vec<(String, Limiter)>,
    pub(crate) platform: String,
    pub(crate) endpoint: String,
    pub(crate) cost: u64,
    pub(crate) wait: Duration,
    pub(crate) refreshes_credentials: bool,
}

impl Retry {
    /// Sets the endpoint under which the call is counted in the metrics. The default is `other`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Sets the number of tokens that each attempt takes from the limit. The default is 1.
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// Applies the decision of an admission policy: the cost and the limits.
    pub fn admitted(mut self, admitted: Admitted) -> Self {
        self.cost = admitted.cost.unwrap_or(self.cost);
        self.extra_limits = admitted.limits.into_iter().skip(1).collect();
        self
    }

    /// Sets how long the first attempt may wait for the limit. The default is 30 s.
    ///
    /// Later attempts may wait as long as the deadline of `[retry]` allows.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Declares that the closure renews its credentials when [`Attempt::previous`] is [`Class::Auth`].
    ///
    /// Without this, a failure of that class is never retried, because the same credentials would fail again.
    pub fn refreshes_credentials(mut self) -> Self {
        self.refreshes_credentials = true;
        self
    }

    /// Makes the call and retries it as the policies decide.
    ///
    /// # Errors
    /// Returns [`CallError::Refused`] if a limit refuses the first attempt. Returns [`CallError::GaveUp`] with the last
    /// error if the policy, the maximum number of attempts, the deadline or a limit does not allow another attempt.
    pub async fn run<T, E, F>(self, mut call: impl FnMut(Attempt) -> F) -> Result<T, CallError<E>>
    where
        E: RetryableError,
        F: Future<Output = Result<T, E>>,
    {
        let config = self.host.config();
        let recorder = self.host.metrics().recorder(&self.platform, &self.endpoint);
        let clock = self.host.clock();
        if let Err(refusal) = self.acquire_and_record(self.wait, &recorder).await {
            return Err(CallError::Refused { platform: self.platform, refusal });
        }
        let started = clock.now();
        let mut previous = None;
        for number in 1.. {
            let attempt_started = clock.now();
            let result = call(Attempt { number, previous }).await;
            let outcome = if result.is_ok() { Outcome::Success } else { Outcome::Error };
            recorder.record(outcome, clock.now() - attempt_started);
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let failure = self.describe(&error, number, millis(clock.now() - started));
            let Advice { verdict, by, delay } = self.host.advise(&failure, previous, self.refreshes_credentials);
            if let Some(delay) = delay.filter(|_| error.may_repeat(verdict.class)) {
                tokio::time::sleep(delay).await;
                let remaining = (started + config.retry_for(&self.platform).deadline) - clock.now();
                if self.acquire_and_record(remaining, &recorder).await.is_ok() {
                    previous = verdict.class;
                    continue;
                }
            }
            return Err(CallError::GaveUp { error, verdict, by, attempts: number });
        }
        unreachable!("the range of attempts has no end")
    }

    /// Takes the tokens of an attempt from the limits; records the call as limited if they refuse it.
    async fn acquire_and_record(&self, wait: Duration, recorder: &Recorder) -> Result<Allowed, Refusal> {
        self.acquire(wait).await.inspect_err(|_| recorder.record(Outcome::Limited, Duration::ZERO))
    }

    async fn acquire(&self, wait: Duration) -> Result<Allowed, Refusal> {
        if self.extra_limits.is_empty() {
            return self.limiter.acquire(self.cost, wait).await;
        }
        let mut limits = vec![(self.platform.clone(), self.limiter.clone())];
        limits.extend(self.extra_limits.iter().cloned());
        let admitted = Admitted { cost: Some(self.cost), limits, by: String::new() };
        let reserved = admitted.reserve(wait).await;
        reserved.map(|(remaining, _)| Allowed::new(remaining)).map_err(|(_, refusal)| refusal)
    }

    fn describe<E: RetryableError>(&self, error: &E, attempt: u32, elapsed_ms: u64) -> Failure {
        let (platform, endpoint) = (self.platform.clone(), self.endpoint.clone());
        let at_ms = self.host.clock().unix_ms();
        Failure { platform, endpoint, attempt, elapsed_ms, at_ms, ..error.failure() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn host() -> Host {
        Host::builder().config(tidegate_core::config::Config::with_platforms()).build().unwrap()
    }

    fn status(status: u16) -> Failure {
        Failure { status: Some(status), ..Failure::default() }
    }

    /// Runs a call whose attempts end with these statuses (200 is success). Returns its result, the number of attempts
    /// and the time it took.
    async fn run(statuses: &[u16], refreshes_credentials: bool) -> (Result<(), CallError<Failure>>, u32, Duration) {
        let (start, mut attempts) = (Instant::now(), 0);
        let mut retry = host().retry("jd").unwrap();
        retry.refreshes_credentials = refreshes_credentials;
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
        let failure = Failure { status: Some(429), retry_after_ms: Some(3_600_000), ..Failure::default() };
        let result: Result<(), _> = host().retry("jd").unwrap().run(|_| std::future::ready(Err(failure.clone()))).await;
        assert!(matches!(result, Err(CallError::GaveUp { attempts: 1, .. })));
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
        let retry = host.retry("jd").unwrap().endpoint("e").wait(Duration::ZERO);
        let result: Result<(), CallError<Failure>> = retry.run(async |_| unreachable!("the limit is exhausted")).await;
        assert!(matches!(result, Err(CallError::Refused { refusal: Refusal::Limited { .. }, .. })));
        assert_eq!(host.metrics().get("jd", Some("e"), Duration::from_secs(60)).limited, 1);
    }
}
