//! The wait that a platform requests in its response headers.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// Returns the value of `Retry-After` in milliseconds; the header holds seconds or a date (RFC 9110 §10.2.3).
///
/// A date is relative to the response's own `Date` header, so the local clock may be wrong. Without that header it is
/// relative to `at_ms`; if `at_ms` is 0, the wait is unknown.
pub fn from_headers(headers: &HeaderMap, at_ms: u64) -> Option<u64> {
    from_values(|name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned), at_ms)
}

/// Returns the value of `Retry-After` like [`from_headers`]; `header` returns the value of a header.
pub fn from_values(header: impl Fn(&str) -> Option<String>, at_ms: u64) -> Option<u64> {
    wait_ms(&header(RETRY_AFTER.as_str())?, header(DATE.as_str()).as_deref(), at_ms)
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
            assert_eq!(from_headers(&headers, at_ms), expected, "{value:?} {date:?} {at_ms}");
        }
    }
}
