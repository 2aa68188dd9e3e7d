//! The decision whether and when to retry a failed call. The retry pipeline and the HTTP API share it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::RetryConfig;
use tidegate_core::{Action, Class, Failure, Verdict, may_repeat};

use crate::context::CallContext;
use crate::evaluator::Classification;
use crate::limit_set::LimitRefused;

/// The decision on a failed attempt; see [`Host::advise`](crate::Host::advise).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Advice {
    /// The verdict of the policy.
    pub verdict: Verdict,
    /// The file of the policy that returned the verdict, or `fallback`.
    pub policy: Arc<str>,
    /// Whether to retry, and when.
    pub next: NextStep,
}

/// What to do after a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Make another attempt after this delay.
    Retry(Duration),
    /// Make no further attempt.
    GiveUp(GiveUpReason),
}

/// Why a failed call is not retried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUpReason {
    /// The policy advised against another attempt.
    Verdict,
    /// The platform rejected the credentials, and the call has not renewed them since.
    Credentials,
    /// The call is not idempotent, and the platform may have executed it.
    NotIdempotent,
    /// The maximum number of attempts was made.
    MaxAttempts,
    /// The next attempt would start after the deadline.
    Deadline,
    /// A limit refused the next attempt. Only [`Retry::run`](crate::Retry::run) gives up for this reason.
    Limit(LimitRefused),
}

impl GiveUpReason {
    /// Returns the name of the reason, such as `max_attempts`, for data that programs read.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Credentials => "credentials",
            Self::NotIdempotent => "not_idempotent",
            Self::MaxAttempts => "max_attempts",
            Self::Deadline => "deadline",
            Self::Limit(_) => "limit",
        }
    }
}

/// Writes the reason in a few words, for a log or an error message.
impl fmt::Display for GiveUpReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verdict => "the policy advised against another attempt",
            Self::Credentials => "the credentials were rejected",
            Self::NotIdempotent => "the platform may have executed the call, which is not idempotent",
            Self::MaxAttempts => "the maximum number of attempts was made",
            Self::Deadline => "the next attempt would start after the deadline",
            Self::Limit(refused) => return write!(f, "limit {:?} refused the next attempt", refused.limit),
        })
    }
}

/// What a policy does not know about a call: whether and how it may be repeated.
///
/// ```
/// use tidegate::CallOptions;
/// let options = CallOptions::default().with_idempotent(false);
/// assert!(!options.idempotent && !options.refreshes_credentials);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// Whether the platform may execute the call twice. The default is true.
    pub idempotent: bool,
    /// Whether the caller renews its credentials after a failure of class `auth`. The default is false.
    pub refreshes_credentials: bool,
    /// The class of the previous attempt's failure; `None` after the first attempt.
    pub previous_class: Option<Class>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { idempotent: true, refreshes_credentials: false, previous_class: None }
    }
}

impl CallOptions {
    /// Sets whether the platform may execute the call twice.
    #[must_use]
    pub const fn with_idempotent(self, idempotent: bool) -> Self {
        Self { idempotent, ..self }
    }

    /// Sets whether the caller renews its credentials after a failure of class `auth`.
    #[must_use]
    pub const fn with_refreshes_credentials(self, refreshes_credentials: bool) -> Self {
        Self { refreshes_credentials, ..self }
    }

    /// Sets the class of the previous attempt's failure.
    #[must_use]
    pub const fn with_previous_class(self, class: Class) -> Self {
        Self { previous_class: Some(class), ..self }
    }
}

impl Advice {
    /// Returns how long to wait before the next attempt; `None` if no further attempt should be made.
    #[must_use]
    pub const fn delay(&self) -> Option<Duration> {
        match self.next {
            NextStep::Retry(delay) => Some(delay),
            NextStep::GiveUp(_) => None,
        }
    }
}

/// Classifies a failed attempt and applies the options of the call and the bounds of `[retry]` to the verdict.
pub async fn advise(
    context: &CallContext,
    failure: Arc<Failure>,
    options: CallOptions,
    bounds: &RetryConfig,
) -> Advice {
    let Classification { verdict, policy, .. } = context.policies.classify(Arc::clone(&failure)).await;
    let next = next_step(&verdict, &failure, options, bounds, rand::random());
    Advice { verdict, policy, next }
}

