//! The outcome of a call, and the description of a failure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::millis;
use crate::text::one_line;

/// The outcome of a call, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call succeeded.
    Success,
    /// The call failed. This includes a response with status 200 that contains an error.
    Error,
    /// A limit of tidegate refused the call, and nothing was sent. [`Stats::count`](crate::Stats::count) does not
    /// include it.
    Limited,
}

crate::text_enum!(Outcome { Success => "success", Error => "error", Limited => "limited" });

/// The kind of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No response within the timeout. The platform may have executed the call.
    Timeout,
    /// The connection failed. The platform may have executed the call.
    Connection,
    /// The response is an error.
    #[default]
    Response,
}

crate::text_enum!(FailureKind { Timeout => "timeout", Connection => "connection", Response => "response" });

/// A failed attempt in plain values: the input of a retry policy.
///
/// ```
/// use tidegate_core::Failure;
/// let failure: Failure = serde_json::from_str(r#"{"platform": "taobao", "status": 200, "code": "7"}"#).unwrap();
/// assert_eq!((failure.attempt, failure.code.as_deref()), (1, Some("7")));
/// assert_eq!(failure.to_string(), r#"HTTP 200, code "7""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object")]
#[non_exhaustive]
pub struct Failure {
    /// The platform.
    pub platform: String,
    /// The endpoint, by its name in metrics.
    pub endpoint: String,
    /// The kind of the failure.
    pub kind: FailureKind,
    /// The number of the failed attempt; the first is 1.
    pub attempt: u32,
    /// Milliseconds since the first attempt started.
    pub elapsed_ms: u64,
    /// The time of the failure, in milliseconds since 1970; 0 if unknown.
    pub at_ms: u64,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The error code of the platform, as text.
    pub code: Option<String>,
    /// The error sub-code of the platform.
    pub sub_code: Option<String>,
    /// The error message of the platform.
    pub message: Option<String>,
    /// Selected headers of the response; their names are in lower case.
    #[serde(deserialize_with = "deserialize_headers")]
    pub headers: Vec<(String, String)>,
    /// The wait that the `Retry-After` header requires, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The body of the response, at most [`MAX_BODY_SIZE`] of it; invalid UTF-8 is replaced. It is needed only if a
    /// policy reads it.
    pub body: Option<String>,
}

impl Default for Failure {
    fn default() -> Self {
        Self {
            platform: String::new(),
            endpoint: String::new(),
            kind: FailureKind::Response,
            attempt: 1,
            elapsed_ms: 0,
            at_ms: 0,
            status: None,
            code: None,
            sub_code: None,
            message: None,
            headers: Vec::new(),
            retry_after_ms: None,
            body: None,
        }
    }
}

/// Returns headers whose names are in lower case.
pub(crate) fn lower_case_names(
    headers: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
) -> impl Iterator<Item = (String, String)> {
    headers.into_iter().map(|(name, value)| {
        let mut name = name.into();
        name.make_ascii_lowercase();
        (name, value.into())
    })
}

/// Deserializes headers from a list of pairs, or from a table as in case files and in the decision log. Names are
/// converted to lower case.
///
/// # Errors
/// Returns an error if the value is neither a list of pairs nor a table, if a name is not valid in HTTP, or if a name
/// occurs twice in a table.
pub fn deserialize_headers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected headers as {\"name\": \"value\"} or as [[\"name\", \"value\"]]")]
    enum Headers {
        Pairs(Vec<(String, String)>),
        Table(BTreeMap<String, String>),
    }
    match Headers::deserialize(from)? {
        Headers::Pairs(pairs) => check_header_names(pairs).map_err(Error::custom),
        Headers::Table(table) => headers_from_table(table).map_err(Error::custom),
    }
}

/// Converts a table of headers to pairs with names in lower case.
///
/// # Errors
/// Returns an error if a name is not valid in HTTP, or if two names differ only in case.
pub fn headers_from_table(table: BTreeMap<String, String>) -> Result<Vec<(String, String)>, InvalidHeaderName> {
    let mut headers = check_header_names(table.into_iter().collect())?;
    headers.sort_unstable();
    let repeated = headers.array_windows().find(|[(name, _), (next, _)]| name == next);
    match repeated {
        Some([(name, _), _]) => Err(InvalidHeaderName { name: name.clone(), is_repeated: true }),
        None => Ok(headers),
    }
}

