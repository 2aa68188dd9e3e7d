//! The error of a call.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::clock::millis_rounded_up;
use tidegate_core::{Class, Failure, Verdict};

use crate::advice::GiveUpReason;
use crate::limit_set::LimitRefused;

/// An error that a retry policy can classify.
pub trait RetryableError: Error {
    /// Describes the failure for the policies. The host fills in platform, endpoint, attempt and time.
    fn failure(&self) -> Failure;
}

impl RetryableError for Failure {
    fn failure(&self) -> Failure {
        self.clone()
    }
}

/// The error of a call; see [`Retry::run`](crate::Retry::run).
///
/// Its [`source`](Error::source) is the refusal of the limit, or the error of the last attempt.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::{error::Error, time::Duration};
/// use tidegate::{Config, Failure, Host};
/// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
/// let busy = Failure::response(429).with_retry_after(Duration::from_millis(3_600_000));
/// let error = host.retry("jd").unwrap().run(async |_| Err::<(), _>(busy.clone())).await.unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "gave up after 1 attempt: the next attempt would start after the deadline (class throttled, policy fallback); \
///      retry after 3600000 ms"
/// );
/// assert_eq!(error.source().unwrap().to_string(), "HTTP 429");
/// assert_eq!(error.retry_after(), Some(Duration::from_secs(3_600)));
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError<E> {
    /// A limit refused the first attempt; nothing was sent.
    #[non_exhaustive]
    Refused {
        /// The platform.
        platform: String,
        /// The limit that refused, which is one of the limits of the platform, and its refusal.
        refused: LimitRefused,
    },
    /// The last attempt failed, and no further attempt is made.
    #[non_exhaustive]
    GaveUp {
        /// The error of the last attempt.
        error: E,
        /// The verdict on that error.
        verdict: Verdict,
        /// The file of the policy that returned the verdict, or `fallback`.
        policy: Arc<str>,
        /// Why no further attempt is made.
        reason: GiveUpReason,
        /// The number of attempts.
        attempts: u32,
    },
}

impl<E> CallError<E> {
    /// Returns whether a limit refused the first attempt, so that nothing was sent.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Returns whether the same call can never succeed: its cost is above the burst of a limit, or the failure is of
    /// class `permanent`.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { refused, .. } => refused.refusal.is_never(),
            Self::GaveUp { verdict, .. } => verdict.class == Some(Class::Permanent),
        }
    }

    /// Returns how long to wait before the same call is made again, if that is known: the wait that the refusing limit
    /// or the platform requires. `None` also for a call that can never succeed.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            _ if self.is_permanent() => None,
            Self::Refused { refused, .. } | Self::GaveUp { reason: GiveUpReason::Limit(refused), .. } => {
                refused.refusal.retry_after()
            }
            Self::GaveUp { verdict, .. } => verdict.after_ms.map(Duration::from_millis),
        }
    }

    /// Returns the limit that refused the call or its next attempt, with the refusal; `None` if no limit did.
    #[must_use]
    pub const fn refused(&self) -> Option<&LimitRefused> {
        match self {
            Self::Refused { refused, .. } | Self::GaveUp { reason: GiveUpReason::Limit(refused), .. } => Some(refused),
            Self::GaveUp { .. } => None,
        }
    }

    /// Returns the class of the last attempt's failure; `None` if no attempt was made.
    #[must_use]
    pub const fn class(&self) -> Option<Class> {
        match self {
            Self::Refused { .. } => None,
            Self::GaveUp { verdict, .. } => verdict.class,
        }
    }

    /// Returns the number of attempts; 0 if a limit refused the first one.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Refused { .. } => 0,
            Self::GaveUp { attempts, .. } => *attempts,
        }
    }

    /// Returns the error of the last attempt; `None` if no attempt was made.
    #[must_use]
    pub fn into_error(self) -> Option<E> {
        match self {
            Self::Refused { .. } => None,
            Self::GaveUp { error, .. } => Some(error),
        }
    }
}

impl<E> fmt::Display for CallError<E> {
    /// Writes what happened and why, and when to try again if that is known. The text of the source is not part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { platform, refused } => {
                write!(f, "limit {:?} refused the call to {platform}", refused.limit)?;
            }
            Self::GaveUp { verdict, policy, reason, attempts, .. } => {
                let plural = if *attempts == 1 { "" } else { "s" };
                write!(f, "gave up after {attempts} attempt{plural}: {reason}")?;
                match verdict.class {
                    Some(class) => write!(f, " (class {class}, policy {policy})")?,
                    None => write!(f, " (policy {policy})")?,
                }
            }
        }
        match self.retry_after() {
            Some(wait) => write!(f, "; retry after {} ms", millis_rounded_up(wait)),
            None => Ok(()),
        }
    }
}

impl<E: Error + 'static> Error for CallError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused { refused, .. } => Some(&refused.refusal),
            Self::GaveUp { error, .. } => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::Refusal;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn refused(refusal: Refusal) -> LimitRefused {
        LimitRefused { limit: "jd_orders".to_owned(), refusal }
    }

    fn gave_up(verdict: Verdict, reason: GiveUpReason) -> CallError<Failure> {
        let error = Failure::response(503);
        CallError::GaveUp { error, verdict, policy: "retry/jd.rhai".into(), reason, attempts: 4 }
    }

    #[test]
    fn every_error_says_what_happened_why_and_when_to_try_again() {
        let limited = Refusal::Limited { retry_after: MINUTE };
        let refused_by = |refusal| CallError::Refused { platform: "jd".to_owned(), refused: refused(refusal) };
        let (transient, throttled) = (Verdict::retry(Class::Transient), Verdict::retry(Class::Throttled));
        let rows = [
            (
                refused_by(limited),
                r#"limit "jd_orders" refused the call to jd; retry after 60000 ms"#,
                "rate limit reached; retry after 60000 ms",
                (Some(MINUTE), false, true),
            ),
            (
                refused_by(Refusal::Never { max_cost: 40 }),
                r#"limit "jd_orders" refused the call to jd"#,
                "the cost is above the burst and never fits; the greatest is 40",
                (None, true, true),
            ),
            (
                gave_up(transient.clone(), GiveUpReason::MaxAttempts),
                "gave up after 4 attempts: the maximum number of attempts was made (class transient, policy retry/jd.rhai)",
                "HTTP 503",
                (None, false, false),
            ),
            (
                gave_up(throttled.with_delay(MINUTE), GiveUpReason::Deadline),
                "gave up after 4 attempts: the next attempt would start after the deadline (class throttled, policy retry/jd.rhai); retry after 60000 ms",
                "HTTP 503",
                (Some(MINUTE), false, false),
            ),
            (
                gave_up(transient, GiveUpReason::Limit(refused(limited))),
                "gave up after 4 attempts: limit \"jd_orders\" refused the next attempt (class transient, policy retry/jd.rhai); retry after 60000 ms",
                "HTTP 503",
                (Some(MINUTE), false, false),
            ),
            (
                gave_up(Verdict::give_up(Class::Permanent).with_delay(MINUTE), GiveUpReason::Verdict),
                "gave up after 4 attempts: the policy advised against another attempt (class permanent, policy retry/jd.rhai)",
                "HTTP 503",
                (None, true, false),
            ),
        ];
        for (error, text, source, expected) in rows {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.source().unwrap().to_string(), source);
            assert_eq!((error.retry_after(), error.is_permanent(), error.is_refused()), expected, "{text}");
        }
    }
}
