//! Whether a failed call is to be made again, and when: the decision that the pipeline and the doors share.

use std::time::Duration;

use tidegate_core::config::RetryConfig;
use tidegate_core::{Action, Class, Failure, Verdict};

use crate::Host;

/// What to do about a failed attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The verdict on it.
    pub verdict: Verdict,
    /// Which policy gave the verdict, or `fallback`.
    pub by: String,
    /// How long to wait before the next attempt, where there is to be one.
    pub delay: Option<Duration>,
}

impl Host {
    /// Judges a failed attempt by the policies, and what they advise by attempts, backoff and deadline.
    ///
    /// `previous` is what was wrong with the attempt before, and `refreshes` whether the caller renews its credentials
    /// after a failure of class `auth`; that class is worth one more attempt, and only then.
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
    pub fn advise(&self, failure: &Failure, previous: Option<Class>, refreshes: bool) -> Advice {
        let (verdict, by) = self.classify(failure);
        let config = &self.config().retry;
        let auth = verdict.class == Some(Class::Auth);
        let futile = auth && (!refreshes || previous == Some(Class::Auth));
        if verdict.action != Action::Retry || futile || failure.attempt >= config.max_attempts {
            return Advice { verdict, by, delay: None };
        }
        let delay = delay(&verdict, failure.attempt, config, rand::random());
        let in_time = Duration::from_millis(failure.elapsed_ms).saturating_add(delay) <= config.deadline;
        Advice { verdict, by, delay: in_time.then_some(delay) }
    }
}

/// The backoff, or the wait that the platform asked for where that is longer.
///
/// An asked wait is never cut short, since an earlier call would be refused again; a little jitter on top keeps those
/// who were told the same from coming back at the same moment.
fn delay(verdict: &Verdict, attempt: u32, config: &RetryConfig, random: f64) -> Duration {
    let backoff = config.backoff.delay(attempt, random);
    match verdict.after_ms.map(Duration::from_millis) {
        Some(asked) if asked > backoff => asked + config.backoff.base.mul_f64(config.backoff.jitter * random),
        _ => backoff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_wait_that_was_asked_for_is_kept_whole() {
        let config = tidegate_core::config::Config::default().retry;
        let asked = Verdict::retry(Class::Throttled).after(Duration::from_secs(40));
        for random in [0.0, 0.5, 0.999] {
            let delay = delay(&asked, 1, &config, random);
            assert!(delay >= Duration::from_secs(40) && delay <= Duration::from_secs(41), "{delay:?}");
        }
        let shorter = Verdict::retry(Class::Throttled).after(Duration::from_millis(1));
        assert_eq!(delay(&shorter, 1, &config, 0.5), config.backoff.base);
    }
}
