//! What a failed call to {{name}} is worth.
//!
//! Replace the codes by the platform's own. Its HTTP status is judged by `retry/default` where this abstains.

use tidegate_sdk::{Class, Failure, Retry, Verdict};

/// The classifier of {{name}}.
pub struct Policy;

impl Retry for Policy {
    fn classify(failure: Failure) -> Verdict {
        let retry = Verdict::retry;
        let give_up = Verdict::give_up;
        match failure.code.as_deref() {
            Some("429001") => {
                let wait = failure.retry_after_ms.unwrap_or(2_000);
                retry(Class::Throttled).after_ms(wait).because("called too often")
            }
            Some("429002") => give_up(Class::Quota).because("the day's calls are used up"),
            Some("500001") => retry(Class::Transient).because("the platform's own trouble"),
            // Once, so that the caller can refresh the token; the same answer to a fresh one is final.
            Some("401001") if failure.attempt <= 1 => retry(Class::Auth).because("the token has expired"),
            Some("401001") => give_up(Class::Auth).because("a fresh token is refused too"),
            Some("400001" | "400002") => give_up(Class::Permanent).because("the request itself is refused"),
            _ => Verdict::abstain(),
        }
    }
}

tidegate_sdk::export_retry!(Policy);

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &str, attempt: u32) -> Verdict {
        Policy::classify(Failure { status: Some(200), code: Some(code.to_owned()), attempt, ..Failure::default() })
    }

    #[test]
    fn an_expired_token_is_worth_one_more_attempt_and_no_third() {
        assert_eq!(answered("401001", 1).action, tidegate_sdk::Action::Retry);
        assert_eq!(answered("401001", 2).action, tidegate_sdk::Action::GiveUp);
    }

    #[test]
    fn a_code_that_nobody_knows_is_left_to_the_default() {
        assert_eq!(answered("999999", 1), Verdict::abstain());
    }
}
