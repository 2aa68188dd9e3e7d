//! What came of a call.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// How a call ended, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The platform did what was asked.
    Success,
    /// It did not, for whatever reason; HTTP 200 with an error inside counts here.
    Error,
    /// Our own limit said no and nothing was sent; not part of `count`.
    Limited,
}

/// How far a failed call got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No answer within the time allowed; it may have been carried out.
    Timeout,
    /// No connection, or it broke; it may have been carried out.
    Connection,
    /// An answer that says no.
    #[default]
    Response,
}

/// A failed attempt in plain values: all that a retry policy sees.
///
/// ```
/// use tidegate_core::Failure;
/// let failure: Failure = serde_json::from_str(r#"{"platform": "taobao", "status": 200, "code": "7"}"#).unwrap();
/// assert_eq!((failure.attempt, failure.code.as_deref()), (1, Some("7")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Failure {
    /// The platform that was called.
    pub platform: String,
    /// The endpoint, as metrics name it.
    pub endpoint: String,
    /// How far the call got.
    pub kind: FailureKind,
    /// Which attempt failed: 1 is the first.
    pub attempt: u32,
    /// Milliseconds since the first attempt began.
    pub elapsed_ms: u64,
    /// When it failed, in milliseconds since 1970; 0 where nobody said.
    pub at_ms: u64,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// The platform's error code, as text.
    pub code: Option<String>,
    /// The platform's sub code.
    pub sub_code: Option<String>,
    /// The platform's words.
    pub message: Option<String>,
    /// Chosen headers of the answer, names in lower case.
    #[serde(deserialize_with = "headers")]
    pub headers: Vec<(String, String)>,
    /// The wait that a `Retry-After` header asked for, in milliseconds.
    pub retry_after_ms: Option<u64>,
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
        }
    }
}

/// Reads headers as pairs, or as a table in the way of case files and of the decision log; names become lower case.
///
/// # Errors
/// Where they are neither.
pub fn headers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected headers as {\"name\": \"value\"} or as [[\"name\", \"value\"]]")]
    enum Headers {
        Pairs(Vec<(String, String)>),
        Table(BTreeMap<String, String>),
    }
    let mut headers = match Headers::deserialize(from)? {
        Headers::Pairs(pairs) => pairs,
        Headers::Table(table) => table.into_iter().collect(),
    };
    headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    Ok(headers)
}

/// The longest text of a failure, in bytes; what a policy needs of it stands at its beginning.
const MAX_TEXT: usize = 8 * 1024;
/// The most headers of a failure.
const MAX_HEADERS: usize = 64;

impl Failure {
    /// The failure with its texts and headers cut at what policies are told: 8 KiB each, 64 headers.
    ///
    /// ```
    /// use tidegate_core::Failure;
    /// let told = Failure { message: Some("x".repeat(9_000)), ..Failure::default() };
    /// assert_eq!(told.bounded().message.unwrap().len(), 8_192);
    /// ```
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.headers.truncate(MAX_HEADERS);
        let headers = self.headers.iter_mut().flat_map(|(name, value)| [name, value]);
        let texts = [&mut self.code, &mut self.sub_code, &mut self.message].into_iter().flatten();
        headers.chain(texts).for_each(|text| text.truncate(text.floor_char_boundary(MAX_TEXT)));
        self
    }

    /// The wait that the platform asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_as_pairs_or_as_a_table() {
        let rows = [r#"[["a","1"],["b","2"]]"#, r#"{"b":"2","a":"1"}"#];
        for headers in rows {
            let failure: Failure = serde_json::from_str(&format!(r#"{{"headers":{headers}}}"#)).unwrap();
            let expected = [("a", "1"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(failure.headers, expected, "{headers}");
        }
        let error = serde_json::from_str::<Failure>(r#"{"headers":{"a":1}}"#).unwrap_err().to_string();
        assert!(error.starts_with(r#"expected headers as {"name": "value"}"#), "{error}");
    }
}
