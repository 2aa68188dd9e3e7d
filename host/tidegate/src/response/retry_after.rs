//! The wait that a platform requests in its response headers.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use tidegate_core::Failure;

/// Returns the value of `Retry-After` in milliseconds; the header holds seconds or a date (RFC 9110 §10.2.3).
///
/// A date is relative to the response's own `Date` header, so the local clock may be wrong. Without that header it is
/// relative to `at_ms`; if `at_ms` is 0, the wait is unknown.
pub fn retry_after_ms(headers: &HeaderMap, at_ms: u64) -> Option<u64> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    wait_ms(value(RETRY_AFTER)?, value(DATE), at_ms)
}

/// Normalizes a failure that a caller reports together with its response headers, as if it had been read from that
/// response.
///
/// It converts header names to lower case, sets `retry_after_ms` from the headers unless it is set already, and
/// truncates long strings to the size that policies get.
///
/// ```
/// use tidegate::core::Failure;
/// let reported = Failure { headers: vec![("Retry-After".into(), "7".into())], ..Failure::default() };
/// assert_eq!(tidegate::normalize_failure(reported).retry_after_ms, Some(7_000));
/// ```
#[must_use]
pub fn normalize_failure(mut failure: Failure) -> Failure {
    failure.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    let value = |name: &str| failure.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let from_headers = || wait_ms(value(RETRY_AFTER.as_str())?, value(DATE.as_str()), failure.at_ms);
    failure.retry_after_ms = failure.retry_after_ms.or_else(from_headers);
    failure.truncated()
}

fn wait_ms(retry_after: &str, date: Option<&str>, at_ms: u64) -> Option<u64> {
    let retry_after = retry_after.trim();
    if retry_after.bytes().all(|byte| byte.is_ascii_digit()) {
        return retry_after.parse::<u64>().ok()?.checked_mul(1_000);
    }
    let until = httpdate::parse_http_date(retry_after).ok()?;
    let sent = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let now = sent.or_else(|| (at_ms > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms)))?;
    // A date in the past means no wait.
    u64::try_from(until.duration_since(now).unwrap_or_default().as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: u64 = 1_795_435_200_000;

    #[test]
    fn reported_headers_are_read_like_response_headers() {
        let normalize = |ms, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            normalize_failure(Failure { at_ms: NOON_MS, retry_after_ms: ms, headers, ..Failure::default() })
        };
        assert_eq!(normalize(None, &[("Retry-After", "7")]).retry_after_ms, Some(7_000));
        assert_eq!(normalize(None, &[("retry-after", "Mon, 23 Nov 2026 12:00:30 GMT")]).retry_after_ms, Some(30_000));
        assert_eq!(
            normalize(Some(1), &[("Retry-After", "7")]).retry_after_ms,
            Some(1),
            "an explicit wait takes precedence"
        );
        assert_eq!(normalize(None, &[("X-Other", "7")]).retry_after_ms, None);
        assert_eq!(normalize(None, &[("X-Other", "7")]).headers[0].0, "x-other");
    }

    #[test]
    fn retry_after_is_parsed_as_seconds_or_as_a_date() {
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
            // Relative to the platform's clock, not to the local one.
            ("Mon, 23 Nov 2026 12:00:30 GMT", noon, NOON_MS + 20_000, Some(30_000)),
            ("Mon, 23 Nov 2026 12:00:30 GMT", "", NOON_MS + 20_000, Some(10_000)),
            ("Mon, 23 Nov 2026 12:00:30 GMT", "today", NOON_MS, Some(30_000)),
            ("Mon, 23 Nov 2026 12:00:30 GMT", "", 0, None),
            ("Mon, 23 Nov 2026 11:59:59 GMT", noon, 0, Some(0)),
            // The two obsolete date formats that HTTP still accepts.
            ("Monday, 23-Nov-26 12:01:00 GMT", noon, 0, Some(60_000)),
            ("Mon Nov 23 12:01:00 2026", noon, 0, Some(60_000)),
        ];
        for (value, date, at_ms, expected) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if !date.is_empty() {
                headers.insert(DATE, date.parse().unwrap());
            }
            assert_eq!(retry_after_ms(&headers, at_ms), expected, "{value:?} {date:?} {at_ms}");
        }
    }
}