/// Checks the names of headers and converts them to lower case.
fn check_header_names(mut headers: Vec<(String, String)>) -> Result<Vec<(String, String)>, InvalidHeaderName> {
    if let Some((name, _)) = headers.iter().find(|(name, _)| !is_header_name(name)) {
        return Err(InvalidHeaderName { name: name.clone(), is_repeated: false });
    }
    headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    Ok(headers)
}

/// Returns whether a text is a valid name of an HTTP header.
pub(crate) fn is_header_name(text: &str) -> bool {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_token)
}

/// The error of a header whose name is not valid in HTTP, or occurs twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHeaderName {
    name: String,
    is_repeated: bool,
}

impl fmt::Display for InvalidHeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = one_line(&self.name, 60);
        if self.is_repeated {
            return write!(f, "the header `{name}` occurs twice; header names are case-insensitive");
        }
        write!(f, "expected a valid header name such as `retry-after`, found `{name}`")
    }
}

impl std::error::Error for InvalidHeaderName {}

/// The maximum size of the body of a failure, in bytes.
pub const MAX_BODY_SIZE: usize = 64 * 1024;
/// The maximum size of any other string of a failure, in bytes. The part that a policy needs is at the start.
const MAX_STRING_SIZE: usize = 8 * 1024;
/// The maximum number of headers of a failure.
const MAX_HEADERS: usize = 64;

impl Failure {
    /// Creates the failure of a response with this HTTP status.
    ///
    /// ```
    /// use tidegate_core::Failure;
    /// let failure = Failure::response(200).with_platform("taobao").with_code("7").with_message("App Call Limited");
    /// assert_eq!(failure.to_string(), r#"HTTP 200, code "7": App Call Limited"#);
    /// ```
    #[must_use]
    pub fn response(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// Creates the failure of a call without a response within its timeout.
    #[must_use]
    pub fn timeout() -> Self {
        Self { kind: FailureKind::Timeout, ..Self::default() }
    }

    /// Creates the failure of a call whose connection failed.
    #[must_use]
    pub fn connection() -> Self {
        Self { kind: FailureKind::Connection, ..Self::default() }
    }

    /// Sets the platform.
    #[must_use]
    pub fn with_platform(mut self, platform: impl Into<String>) -> Self {
        self.platform = platform.into();
        self
    }

    /// Sets the endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Sets the number of the failed attempt; the first is 1.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets the time since the first attempt started.
    #[must_use]
    pub fn with_elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed_ms = millis(elapsed);
        self
    }

    /// Sets the time of the failure, in milliseconds since 1970.
    #[must_use]
    pub fn with_at_ms(mut self, at_ms: u64) -> Self {
        self.at_ms = at_ms;
        self
    }

    /// Sets the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets the error code of the platform.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets the error sub-code of the platform.
    #[must_use]
    pub fn with_sub_code(mut self, sub_code: impl Into<String>) -> Self {
        self.sub_code = Some(sub_code.into());
        self
    }

    /// Sets the error message of the platform.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Adds headers of the response. Their names are converted to lower case.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        self.headers.extend(lower_case_names(headers));
        self
    }

    /// Sets the wait that the platform requires before the next attempt.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = Some(millis(wait));
        self
    }

    /// Truncates the failure to the size that policies get: 64 headers, 64 KiB of the body, and 8 KiB of each other
    /// string.
    ///
    /// ```
    /// use tidegate_core::Failure;
    /// let failure = Failure::default().with_message("x".repeat(9_000));
    /// assert_eq!(failure.truncated().message.unwrap().len(), 8_192);
    /// ```
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.headers.truncate(MAX_HEADERS);
        let headers = self.headers.iter_mut().flat_map(|(name, value)| [name, value]);
        let texts = [&mut self.code, &mut self.sub_code, &mut self.message].into_iter().flatten();
        headers.chain(texts).for_each(|text| text.truncate(text.floor_char_boundary(MAX_STRING_SIZE)));
        if let Some(body) = &mut self.body {
            body.truncate(body.floor_char_boundary(MAX_BODY_SIZE));
        }
        self
    }

    /// Sets the body from the bytes of a response: at most 64 KiB of text, in which U+FFFD replaces invalid UTF-8.
    ///
    /// ```
    /// use tidegate_core::Failure;
    /// let failure = Failure::default().with_body(b"{\"code\": 7}");
    /// assert_eq!(failure.body.as_deref(), Some("{\"code\": 7}"));
    /// ```
    #[must_use]
    pub fn with_body(mut self, bytes: &[u8]) -> Self {
        let mut end = bytes.len().min(MAX_BODY_SIZE);
        // A character has at most three continuation bytes.
        while end + 3 > MAX_BODY_SIZE && bytes.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
        let mut body = String::from_utf8_lossy(&bytes[..end]).into_owned();
        // A replacement is longer than the byte that it replaces.
        body.truncate(body.floor_char_boundary(MAX_BODY_SIZE));
        self.body = Some(body);
        self
    }

    /// Returns the value of `retry_after_ms` as a duration.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

