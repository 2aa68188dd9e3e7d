//! The retry policy for Pinduoduo as a Wasm component.
//!
//! The shipped policy is the script `policies/retry/pdd.rhai`, which gives the same verdicts. This crate is the example
//! of a component. `cargo xtask guests` builds it.
//!
//! Pinduoduo reports an error in `error_response.error_code`; the HTTP status does not depend on it. The codes come
//! from the table on the platform's API pages. `retry/default` decides on failures without a code from this table, for
//! example a timeout, a gateway's 502, or a code that was published later.

use std::time::Duration;

use tidegate_sdk::{Class, Failure, RetryPolicy, Verdict};

/// The policy for the platform `pdd`.
#[derive(Debug)]
pub struct Pdd;

/// The length of the shortest rate-limit window of the platform.
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
/// The length of most rate-limit windows. Some windows are a minute long, but callers do not wait that long.
const USUAL_WINDOW: Duration = Duration::from_secs(10);

impl RetryPolicy for Pdd {
    fn classify(failure: Failure) -> Verdict {
        let Some(code) = failure.code.as_deref() else { return Verdict::abstain() };
        match code {
            "52101" | "70031" => throttled(&failure),
            // The total quota of an app in test state. It is never refilled, so waiting does not help.
            "70036" => Verdict::give_up(Class::Quota).with_reason("the quota of the test app is used up"),
            "52102" | "52103" => Verdict::retry(Class::Transient).with_reason("the API is degraded"),
            "70033" => Verdict::retry(Class::Transient).with_reason("the API is under maintenance"),
            // For these codes the API page recommends contacting support. It does not call them permanent.
            "50000" | "50001" | "50002" | "52001" | "52002" => {
                Verdict::retry(Class::Transient).with_reason("internal error of the platform")
            }
            // Retry once, so that the caller can refresh the token. If that is rejected too, the error is final.
            "10019" if failure.attempt <= 1 => Verdict::retry(Class::Auth).with_reason("the access token has expired"),
            "10019" => Verdict::give_up(Class::Auth).with_reason("a refreshed access token was rejected too"),
            "20032" => Verdict::give_up(Class::Auth).with_reason("the access token or the client ID is invalid"),
            "20031" => Verdict::give_up(Class::Permanent).with_reason("the seller has not granted access to this API"),
            "70034" | "70035" => Verdict::give_up(Class::Permanent).with_reason("rejected by risk control"),
            "10000" | "10001" | "10016" | "10017" | "10018" | "20004" | "20005" | "20034" | "20035" | "21001"
            | "21002" | "30000" | "30001" | "52004" | "70032" => {
                Verdict::give_up(Class::Permanent).with_reason("invalid or forbidden request")
            }
            _ => Verdict::abstain(),
        }
    }
}

/// Returns the verdict for a throttled call.
///
/// The platform usually requests no delay and does not report which of its windows is full. The first delay is the
/// shortest window; each further attempt doubles it, up to the usual window.
fn throttled(failure: &Failure) -> Verdict {
    let doublings = failure.attempt.saturating_sub(1).min(10);
    let default = (SHORTEST_WINDOW * (1 << doublings)).min(USUAL_WINDOW);
    Verdict::retry(Class::Throttled)
        .with_delay(failure.retry_after().filter(|delay| !delay.is_zero()).unwrap_or(default))
        .with_reason("rate limit of the platform exceeded")
}

tidegate_sdk::export_retry!(Pdd);

#[cfg(test)]
mod tests {
    use tidegate_sdk::{Action, FailureKind};

    use super::*;

    fn classify(code: &str, attempt: u32) -> Verdict {
        Pdd::classify(Failure { status: Some(200), code: Some(code.to_owned()), attempt, ..Failure::default() })
    }

    #[test]
    fn each_known_code_has_its_verdict() {
        use Action::{GiveUp, Retry};
        let rows: [(&[&str], Action, Class); 5] = [
            (&["52101", "70031"], Retry, Class::Throttled),
            (&["70036"], GiveUp, Class::Quota),
            (&["52102", "52103", "70033", "50000", "50001", "50002", "52001", "52002"], Retry, Class::Transient),
            (&["20032"], GiveUp, Class::Auth),
            (
                &[
                    "10000", "10001", "10016", "10017", "10018", "20004", "20005", "20031", "20034", "20035", "21001",
                    "21002", "30000", "30001", "52004", "70032", "70034", "70035",
                ],
                GiveUp,
                Class::Permanent,
            ),
        ];
        for (codes, action, class) in rows {
            for code in codes {
                let verdict = classify(code, 1);
                assert_eq!((verdict.action, verdict.class), (action, Some(class)), "{code}");
                assert!(verdict.reason.is_some(), "{code}");
            }
        }
    }

    #[test]
    fn an_expired_token_is_retried_once() {
        for (attempt, action) in [(1, Action::Retry), (2, Action::GiveUp), (3, Action::GiveUp)] {
            let verdict = classify("10019", attempt);
            assert_eq!((verdict.action, verdict.class), (action, Some(Class::Auth)), "attempt {attempt}");
        }
    }

    #[test]
    fn a_throttled_call_waits_for_the_requested_or_the_default_delay() {
        let rows = [
            (1, None, 1_000),
            (2, None, 2_000),
            (4, None, 8_000),
            (5, None, 10_000),
            (u32::MAX, None, 10_000),
            (0, None, 1_000),
            (2, Some(0), 2_000),
            (1, Some(300), 300),
            (5, Some(45_000), 45_000),
        ];
        for (attempt, retry_after_ms, expected_ms) in rows {
            let code = Some("52101".to_owned());
            let verdict = Pdd::classify(Failure { code, attempt, retry_after_ms, ..Failure::default() });
            assert_eq!(verdict.after_ms, Some(expected_ms), "attempt {attempt}, retry_after_ms {retry_after_ms:?}");
        }
    }

    #[test]
    fn unknown_failures_are_left_to_the_default() {
        assert_eq!(classify("99999", 1), Verdict::abstain());
        assert_eq!(classify("", 1), Verdict::abstain());
        for kind in [FailureKind::Timeout, FailureKind::Connection, FailureKind::Response] {
            assert_eq!(Pdd::classify(Failure { kind, status: Some(503), ..Failure::default() }), Verdict::abstain());
        }
    }
}
