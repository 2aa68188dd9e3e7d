//! The built-in fallback. It decides if no policy decides or if a policy fails.

use crate::{Class, Failure, FailureKind, Verdict};

/// Returns the verdict on a failure, by its kind and HTTP status only.
///
/// It retries timeouts, connection errors and the statuses 408, 425, 429, 500 and 502 to 599. It gives up on all other
/// statuses. It also gives up on an error inside a response with a 2xx status, because only a policy can interpret such
/// an error. The wait that a `Retry-After` header requires becomes the minimum delay of the verdict.
///
/// ```
/// use tidegate_core::{Action, Failure, fallback};
/// let busy = Failure::response(503);
/// assert_eq!(fallback::classify(&busy).action, Action::Retry);
/// ```
#[must_use]
pub fn classify(failure: &Failure) -> Verdict {
    let verdict = match (failure.kind, failure.status) {
        (FailureKind::Timeout, _) => Verdict::retry(Class::Transient).with_reason("timeout"),
        (FailureKind::Connection, _) => Verdict::retry(Class::Transient).with_reason("connection error"),
        (FailureKind::Response, Some(429)) => Verdict::retry(Class::Throttled).with_reason("rate limit"),
        (FailureKind::Response, Some(500 | 502..=599)) => Verdict::retry(Class::Transient).with_reason("server error"),
        (FailureKind::Response, Some(408 | 425)) => Verdict::retry(Class::Transient).with_reason("timeout"),
        (FailureKind::Response, Some(401)) => Verdict::give_up(Class::Auth).with_reason("authentication failed"),
        (FailureKind::Response, Some(403)) => Verdict::give_up(Class::Permanent).with_reason("permission denied"),
        (FailureKind::Response, Some(404 | 410)) => Verdict::give_up(Class::Permanent).with_reason("not found"),
        (FailureKind::Response, _) => Verdict::give_up(Class::Permanent).with_reason("invalid request"),
    };
    match failure.retry_after() {
        Some(delay) => verdict.with_delay(delay),
        None => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    #[test]
    fn every_kind_and_status_has_its_verdict() {
        let cases = [
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
        for (kind, status, action, class) in cases {
            let verdict = classify(&Failure { kind, status, ..Failure::default() });
            assert_eq!((verdict.action, verdict.class), (action, Some(class)), "{kind:?} {status:?}");
        }
    }
}
