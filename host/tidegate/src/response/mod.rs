//! Finds errors in platform responses: many platforms respond with HTTP 200 and put the error into the body.

mod extract;
mod json;
mod retry_after;
mod xml;

#[cfg(test)]
mod tests;

use extract::{ErrorExtractor, ErrorFields, from_headers};
use http::{HeaderMap, StatusCode};
use tidegate_core::config::{Config, ErrorShape};
use tidegate_core::{Failure, FailureKind};

use crate::Host;

/// The maximum size of a body that is searched for an error, in bytes. Policies get the first 64 KiB of a body; see
/// [`MAX_BODY_SIZE`](tidegate_core::failure::MAX_BODY_SIZE).
pub const MAX_SEARCHED_BODY: usize = 1 << 20;

/// The built-in response headers for retry policies: those that describe a wait, a limit or an error type. The key
/// `headers` in `[platforms.NAME]` names further ones.
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

/// A response of a platform.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseParts<'a> {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, or its first [`MAX_SEARCHED_BODY`] bytes.
    pub body: &'a [u8],
    /// The time at which the response arrived, in milliseconds since 1970; 0 if unknown.
    pub at_ms: u64,
}

impl<'a> ResponseParts<'a> {
    /// Creates a response that arrived at an unknown time.
    #[must_use]
    pub const fn new(status: StatusCode, headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { status, headers, body, at_ms: 0 }
    }

    /// Sets the time at which the response arrived, in milliseconds since 1970.
    #[must_use]
    pub const fn with_at_ms(self, at_ms: u64) -> Self {
        Self { at_ms, ..self }
    }
}

