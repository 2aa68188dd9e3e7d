//! The decision whether and when to retry a failed call. The retry pipeline and the HTTP API share it.

use std::time::Duration;

use tidegate_core::config::RetryConfig;
use tidegate_core::{Action, Class, Failure, Verdict};

use crate::Host;

/// The decision on a failed attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The verdict of the policy.
    pub verdict: Verdict,
    /// The policy that returned the verdict, or `fallback`.
    pub by: String,
    /// How long to wait before the next attempt; `None` means not to retry.
    pub delay: Option<Duration>,
}

impl Host {
    /// Decides whether to retry a failed attempt. The policies classify the failure; the maximum number of attempts,
    /// the backoff and the deadline of `[retry]` apply to their verdict.
    ///
    /// `previous` is the class of the previous attempt's failure. `refreshes_credentials` is true if the caller renews
    /// its credentials after a failure of class `auth`; such a failure is retried only in this case, and only once.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use tidegate::{Class, Failure, Host};
    /// let host = Host::builder().build().unwrap();
    /// let down = Failure { platform: "jd".into(), status: Some(503), ..Failure::default() };
    /// let advice = host.advise(&down, None, false);
    /// assert_eq!((advice.verdict.class, advice.delay.is_some()), (Some(Class::Transient), true));
    /// assert_eq!(host.advise(&Failure { attempt: 100, ..down }, None, false).delay, None);
    /// # });
    /// ```
    #[must_use]
    pub fn advise(&self, failure: &Failure, previous: Option<Class>, refreshes_credentials: bool) -> Advice {
        let (verdict, by) = self.classify(failure);
        let config = self.config();
        let config = config.retry_for(&failure.platform);
        let is_auth = verdict.class == Some(Class::Auth);
        let would_fail_again = is_auth && (!refreshes_credentials || previous == Some(Class::Auth));
        if verdict.action != Action::Retry || would_fail_again || failure.attempt >= config.max_attempts {
            return Advice { verdict, by, delay: None };
        }
        let delay = delay(&verdict, failure.attempt, config, rand::random());
        let before_deadline = Duration::from_millis(failure.elapsed_ms).saturating_add(delay) <= config.deadline;
        Advice { verdict, by, delay: before_deadline.then_some(delay) }
    }
}

/// Returns the backoff, or the wait that the platform requested if that is longer.
///
/// A requested wait is never shortened, because the platform would refuse an earlier call again. Some jitter is added,
/// so that callers with the same requested wait do not all retry at the same time.
fn delay(verdict: &Verdict, attempt: u32, config: &RetryConfig, random: f64) -> Duration {
    let backoff = config.backoff.delay(attempt, random);
    match verdict.after_ms.map(Duration::from_millis) {
        Some(requested) if requested > backoff => {
            requested + config.backoff.base_delay.mul_f64(config.backoff.jitter * random)
        }
        _ => backoff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requested_wait_longer_than_the_backoff_is_not_shortened() {
        let config = tidegate_core::config::Config::default().retry;
        let requested = Verdict::retry(Class::Throttled).with_delay(Duration::from_secs(40));
        for random in [0.0, 0.5, 0.999] {
            let delay = delay(&requested, 1, &config, random);
            assert!(delay >= Duration::from_secs(40) && delay <= Duration::from_secs(41), "{delay:?}");
        }
        let shorter = Verdict::retry(Class::Throttled).with_delay(Duration::from_millis(1));
        assert_eq!(delay(&shorter, 1, &config, 0.5), config.backoff.base_delay);
    }
}
