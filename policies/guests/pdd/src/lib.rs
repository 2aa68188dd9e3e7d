//! Pinduoduo says what went wrong in `error_response.error_code`; the HTTP status says nothing about it.
//!
//! The codes are those of the table on the platform's API pages. What carries no code of it (a time-out, a gateway's
//! 502, a code published later) is left to `retry/default`.

use tidegate_sdk::{Class, Failure, Retry, Verdict};

/// The classifier of the platform `pdd`.
pub struct Pdd;

/// The shortest window that the platform limits calls in.
const SHORTEST_WINDOW_MS: u64 = 1_000;
/// The window of most of its limits; some last a minute, which no caller waits for.
const USUAL_WINDOW_MS: u64 = 10_000;

impl Retry for Pdd {
    fn classify(failure: Failure) -> Verdict {
        let Some(code) = failure.code.as_deref() else { return Verdict::abstain() };
        match code {
            "52101" | "70031" => throttled(&failure),
            // It counts the calls of an app in test state, and waiting gives none back.
            "70036" => Verdict::give_up(Class::Quota).because("the calls of an app in test state are used up"),
            "52102" | "52103" => Verdict::retry(Class::Transient).because("the API is degraded"),
            "70033" => Verdict::retry(Class::Transient).because("the API is under maintenance"),
            // The page sends these to support without calling them final.
            "50000" | "50001" | "50002" | "52001" | "52002" => {
                Verdict::retry(Class::Transient).because("an error within the platform")
            }
            // Once, so that the caller can refresh the token; the same answer to a fresh one is final.
            "10019" if failure.attempt <= 1 => Verdict::retry(Class::Auth).because("the access token has expired"),
            "10019" => Verdict::give_up(Class::Auth).because("a refreshed access token is refused too"),
            "20032" => Verdict::give_up(Class::Auth).because("the access token or the client id is wrong"),
            "20031" => Verdict::give_up(Class::Permanent).because("the seller has not granted this API"),
            "70034" | "70035" => Verdict::give_up(Class::Permanent).because("refused by risk control"),
            "10000" | "10001" | "10016" | "10017" | "10018" | "20004" | "20005" | "20034" | "20035" | "21001"
            | "21002" | "30000" | "30001" | "52004" | "70032" => {
                Verdict::give_up(Class::Permanent).because("the request itself is refused")
            }
            _ => Verdict::abstain(),
        }
    }
}

/// The platform names no wait and does not say which of its windows is full: the shortest first, then twice as long
/// each time, up to the usual one.
fn throttled(failure: &Failure) -> Verdict {
    let doublings = failure.attempt.saturating_sub(1).min(10);
    let guess = (SHORTEST_WINDOW_MS << doublings).min(USUAL_WINDOW_MS);
    Verdict::retry(Class::Throttled)
        .after_ms(failure.retry_after_ms.unwrap_or(guess))
        .because("called more often than the platform allows")
}

tidegate_sdk::export_retry!(Pdd);

#[cfg(test)]
mod tests {
    use tidegate_sdk::{Action, FailureKind};

    use super::*;

    fn answered(code: &str, attempt: u32) -> Verdict {
        Pdd::classify(Failure { status: Some(200), code: Some(code.to_owned()), attempt, ..Failure::default() })
    }

    #[test]
    fn each_code_of_the_platform_has_its_verdict() {
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
                let verdict = answered(code, 1);
                assert_eq!((verdict.action, verdict.class), (action, Some(class)), "{code}");
                assert!(verdict.reason.is_some(), "{code}");
            }
        }
    }

    #[test]
    fn an_expired_token_is_worth_one_more_attempt_and_no_third() {
        for (attempt, action) in [(1, Action::Retry), (2, Action::GiveUp), (3, Action::GiveUp)] {
            let verdict = answered("10019", attempt);
            assert_eq!((verdict.action, verdict.class), (action, Some(Class::Auth)), "attempt {attempt}");
        }
    }

    #[test]
    fn a_throttled_call_waits_as_told_or_up_to_the_usual_window() {
        let rows = [
            (1, None, 1_000),
            (2, None, 2_000),
            (4, None, 8_000),
            (5, None, 10_000),
            (u32::MAX, None, 10_000),
            (0, None, 1_000),
            (1, Some(300), 300),
            (5, Some(45_000), 45_000),
        ];
        for (attempt, retry_after_ms, wait) in rows {
            let code = Some("52101".to_owned());
            let verdict = Pdd::classify(Failure { code, attempt, retry_after_ms, ..Failure::default() });
            assert_eq!(verdict.after_ms, Some(wait), "attempt {attempt}, told {retry_after_ms:?}");
        }
    }

    #[test]
    fn what_the_table_does_not_know_is_left_to_the_default() {
        assert_eq!(answered("99999", 1), Verdict::abstain());
        assert_eq!(answered("", 1), Verdict::abstain());
        for kind in [FailureKind::Timeout, FailureKind::Connection, FailureKind::Response] {
            assert_eq!(Pdd::classify(Failure { kind, status: Some(503), ..Failure::default() }), Verdict::abstain());
        }
    }
}
