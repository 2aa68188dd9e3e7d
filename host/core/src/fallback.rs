//! The classifier that is always there: it decides where no policy does, or where one misbehaved.

use crate::{Class, Failure, FailureKind, Verdict};

/// The verdict by transport and HTTP status alone.
///
/// Time-outs, broken connections, 429 and 5xx are worth another attempt; other statuses are not, and neither is an
/// error that hides in a 2xx answer, which only a policy can read.
///
/// ```
/// use tidegate_core::{Action, Failure, fallback};
/// let busy = Failure { status: Some(503), ..Failure::default() };
/// assert_eq!(fallback::classify(&busy).action, Action::Retry);
/// ```
#[must_use]
pub fn classify(failure: &Failure) -> Verdict {
    let verdict = match (failure.kind, failure.status) {
        (FailureKind::Timeout, _) => Verdict::retry(Class::Transient).because("timeout"),
        (FailureKind::Connection, _) => Verdict::retry(Class::Transient).because("connection error"),
        (FailureKind::Response, Some(429)) => Verdict::retry(Class::Throttled).because("rate limit"),
        (FailureKind::Response, Some(500 | 502..=599)) => Verdict::retry(Class::Transient).because("server error"),
        (FailureKind::Response, Some(408 | 425)) => Verdict::retry(Class::Transient).because("timeout"),
        (FailureKind::Response, Some(401)) => Verdict::give_up(Class::Auth).because("authentication failed"),
        (FailureKind::Response, Some(403)) => Verdict::give_up(Class::Permanent).because("permission denied"),
        (FailureKind::Response, Some(404 | 410)) => Verdict::give_up(Class::Permanent).because("not found"),
        (FailureKind::Response, _) => Verdict::give_up(Class::Permanent).because("invalid request"),
    };
    match failure.retry_after() {
        Some(wait) => verdict.after(wait),
        None => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    #[test]
    fn each_class_of_the_first_version_keeps_its_verdict() {
        let rows = [
            (FailureKind::Timeout, None, Action::Retry, Class::Transient),
            (FailureKind::Connection, None, Action::Retry, Class::Transient),
            (FailureKind::Response, Some(429), Action::Retry, Class::Throttled),
            (FailureKind::Response, Some(500), Action::Retry, Class::Transient),
            (FailureKind::Response, Some(503), Action::Retry, Class::Transient),
            (FailureKind::Response, Some(501), Action::GiveUp, Class::Permanent),
            (FailureKind::Response, Some(401), Action::GiveUp, Class::Auth),
            (FailureKind::Response, Some(403), Action::GiveUp, Class::Permanent),
            (FailureKind::Response, Some(400), Action::GiveUp, Class::Permanent),
            (FailureKind::Response, Some(404), Action::GiveUp, Class::Permanent),
            (FailureKind::Response, Some(200), Action::GiveUp, Class::Permanent),
        ];
        for (kind, status, action, class) in rows {
            let verdict = classify(&Failure { kind, status, ..Failure::default() });
            assert_eq!((verdict.action, verdict.class), (action, Some(class)), "{kind:?} {status:?}");
        }
    }
}
