//! The story of one call: limit, attempt, measure, judge, wait, again.

use std::time::Duration;

use tidegate_core::clock::millis;
use tidegate_core::{Class, Decision, Failure, Outcome, Verdict};

use crate::admission::Admitted;
use crate::advice::Advice;
use crate::host::Host;
use crate::{Limiter, Recorder};

/// One attempt, as the caller's closure sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 is the first.
    pub number: u32,
    /// What was wrong with the one before.
    pub previous: Option<Class>,
}

/// An error that can be told to a retry policy.
pub trait Failed {
    /// The failure in plain values; platform, endpoint, attempt and time are filled in by the host.
    fn failure(&self) -> Failure;

    /// Whether the same call may be sent again after a failure of this class; yes unless said.
    ///
    /// A call that must not be carried out twice says no, except to [`Class::Throttled`]: that one was turned away.
    fn may_repeat(&self, class: Option<Class>) -> bool {
        let _ = class;
        true
    }
}

impl Failed for Failure {
    fn failure(&self) -> Failure {
        self.clone()
    }
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E> {
    /// The limit refused the first attempt; nothing was sent.
    #[error("refused by the limit of {platform}")]
    Refused {
        /// The platform.
        platform: String,
        /// What the limit said.
        decision: Decision,
    },
    /// The last attempt failed and no further one is made.
    #[error("gave up after {attempts} attempts")]
    GaveUp {
        /// The error of the last attempt.
        error: E,
        /// The verdict on it.
        verdict: Verdict,
        /// Which policy gave the verdict.
        by: String,
        /// How many attempts were made.
        attempts: u32,
    },
}

/// One call to a platform, to be made as often as is worth it; see [`Host::retry`].
#[must_use = "nothing is called before `run`"]
pub struct Retry {
    pub(crate) host: Host,
    pub(crate) limiter: Limiter,
    /// The limits that a call passes besides its platform's.
    pub(crate) further: Vec<(String, Limiter)>,
    pub(crate) platform: String,
    pub(crate) endpoint: String,
    pub(crate) cost: u64,
    pub(crate) wait: Duration,
    pub(crate) refreshes: bool,
}

impl Retry {
    /// The endpoint by which the call is measured.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// What one attempt costs of the limit; 1 unless said.
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// What an admission policy said of it: its cost, and the limits that it passes.
    pub fn admitted(mut self, admitted: Admitted) -> Self {
        self.cost = admitted.cost.unwrap_or(self.cost);
        self.further = admitted.limits.into_iter().skip(1).collect();
        self
    }

    /// How long the first attempt may wait for the limit; 30 s unless said.
    ///
    /// A retry may wait as long as the deadline of `[retry]` allows.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Says that the closure renews its credentials where [`Attempt::previous`] is [`Class::Auth`].
    ///
    /// Without it a failure of that class is never retried: the same credentials would fail again.
    pub fn refreshes_credentials(mut self) -> Self {
        self.refreshes = true;
        self
    }

    /// Makes the call, and again where it is worth it.
    ///
    /// # Errors
    /// [`CallError::Refused`] where the limit let nothing through in time, [`CallError::GaveUp`] with the last error
    /// where policy, attempts or deadline ended it.
    pub async fn run<T, E, F>(self, mut call: impl FnMut(Attempt) -> F) -> Result<T, CallError<E>>
    where
        E: Failed,
        F: Future<Output = Result<T, E>>,
    {
        let config = self.host.config();
        let recorder = self.host.metrics().recorder(&self.platform, &self.endpoint);
        let clock = self.host.clock();
        if let refusal @ (Decision::Limited { .. } | Decision::Never { .. }) = self.admit(self.wait, &recorder).await {
            return Err(CallError::Refused { platform: self.platform, decision: refusal });
        }
        let started = clock.now();
        let mut previous = None;
        for number in 1.. {
            let begun = clock.now();
            let result = call(Attempt { number, previous }).await;
            let outcome = if result.is_ok() { Outcome::Success } else { Outcome::Error };
            recorder.record(outcome, clock.now() - begun);
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let failure = self.tell(&error, number, millis(clock.now() - started));
            let Advice { verdict, by, delay } = self.host.advise(&failure, previous, self.refreshes);
            if let Some(delay) = delay.filter(|_| error.may_repeat(verdict.class)) {
                tokio::time::sleep(delay).await;
                let left = (started + config.retry.deadline) - clock.now();
                if self.admit(left, &recorder).await.is_allowed() {
                    previous = verdict.class;
                    continue;
                }
            }
            return Err(CallError::GaveUp { error, verdict, by, attempts: number });
        }
        unreachable!("attempts are counted up without end")
    }

