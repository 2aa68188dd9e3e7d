//! The wait that an answer asks for.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use tidegate_core::Failure;

/// `Retry-After` in milliseconds, be it seconds or a date (RFC 9110 §10.2.3).
///
/// A date counts from the answer's own `Date`, so that a clock that is wrong here does not matter; without one from
/// `at_ms`, and where that is 0 too, nobody can tell.
pub fn retry_after_ms(headers: &HeaderMap, at_ms: u64) -> Option<u64> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    asked_ms(value(RETRY_AFTER)?, value(DATE), at_ms)
}

/// A failure that somebody tells with the headers of its answer, as it would have been read from that answer: with the
/// wait that the headers ask for, and texts no longer than policies are told.
///
/// ```
/// use tidegate::core::Failure;
/// let told = Failure { headers: vec![("Retry-After".into(), "7".into())], ..Failure::default() };
/// assert_eq!(tidegate::heed_headers(told).retry_after_ms, Some(7_000));
/// ```
#[must_use]
pub fn heed_headers(mut failure: Failure) -> Failure {
    failure.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    let value = |name: &str| failure.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let asked = || asked_ms(value(RETRY_AFTER.as_str())?, value(DATE.as_str()), failure.at_ms);
    failure.retry_after_ms = failure.retry_after_ms.or_else(asked);
    failure.bounded()
}

fn asked_ms(asked: &str, date: Option<&str>, at_ms: u64) -> Option<u64> {
    let asked = asked.trim();
    if asked.bytes().all(|byte| byte.is_ascii_digit()) {
        return asked.parse::<u64>().ok()?.checked_mul(1_000);
    }
    let until = httpdate::parse_http_date(asked).ok()?;
    let sent = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let now = sent.or_else(|| (at_ms > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms)))?;
    // What lies in the past is no wait.
    u64::try_from(until.duration_since(now).unwrap_or_default().as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: u64 = 1_795_435_200_000;

    #[test]
    fn headers_that_are_told_are_heeded_as_those_of_an_answer_are() {
        let told = |ms, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            heed_headers(Failure { at_ms: NOON_MS, retry_after_ms: ms, headers, ..Failure::default() })
        };
        assert_eq!(told(None, &[("Retry-After", "7")]).retry_after_ms, Some(7_000));
        assert_eq!(told(None, &[("retry-after", "Mon, 23 Nov 2026 12:00:30 GMT")]).retry_after_ms, Some(30_000));
        assert_eq!(told(Some(1), &[("Retry-After", "7")]).retry_after_ms, Some(1), "what was told goes first");
        assert_eq!(told(None, &[("X-Other", "7")]).retry_after_ms, None);
        assert_eq!(told(None, &[("X-Other", "7")]).headers[0].0, "x-other");
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date() {
        let noon = "Mon, 23 Nov 2026 12:00:00 GMT";
        let rows = [
            ("7", "", 0, Some(7_000)),
            (" 0 ", "", 0, Some(0)),
            ("", "", 0, None),
            ("-1", "", 0, None),
            ("soon", noon, NOON_MS, None),
            ("18446744073709551", "", 0, Some(18_446_744_073_709_551_000)),
            ("18446744073709552", "", 0, None),
            ("99999999999999999999", "", 0, None),
            ("Mon, 23 Nov 2026 12:00:30 GMT", noon, 0, Some(30_000)),
            // The platform's clock, not ours.
            ("Mon, 23 Nov 2026 12:00:30 GMT", noon, NOON_MS + 20_000, Some(30_000)),
            ("Mon, 23 Nov 2026 12:00:30 GMT", "", NOON_MS + 20_000, Some(10_000)),
            ("Mon, 23 Nov 2026 12:00:30 GMT", "today", NOON_MS, Some(30_000)),
            ("Mon, 23 Nov 2026 12:00:30 GMT", "", 0, None),
            ("Mon, 23 Nov 2026 11:59:59 GMT", noon, 0, Some(0)),
            // The two older forms that HTTP still reads.
            ("Monday, 23-Nov-26 12:01:00 GMT", noon, 0, Some(60_000)),
            ("Mon Nov 23 12:01:00 2026", noon, 0, Some(60_000)),
        ];
        for (asked, date, at_ms, expected) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, asked.parse().unwrap());
            if !date.is_empty() {
                headers.insert(DATE, date.parse().unwrap());
            }
            assert_eq!(retry_after_ms(&headers, at_ms), expected, "{asked:?} {date:?} {at_ms}");
        }
    }
}
