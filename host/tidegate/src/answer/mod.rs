//! Reading an answer: many platforms say "HTTP 200" and put the error inside.

mod body;
mod shape;

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use shape::{Failed, Shape};
use tidegate_core::clock::millis;
use tidegate_core::{Failure, FailureKind};

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
/// ```
/// use http::{HeaderMap, StatusCode};
/// let body = br#"{"error_response": {"code": 7, "msg": "App Call Limited", "sub_msg": "This ban will last for 1 more seconds"}}"#;
/// let failure = tidegate::read_failure("taobao", StatusCode::OK, &HeaderMap::new(), body).unwrap();
/// assert_eq!(failure.code.as_deref(), Some("7"));
/// ```
#[must_use]
pub fn read_failure(platform: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Failure> {
    let shapes = shape::of(platform);
    let tree = if shapes.is_empty() { None } else { body::parse(body) };
    let told = tree.as_ref().and_then(|tree| shapes.iter().find_map(|shape| told(shape, tree)));
    // What came in part, with a note on the rest, came.
    let told = told.filter(|_| status != StatusCode::PARTIAL_CONTENT);
    if told.is_none() && (status.is_success() || status.is_informational() || status.is_redirection()) {
        return None;
    }
    let (code, sub_code, message) = told.unwrap_or_default();
    Some(Failure {
        platform: platform.to_owned(),
        kind: FailureKind::Response,
        status: Some(status.as_u16()),
        code: code.or_else(|| headers.get(ERROR_TYPE)?.to_str().ok().map(str::to_owned)),
        sub_code,
        message,
        headers: chosen(headers),
        retry_after_ms: retry_after_ms(headers),
        ..Failure::default()
    })
}

type Told = (Option<String>, Option<String>, Option<String>);

/// Code, sub code and message, where the tree is an error.
fn told(shape: &Shape, tree: &Value) -> Option<Told> {
    let object = shape.at.iter().try_fold(tree, |value, key| match value {
        Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
        other => other.get(key),
    })?;
    if !object.is_object() {
        return None;
    }
    let first = |keys: &[&str]| keys.iter().find_map(|key| object.get(key).and_then(text));
    let code = first(shape.code);
    let failed = match shape.failed {
        Failed::Present => true,
        Failed::CodeNot(good) => code.as_deref().is_some_and(|code| !good.contains(&code)),
        Failed::NotSuccess => object.get("success").is_some_and(|success| success == false || success == "false"),
        Failed::Field(name, value) => object.get(name).is_some_and(|found| found == value),
    };
    failed.then(|| (code, first(shape.sub_code), first(shape.message)))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn chosen(headers: &HeaderMap) -> Vec<(String, String)> {
    let present = CHOSEN.iter().filter_map(|name| Some((*name, headers.get(*name)?.to_str().ok()?)));
    present.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// `Retry-After` in seconds, or as a date, which counts from the answer's own `Date` (RFC 9110, 10.2.3).
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let given = text("retry-after")?;
    if let Ok(seconds) = given.parse::<u64>() {
        return seconds.checked_mul(1_000);
    }
    let until = httpdate::parse_http_date(given).ok()?;
    let now = text("date").and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now);
    // A date that has passed asks for no wait.
    Some(millis(until.duration_since(now).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Platform, status, body, and the code that is read from it (`-` where the answer is a success).
    const ROWS: &[(&str, u16, &str, &str)] = &[
        ("taobao", 200, r#"{"trade_get_response":{"trade":{}}}"#, "-"),
        ("taobao", 200, r#"{"error_response":{"code":15,"sub_code":"isp.remote-service-timeout"}}"#, "15"),
        ("pdd", 200, r#"{"error_response":{"error_code":52101,"sub_code":null}}"#, "52101"),
        ("jd", 200, r#"{"error_response":{"code":"2","zh_desc":"x"}}"#, "2"),
        ("lazada", 200, r#"{"code":"0","data":{}}"#, "-"),
        ("lazada", 200, r#"{"code":"ApiCallLimit","message":"x"}"#, "ApiCallLimit"),
        ("tiktok_shop", 200, r#"{"code":0}"#, "-"),
        ("tiktok_shop", 200, r#"{"code":36009002}"#, "36009002"),
        ("douyin", 200, r#"{"code":10000}"#, "-"),
        ("douyin", 200, r#"{"code":60000,"sub_code":"isv.traffic-limited"}"#, "60000"),
        ("kuaishou", 200, r#"{"result":1}"#, "-"),
        ("kuaishou", 200, r#"{"result":1017,"error_msg":"x"}"#, "1017"),
        ("shopee", 200, r#"{"error":"","response":{}}"#, "-"),
        ("shopee", 200, r#"{"error":"error_limit","message":"x"}"#, "error_limit"),
        ("suning", 200, r#"{"sn_responseContent":{"sn_error":{"error_code":"biz.x"}}}"#, "biz.x"),
        ("amazon", 429, r#"{"errors":[{"code":"QuotaExceeded"}]}"#, "QuotaExceeded"),
        ("ebay", 429, r#"{"errors":[{"errorId":2001,"category":"REQUEST"}]}"#, "2001"),
        ("alibaba_1688", 200, r#"{"error_code":"gw.QosAppFrequencyLimit"}"#, "gw.QosAppFrequencyLimit"),
        ("vipshop", 200, r#"{"returnCode":"0","result":{}}"#, "-"),
        ("xiaohongshu", 200, r#"{"error_code":0,"success":true}"#, "-"),
        ("walmart", 503, "<html>down</html>", ""),
        ("taobao", 200, r#"{"error_response":null}"#, "-"),
        ("ebay", 200, r#"{"errors":[null]}"#, "-"),
        ("walmart", 200, r#"{"errors":[]}"#, "-"),
        ("taobao", 200, "<error_response><code>7</code><msg>x</msg></error_response>", "7"),
        ("taobao", 200, "<trade_get_response><trade/></trade_get_response>", "-"),
        (
            "ebay",
            200,
            "<R><Ack>Failure</Ack><Errors><ErrorCode>931</ErrorCode><SeverityCode>Error</SeverityCode></Errors></R>",
            "931",
        ),
        ("ebay", 200, "<R><Errors><ErrorCode>1</ErrorCode><SeverityCode>Warning</SeverityCode></Errors></R>", "-"),
        ("alibaba_intl", 200, r#"{"code":"0","result":{"success":false,"msg_code":"isp.x"}}"#, "isp.x"),
        ("alibaba_intl", 200, r#"{"code":"0","result":{"success":true}}"#, "-"),
        ("alibaba_1688", 200, r#"{"result":{"success":false,"code":"x"}}"#, "x"),
        ("xiaohongshu", 200, r#"{"error_code":0,"success":true,"data":{"code":-2000400,"success":false}}"#, "-2000400"),
        ("aliexpress", 200, r#"{"error_response":{"type":"ISV","code":"ApiCallLimit"}}"#, "ApiCallLimit"),
        ("walmart", 206, r#"{"errors":[{"code":"SOME_CONTENT_NOT_FOUND"}]}"#, "-"),
        ("elsewhere", 200, r#"{"error_response":{"code":1}}"#, "-"),
    ];

    #[test]
    fn an_error_is_found_where_each_platform_puts_it() {
        for (platform, status, body, expected) in ROWS {
            let status = StatusCode::from_u16(*status).unwrap();
            let failure = read_failure(platform, status, &HeaderMap::new(), body.as_bytes());
            let code = failure.map_or("-".to_owned(), |failure| failure.code.unwrap_or_default());
            assert_eq!(code, *expected, "{platform}: {body}");
        }
    }

    #[test]
    fn only_chosen_headers_are_shown_and_the_wait_is_read() {
        let headers = [("retry-after", "7"), ("set-cookie", "secret"), ("x-amzn-errortype", "Throttled")];
        let headers = headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = headers.collect::<Vec<(http::HeaderName, http::HeaderValue)>>().into_iter().collect();
        let failure = read_failure("amazon", StatusCode::TOO_MANY_REQUESTS, &headers, b"").unwrap();
        assert_eq!(failure.retry_after_ms, Some(7_000));
        assert_eq!(failure.headers.len(), 2, "{:?}", failure.headers);
        assert_eq!(failure.code.as_deref(), Some("Throttled"), "where the body has none");
    }

    #[test]
    fn a_wait_is_told_in_seconds_or_as_a_date_by_the_clock_of_the_platform() {
        let date = "Mon, 23 Nov 2026 15:00:00 GMT";
        let rows = [
            ("7", Some(7_000)),
            (" 7 ", Some(7_000)),
            ("Mon, 23 Nov 2026 15:01:30 GMT", Some(90_000)),
            ("Monday, 23-Nov-26 15:01:30 GMT", Some(90_000)),
            ("Mon, 23 Nov 2026 14:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("18446744073709551615", None),
        ];
        for (given, expected) in rows {
            let headers = [("retry-after", given), ("date", date)];
            let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let headers: HeaderMap = Vec::<(http::HeaderName, http::HeaderValue)>::from(headers).into_iter().collect();
            assert_eq!(retry_after_ms(&headers), expected, "{given}");
        }
    }
}