    async fn admit(&self, wait: Duration, recorder: &Recorder) -> Decision {
        let decision = self.take(wait).await;
        if !decision.is_allowed() {
            recorder.record(Outcome::Limited, Duration::ZERO);
        }
        decision
    }

    async fn take(&self, wait: Duration) -> Decision {
        if self.further.is_empty() {
            return self.limiter.acquire(self.cost, wait).await;
        }
        let mut limits = vec![(self.platform.clone(), self.limiter.clone())];
        limits.extend(self.further.iter().cloned());
        match (Admitted { cost: Some(self.cost), limits, by: String::new() }).take(wait).await {
            Ok((remaining, _)) => Decision::Allowed { remaining },
            Err((_, refusal)) => refusal,
        }
    }

    fn tell<E: Failed>(&self, error: &E, attempt: u32, elapsed_ms: u64) -> Failure {
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
        Host::builder().build().unwrap()
    }

    fn status(status: u16) -> Failure {
        Failure { status: Some(status), ..Failure::default() }
    }

    /// Runs a call whose attempts end with these statuses (200 is success) and tells statuses seen and time taken.
    async fn run(answers: &[u16], refreshes: bool) -> (Result<(), CallError<Failure>>, u32, Duration) {
        let (start, mut made) = (Instant::now(), 0);
        let mut retry = host().retry("jd").unwrap();
        retry.refreshes = refreshes;
        let result = retry
            .run(|attempt| {
                made = attempt.number;
                let answer = answers[attempt.number as usize - 1];
                async move { if answer == 200 { Ok(()) } else { Err(status(answer)) } }
            })
            .await;
        (result, made, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn passing_trouble_is_retried_with_doubling_waits() {
        let (result, made, took) = run(&[503, 500, 200], false).await;
        assert!(result.is_ok());
        assert_eq!(made, 3);
        // 1 s ± 50 %, then 2 s ± 50 %.
        assert!((1_500..=4_502).contains(&took.as_millis()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_at_their_number() {
        let (result, made, _) = run(&[503; 20], false).await;
        assert!(matches!(result, Err(CallError::GaveUp { attempts, .. }) if attempts == made));
        assert_eq!(made, host().config().retry.max_attempts);
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_never_succeed_is_called_once() {
        for answer in [400, 403, 404] {
            let (result, made, took) = run(&[answer, 200], false).await;
            assert!(matches!(result, Err(CallError::GaveUp { attempts: 1, .. })), "{answer}");
            assert_eq!((made, took), (1, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_deadline_ends_the_call_at_once() {
        let start = Instant::now();
        let asked = Failure { status: Some(429), retry_after_ms: Some(3_600_000), ..Failure::default() };
        let result: Result<(), _> = host().retry("jd").unwrap().run(|_| std::future::ready(Err(asked.clone()))).await;
        assert!(matches!(result, Err(CallError::GaveUp { attempts: 1, .. })));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_pass_the_limiter_again() {
        let host = host();
        let limiter = host.limiter("jd").unwrap();
        limiter
            .update(tidegate_core::Quota::new(tidegate_core::Rate::parse("1/10s").unwrap(), 1).unwrap())
            .await
            .unwrap();
        let start = Instant::now();
        let retry = host.retry("jd").unwrap();
        let result =
            retry.run(async |attempt: Attempt| if attempt.number < 3 { Err(status(503)) } else { Ok(()) }).await;
        assert!(result.is_ok());
        assert!(start.elapsed() >= Duration::from_secs(20), "three calls at one in ten seconds: {:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_limit_refuses_without_a_call() {
        let host = host();
        let limiter = host.limiter("jd").unwrap();
        let _ = limiter.check(limiter.quota().burst()).await;
        let retry = host.retry("jd").unwrap().endpoint("e").wait(Duration::ZERO);
        let result: Result<(), CallError<Failure>> = retry.run(async |_| unreachable!("the limit is full")).await;
        assert!(matches!(result, Err(CallError::Refused { decision: Decision::Limited { .. }, .. })));
        assert_eq!(host.metrics().get("jd", Some("e"), Duration::from_secs(60)).limited, 1);
    }
}
