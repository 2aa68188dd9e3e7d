//! Finds errors in platform responses: many platforms respond with HTTP 200 and put the error into the body.

mod extract;
mod json;
mod retry_after;
mod shape;
mod xml;

#[cfg(test)]
mod tests;

pub use retry_after::normalize_failure;

use extract::{ErrorExtractor, ErrorFields};
use http::{HeaderMap, StatusCode};
use tidegate_core::{Failure, FailureKind};

/// The maximum number of body bytes to read; the errors of platforms have a few hundred bytes.
const MAX_BODY_SIZE: usize = 64 * 1024;
/// The header that carries the error type if the body has none.
const ERROR_TYPE_HEADER: &str = "x-amzn-errortype";

/// The response headers that policies can read: those that describe a wait, a limit or an error type.
const POLICY_HEADERS: [&str; 8] = [
    "retry-after",
    "x-amzn-errortype",
    "x-amzn-ratelimit-limit",
    "x-current-token-count",
    "x-next-replenishment-time",
    "x-next-replenish-time",
    "ratelimit",
    "x-ratelimit-reset",
];

/// Returns the failure that a response describes, or `None` if the call succeeded.
///
/// It reads the first 64 KiB of the body, as JSON or XML. `at_ms` is the time at which the response arrived, in
/// milliseconds since 1970; 0 if unknown.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// let body = br#"{"error_response": {"code": 7, "msg": "App Call Limited", "sub_msg": "This ban will last for 1 more seconds"}}"#;
/// let failure = tidegate::read_failure("taobao", StatusCode::OK, &HeaderMap::new(), body, 0).unwrap();
/// assert_eq!(failure.code.as_deref(), Some("7"));
/// ```
#[must_use]
pub fn read_failure(
    platform: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    at_ms: u64,
) -> Option<Failure> {
    // A partial result that lists errors for the missing part is a success.
    let error = body_error(platform, body).filter(|_| status != StatusCode::PARTIAL_CONTENT);
    if error.is_none() && (status.is_success() || status.is_informational() || status.is_redirection()) {
        return None;
    }
    let ErrorFields { code, sub_code, message } = error.unwrap_or_default();
    Some(Failure {
        platform: platform.to_owned(),
        kind: FailureKind::Response,
        at_ms,
        status: Some(status.as_u16()),
        code: code.or_else(|| error_type(headers)),
        sub_code,
        message,
        headers: policy_headers(headers),
        retry_after_ms: retry_after::retry_after_ms(headers, at_ms),
        ..Failure::default()
    })
}

/// Returns code, sub code and message if the body contains an error.
fn body_error(platform: &str, body: &[u8]) -> Option<ErrorFields> {
    let shapes = shape::error_shapes(platform);
    if shapes.is_empty() {
        return None;
    }
    // Invalid UTF-8 makes one value unreadable, not the whole response.
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY_SIZE)]);
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let mut extractor = ErrorExtractor::new(shapes);
    if text.starts_with('<') {
        xml::read(text, &mut extractor)
    } else {
        json::read(text, &mut extractor)
    }
    extractor.error()
}

/// Returns the error type from its header, without the part after a colon.
fn error_type(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(ERROR_TYPE_HEADER)?.to_str().ok()?.split(':').next()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn policy_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let present = POLICY_HEADERS.iter().filter_map(|name| Some((*name, headers.get(*name)?.to_str().ok()?)));
    present.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
