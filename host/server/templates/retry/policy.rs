//! The retry policy for {{name}}: decides whether a failed call is repeated.
//!
//! Replace the codes with those of the platform. When this policy abstains, `retry/default` decides by the HTTP status.
//! If the code does not say enough, call `tidegate_sdk::response_body()` for the text of the platform's response.

use std::time::Duration;

use tidegate_sdk::{Class, Failure, RetryPolicy, Verdict};

/// The retry policy for {{name}}.
pub struct Policy;

impl RetryPolicy for Policy {
    fn classify(failure: Failure) -> Verdict {
        let retry = Verdict::retry;
        let give_up = Verdict::give_up;
        match failure.code.as_deref() {
            Some("429001") => {
                let delay = failure.retry_after().unwrap_or(Duration::from_secs(2));
                retry(Class::Throttled).with_delay(delay).with_reason("too many calls")
            }
            Some("429002") => give_up(Class::Quota).with_reason("the daily quota is used up"),
            Some("500001") => retry(Class::Transient).with_reason("temporary failure of the platform"),
            // Retry once, so that the caller can refresh the token. If that is rejected too, the error is final.
            Some("401001") if failure.attempt <= 1 => retry(Class::Auth).with_reason("the token has expired"),
            Some("401001") => give_up(Class::Auth).with_reason("a fresh token was rejected too"),
            Some("400001" | "400002") => give_up(Class::Permanent).with_reason("the request is invalid"),
            _ => Verdict::abstain(),
        }
    }
}

tidegate_sdk::export_retry!(Policy);

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(code: &str, attempt: u32) -> Verdict {
        Policy::classify(Failure { status: Some(200), code: Some(code.to_owned()), attempt, ..Failure::default() })
    }

    #[test]
    fn an_expired_token_is_retried_once() {
        assert_eq!(classify("401001", 1).action, tidegate_sdk::Action::Retry);
        assert_eq!(classify("401001", 2).action, tidegate_sdk::Action::GiveUp);
    }

    #[test]
    fn an_unknown_code_is_left_to_the_default() {
        assert_eq!(classify("999999", 1), Verdict::abstain());
    }
}
