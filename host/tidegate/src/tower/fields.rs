//! Responses of the layer itself, and the header fields that describe the limit: `Retry-After` (RFC 9110) and the
//! `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers-10).

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use tidegate_core::Quota;
use tidegate_core::clock::micros;

use super::body::Body;
use crate::admission::Denied;
use crate::limit_set::LimitRefused;
use crate::limiter::Limiter;

/// Creates a plain text response of one line.
pub fn plain_text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Creates the response to a request that the admission policy denied.
pub fn denied(denied: &Denied) -> Response<Body> {
    plain_text(StatusCode::from_u16(denied.status).unwrap_or(StatusCode::FORBIDDEN), denied.reason.clone())
}

/// Creates the response to a request that a limit refused.
pub fn refused(LimitRefused { limit, refusal }: &LimitRefused) -> Response<Body> {
    let Some(retry_after) = refusal.retry_after() else {
        return plain_text(
            StatusCode::TOO_MANY_REQUESTS,
            format!("the cost exceeds the burst of {limit}; the request can never be admitted"),
        );
    };
    let seconds = whole_seconds(retry_after);
    let mut response =
        plain_text(StatusCode::TOO_MANY_REQUESTS, format!("rate limit of {limit} reached; retry after {seconds} s"));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Adds the `RateLimit-Policy` and `RateLimit` fields.
pub fn add_limit_fields(response: &mut Response<Body>, limit: &str, limiter: &Limiter) {
    let status = limiter.cached_status();
    let remaining = u64::try_from(status.available).unwrap_or(0);
    let full_in = whole_seconds(status.full_in);
    let fields = [
        ("ratelimit-policy", policy_field(limit, limiter.quota())),
        ("ratelimit", format!("\"{limit}\";r={remaining};t={full_in}")),
    ];
    for (name, value) in fields {
        // If the name of the limit contains characters that a header value must not contain, the fields are omitted.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Returns the value of `RateLimit-Policy`: `q` tokens per `w` whole seconds, where `w` is the shortest window that is
/// a multiple of the rate's period.
fn policy_field(limit: &str, quota: Quota) -> String {
    let (mut a, mut b) = (micros(quota.rate().period()), 1_000_000);
    let period_us = a;
    while b != 0 {
        (a, b) = (b, a % b);
    }
    // `a` is now the greatest common divisor of the period and a second.
    let (seconds, periods) = (period_us / a, 1_000_000 / a);
    format!("\"{limit}\";q={};w={seconds}", quota.rate().tokens().saturating_mul(periods))
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_field_uses_whole_seconds() {
        let rows = [
            ("60/s", "q=60;w=1"),
            ("10000/60s", "q=10000;w=60"),
            ("3/250ms", "q=12;w=1"),
            ("5000/d", "q=5000;w=86400"),
        ];
        for (rate, expected) in rows {
            let quota = Quota::new(rate.parse().unwrap(), 1).unwrap();
            assert_eq!(policy_field("jd", quota), format!("\"jd\";{expected}"));
        }
    }
}
