//! Reading an answer: many platforms say "HTTP 200" and put the error inside.

mod found;
mod json;
mod shape;
mod wait;
mod xml;

#[cfg(test)]
mod tests;

pub use wait::heed_headers;

use found::{Found, Told};
use http::{HeaderMap, StatusCode};
use tidegate_core::{Failure, FailureKind};

/// As much of a body is read, in bytes; the errors of platforms have some hundred.
const MAX_BODY: usize = 64 * 1024;
/// Where the kind of an error stands besides the body.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Headers that a policy may see: what tells a wait, a limit or a kind of error.
const CHOSEN: [&str; 8] = [
    "retry-after",
    "x-amzn-errortype",
    "x-amzn-ratelimit-limit",
    "x-current-token-count",
    "x-next-replenishment-time",
    "x-next-replenish-time",
    "ratelimit",
    "x-ratelimit-reset",
];

/// The failure that an answer holds, or `None` where the platform did what was asked.
///
/// Of the body, JSON or XML, the first 64 KiB are read. `at_ms` is when the answer came, in milliseconds since 1970, 0
/// where nobody knows.
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
    // What came in part, with a note on the rest, came.
    let told = told(platform, body).filter(|_| status != StatusCode::PARTIAL_CONTENT);
    if told.is_none() && (status.is_success() || status.is_informational() || status.is_redirection()) {
        return None;
    }
    let Told { code, sub_code, message } = told.unwrap_or_default();
    Some(Failure {
        platform: platform.to_owned(),
        kind: FailureKind::Response,
        at_ms,
        status: Some(status.as_u16()),
        code: code.or_else(|| named_in_header(headers)),
        sub_code,
        message,
        headers: chosen(headers),
        retry_after_ms: wait::retry_after_ms(headers, at_ms),
        ..Failure::default()
    })
}

/// Code, sub code and message, where the body is an error.
fn told(platform: &str, body: &[u8]) -> Option<Told> {
    let shapes = shape::of(platform);
    if shapes.is_empty() {
        return None;
    }
    // A byte that is no UTF-8 spoils the word that it stands in, not the answer.
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let mut found = Found::new(shapes);
    if text.starts_with('<') {
        xml::read(text, &mut found)
    } else {
        json::read(text, &mut found)
    }
    found.told()
}

/// The kind of an error where it stands in a header alone; more may follow behind a colon.
fn named_in_header(headers: &HeaderMap) -> Option<String> {
    let named = headers.get(ERROR_TYPE)?.to_str().ok()?.split(':').next()?.trim();
    (!named.is_empty()).then(|| named.to_owned())
}

fn chosen(headers: &HeaderMap) -> Vec<(String, String)> {
    let present = CHOSEN.iter().filter_map(|name| Some((*name, headers.get(*name)?.to_str().ok()?)));
    present.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