/// Decides what to do after a failed attempt. `random` is a random number from 0 to 1.
fn next_step(
    verdict: &Verdict,
    failure: &Failure,
    options: CallOptions,
    bounds: &RetryConfig,
    random: f64,
) -> NextStep {
    let is_auth = verdict.class == Some(Class::Auth);
    let reason = if verdict.action != Action::Retry {
        GiveUpReason::Verdict
    } else if is_auth && (!options.refreshes_credentials || options.previous_class == Some(Class::Auth)) {
        GiveUpReason::Credentials
    } else if !may_repeat(options.idempotent, verdict.class, failure.kind) {
        GiveUpReason::NotIdempotent
    } else if failure.attempt >= bounds.max_attempts {
        GiveUpReason::MaxAttempts
    } else {
        let delay = delay(verdict, failure.attempt, bounds, random);
        if Duration::from_millis(failure.elapsed_ms).saturating_add(delay) <= bounds.deadline {
            return NextStep::Retry(delay);
        }
        GiveUpReason::Deadline
    };
    NextStep::GiveUp(reason)
}

/// Returns the backoff, or the wait that the platform requested if that is longer.
///
/// A requested wait is never shortened, because the platform would refuse an earlier call again. Some jitter is added,
/// so that callers with the same requested wait do not all retry at the same time.
fn delay(verdict: &Verdict, attempt: u32, bounds: &RetryConfig, random: f64) -> Duration {
    let backoff = bounds.backoff.delay(attempt, random);
    match verdict.after_ms.map(Duration::from_millis) {
        Some(requested) if requested > backoff => {
            requested + bounds.backoff.base_delay().mul_f64(bounds.backoff.jitter() * random)
        }
        _ => backoff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> RetryConfig {
        tidegate_core::config::Config::default().retry
    }

    #[test]
    fn a_requested_wait_longer_than_the_backoff_is_not_shortened() {
        let bounds = bounds();
        let requested = Verdict::retry(Class::Throttled).with_delay(Duration::from_secs(40));
        for random in [0.0, 0.5, 0.999] {
            let delay = delay(&requested, 1, &bounds, random);
            assert!(delay >= Duration::from_secs(40) && delay <= Duration::from_secs(41), "{delay:?}");
        }
        let shorter = Verdict::retry(Class::Throttled).with_delay(Duration::from_millis(1));
        assert_eq!(delay(&shorter, 1, &bounds, 0.5), bounds.backoff.base_delay());
    }

    #[test]
    fn every_reason_to_give_up_has_its_case() {
        let (throttled, auth) = (Verdict::retry(Class::Throttled), Verdict::retry(Class::Auth));
        let transient = Verdict::retry(Class::Transient);
        let (any, fresh) = (CallOptions::default(), CallOptions::default().with_refreshes_credentials(true));
        let once = CallOptions::default().with_idempotent(false);
        let (first, last) = (Failure::default(), Failure::default().with_attempt(3));
        let (late, silent) = (Failure::default().with_elapsed(Duration::from_millis(9_500)), Failure::timeout());
        let cases = [
            (&transient, &first, any, None),
            (&Verdict::give_up(Class::Transient), &first, any, Some(GiveUpReason::Verdict)),
            (&auth, &first, any, Some(GiveUpReason::Credentials)),
            (&auth, &first, fresh, None),
            (&auth, &first, fresh.with_previous_class(Class::Auth), Some(GiveUpReason::Credentials)),
            (&transient, &first, once, Some(GiveUpReason::NotIdempotent)),
            (&throttled, &first, once, None),
            (&throttled, &silent, once, Some(GiveUpReason::NotIdempotent)),
            (&transient, &last, any, Some(GiveUpReason::MaxAttempts)),
            (&transient, &late, any, Some(GiveUpReason::Deadline)),
        ];
        let mut bounds = bounds();
        (bounds.max_attempts, bounds.deadline) = (3, Duration::from_secs(10));
        for (verdict, failure, options, expected) in cases {
            let reason = match next_step(verdict, failure, options, &bounds, 0.5) {
                NextStep::Retry(_) => None,
                NextStep::GiveUp(reason) => Some(reason),
            };
            assert_eq!(reason, expected, "{verdict:?} {failure:?} {options:?}");
        }
    }
}