impl Host {
    /// Returns the failure that a response of a platform describes, or `None` if the call succeeded; see
    /// [`read_failure`]. The failure has the body if a policy of the platform reads it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use http::{HeaderMap, StatusCode};
    /// use tidegate::{Config, Host};
    /// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    /// let body = br#"{"error_response": {"code": 7, "msg": "App Call Limited"}}"#;
    /// let failure = host.read_failure("taobao", StatusCode::OK, &HeaderMap::new(), body).unwrap();
    /// assert_eq!(failure.code.as_deref(), Some("7"));
    /// let body = br#"{"trade_get_response": {}}"#;
    /// assert_eq!(host.read_failure("taobao", StatusCode::OK, &HeaderMap::new(), body), None);
    /// # });
    /// ```
    #[must_use]
    pub fn read_failure(
        &self,
        platform: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Failure> {
        let response = ResponseParts { status, headers, body, at_ms: self.clock().unix_ms() };
        let failure = read_failure(&self.config(), platform, response)?;
        Some(if self.reads_body(platform) { failure.with_body(body) } else { failure })
    }

    /// Completes a failure that a caller reports; see [`complete_failure`]. The failure keeps its body if a policy of
    /// the platform reads it.
    #[must_use]
    pub fn complete_failure(&self, failure: Failure) -> Failure {
        let mut failure = complete_failure(&self.config(), failure);
        failure.body.take_if(|_| !self.reads_body(&failure.platform));
        failure
    }
}

/// Returns the failure that a response of a platform describes, or `None` if the call succeeded.
///
/// It searches the first [`MAX_SEARCHED_BODY`] bytes of the body, as JSON or XML. The error shapes of the platform in
/// `config` say where the error is; without shapes, only the HTTP status reports errors. The failure does not contain
/// the body; to add it, call [`Failure::with_body`].
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use tidegate::response::{ResponseParts, read_failure};
/// let text = "limits.shop = { rate = '10/s', burst = 10 }\n\
///             platforms.shop.error = { at = '/err', code = 'no', message = 'text' }";
/// let config = tidegate::Config::parse(text).unwrap();
/// let (headers, body) = (HeaderMap::new(), br#"{"err": {"no": 7, "text": "too many calls"}}"#);
/// let response = ResponseParts::new(StatusCode::OK, &headers, body);
/// let failure = read_failure(&config, "shop", response).unwrap();
/// assert_eq!((failure.code.as_deref(), failure.message.as_deref()), (Some("7"), Some("too many calls")));
/// ```
#[must_use]
pub fn read_failure(config: &Config, platform: &str, response: ResponseParts<'_>) -> Option<Failure> {
    let ResponseParts { status, headers, body, at_ms } = response;
    let shapes = config.error_shapes(platform);
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let error = find_error(shapes, body, header).filter(|_| !is_partial(status.as_u16()));
    if error.is_none() && !is_error_status(status.as_u16()) {
        return None;
    }
    let ErrorFields { code, sub_code, message } = error.unwrap_or_else(|| header_fields(shapes, header));
    let mut failure = Failure::response(status.as_u16()).with_platform(platform).with_at_ms(at_ms);
    failure.code = code;
    failure.sub_code = sub_code;
    failure.message = message;
    failure.headers = policy_headers(config, platform, headers);
    failure.retry_after_ms = retry_after::from_headers(headers, at_ms);
    Some(failure)
}

/// Completes a failure that a caller reports, as if it had been read from the response: `retry_after_ms` from the
/// headers, and code, sub code and message from [`Failure::body`] and the headers. What the caller gave is kept.
///
/// It converts header names to lower case, and truncates long strings to the size that policies get.
///
/// ```
/// use tidegate::{Config, Failure};
/// let reported = Failure::default()
///     .with_platform("taobao")
///     .with_headers([("Retry-After", "7")])
///     .with_body(br#"{"error_response": {"code": 7, "msg": "App Call Limited"}}"#);
/// let failure = tidegate::response::complete_failure(&Config::with_platforms(), reported);
/// assert_eq!((failure.retry_after_ms, failure.code.as_deref()), (Some(7_000), Some("7")));
/// ```
#[must_use]
pub fn complete_failure(config: &Config, mut failure: Failure) -> Failure {
    failure.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    let header = |name: &str| reported_header(&failure, name);
    let shapes = config.error_shapes(&failure.platform);
    let body = failure.body.as_deref();
    let error = body.and_then(|body| find_error(shapes, body.as_bytes(), header));
    let error = error.unwrap_or_else(|| header_fields(shapes, header));
    let retry_after_ms = failure.retry_after_ms.or_else(|| retry_after::from_values(header, failure.at_ms));
    failure.retry_after_ms = retry_after_ms;
    failure.code = failure.code.or(error.code);
    failure.sub_code = failure.sub_code.or(error.sub_code);
    failure.message = failure.message.or(error.message);
    failure.truncated()
}

/// Returns whether the response that a reported failure describes is a success: it has a body without an error, and no
/// status of an error. If the caller gives a code, a sub code or a message, the result is false.
///
/// It searches the part of the body that the failure has. [`Failure::with_body`] keeps 64 KiB, so an error behind them
/// is not found; [`read_failure`] searches the first [`MAX_SEARCHED_BODY`] bytes of a response.
///
/// ```
/// use tidegate::{Config, Failure, response::is_success};
/// let config = Config::with_platforms();
/// let failure = |body: &[u8]| Failure::response(200).with_platform("taobao").with_body(body);
/// assert!(is_success(&config, &failure(br#"{"trade_get_response": {}}"#)));
/// assert!(!is_success(&config, &failure(br#"{"error_response": {"code": 7}}"#)));
/// ```
#[must_use]
pub fn is_success(config: &Config, failure: &Failure) -> bool {
    let Some(body) = &failure.body else { return false };
    let shapes = config.error_shapes(&failure.platform);
    let is_described = failure.code.is_some() || failure.sub_code.is_some() || failure.message.is_some();
    // Without a status and without shapes, nothing says whether the response is an error.
    let is_ok = failure.status.map_or(!shapes.is_empty(), |status| !is_error_status(status));
    let header = |name: &str| reported_header(failure, name);
    failure.kind == FailureKind::Response
        && !is_described
        && is_ok
        && (failure.status.is_some_and(is_partial) || find_error(shapes, body.as_bytes(), header).is_none())
}

/// Returns whether a status says that the call failed.
const fn is_error_status(status: u16) -> bool {
    status >= 400
}

/// Returns whether a status says that the body is a partial result. Errors that it lists for the missing part do not
/// make it a failure.
const fn is_partial(status: u16) -> bool {
    status == StatusCode::PARTIAL_CONTENT.as_u16()
}

/// Returns the value of a header of a failure that a caller reports.
fn reported_header(failure: &Failure, name: &str) -> Option<String> {
    let header = failure.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    header.map(|(_, value)| value.trim().to_owned())
}

/// Returns code, sub code and message if the body, or a header, contains an error.
fn find_error(shapes: &[ErrorShape], body: &[u8], header: impl Fn(&str) -> Option<String>) -> Option<ErrorFields> {
    if shapes.is_empty() {
        return None;
    }
    // Invalid UTF-8 makes one value unreadable, not the whole response.
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_SEARCHED_BODY)]);
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let mut extractor = ErrorExtractor::new(shapes);
    if text.starts_with('<') {
        xml::read(text, &mut extractor)
    } else {
        json::read(text, &mut extractor)
    }
    extractor.error(header)
}

/// Returns the fields that the headers of a failed response contain if its body contains no error.
fn header_fields(shapes: &[ErrorShape], header: impl Fn(&str) -> Option<String>) -> ErrorFields {
    shapes.iter().fold(ErrorFields::default(), |fields, shape| fields.or(from_headers(shape, &header)))
}

fn policy_headers(config: &Config, platform: &str, headers: &HeaderMap) -> Vec<(String, String)> {
    let more = config.platforms.get(platform).map_or(&[][..], |platform| &platform.headers);
    let more = more.iter().map(String::as_str).filter(|name| !POLICY_HEADERS.contains(name));
    let names = POLICY_HEADERS.into_iter().chain(more);
    let present = names.filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?)));
    present.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