impl fmt::Display for Failure {
    /// Writes what failed in one line, for example `HTTP 503, code "7": service unavailable`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.status) {
            (FailureKind::Timeout, _) => f.write_str("timeout")?,
            (FailureKind::Connection, _) => f.write_str("connection failed")?,
            (FailureKind::Response, Some(status)) => write!(f, "HTTP {status}")?,
            (FailureKind::Response, None) => f.write_str("error response")?,
        }
        for (name, code) in [("code", &self.code), ("sub code", &self.sub_code)] {
            if let Some(code) = code {
                write!(f, ", {name} {code:?}")?;
            }
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_displayed_in_one_line() {
        let text = |text: &str| Some(text.to_owned());
        let timeout = Failure { kind: FailureKind::Timeout, message: text("no answer in 10 s"), ..Failure::default() };
        let cases = [
            (Failure::default(), "error response"),
            (Failure { status: Some(404), ..Failure::default() }, "HTTP 404"),
            (Failure { kind: FailureKind::Connection, ..Failure::default() }, "connection failed"),
            (timeout, "timeout: no answer in 10 s"),
            (
                Failure {
                    status: Some(503),
                    code: text("7"),
                    sub_code: text("isp.busy"),
                    message: text("try later"),
                    ..Failure::default()
                },
                r#"HTTP 503, code "7", sub code "isp.busy": try later"#,
            ),
        ];
        for (failure, expected) in cases {
            assert_eq!(failure.to_string(), expected);
        }
    }

    #[test]
    fn body_is_valid_text_of_at_most_64_kib() {
        let body = |bytes: &[u8]| Failure::default().with_body(bytes).body.unwrap();
        assert_eq!(body(b""), "");
        assert_eq!(body(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(body(&[b'x'; MAX_BODY_SIZE + 1]), "x".repeat(MAX_BODY_SIZE));
        assert_eq!(body(&[0xff; MAX_BODY_SIZE]).len(), MAX_BODY_SIZE / 3 * 3, "each byte becomes three");
        let long = "限".repeat(MAX_BODY_SIZE);
        assert_eq!(body(long.as_bytes()), "限".repeat(MAX_BODY_SIZE / 3), "no character is cut");
        let emoji = format!("x{}", "\u{1f600}".repeat(MAX_BODY_SIZE));
        assert_eq!(body(emoji.as_bytes()).len(), MAX_BODY_SIZE - 3);
        let reported = Failure { body: Some(long), ..Failure::default() }.truncated();
        assert_eq!(reported.body.unwrap().len(), MAX_BODY_SIZE / 3 * 3);
    }

    #[test]
    fn headers_are_deserialized_from_pairs_or_from_a_table() {
        for headers in [r#"[["a","1"],["b","2"]]"#, r#"{"b":"2","a":"1"}"#] {
            let failure: Failure = serde_json::from_str(&format!(r#"{{"headers":{headers}}}"#)).unwrap();
            let expected = [("a", "1"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(failure.headers, expected, "{headers}");
        }
        let error = serde_json::from_str::<Failure>(r#"{"headers":{"a":1}}"#).unwrap_err().to_string();
        assert!(error.starts_with(r#"expected headers as {"name": "value"}"#), "{error}");
        let rows = [
            (r#"{"a b":"1"}"#, "expected a valid header name such as `retry-after`, found `a b`"),
            (r#"[["","1"]]"#, "expected a valid header name such as `retry-after`, found ``"),
            (r#"{"A":"1","b":"2","a":"3"}"#, "the header `a` occurs twice; header names are case-insensitive"),
        ];
        for (headers, expected) in rows {
            let error = serde_json::from_str::<Failure>(&format!(r#"{{"headers":{headers}}}"#)).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{headers}: {error}");
        }
        // A response can have a header twice.
        let twice: Failure = serde_json::from_str(r#"{"headers":[["A","1"],["a","2"]]}"#).unwrap();
        assert_eq!(twice.headers.len(), 2);
    }
}
