//! Reading an answer: many platforms say "HTTP 200" and put the error inside.

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tidegate_core::{Failure, FailureKind};

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

/// Where a family of platforms puts an error, and what its success looks like.
struct Shape {
    /// The path to the object that holds the error; empty for the top level.
    at: &'static [&'static str],
    code: &'static [&'static str],
    sub_code: &'static [&'static str],
    message: &'static [&'static str],
    success: Success,
}

/// How an answer of HTTP 2xx shows that it is none.
enum Success {
    /// The error object is there or not.
    NoObject,
    /// The code is missing or one of these.
    Code(&'static [&'static str]),
}

const TOP: Shape = Shape {
    at: &["error_response"],
    code: &["error_code", "code"],
    sub_code: &["sub_code"],
    message: &["sub_msg", "error_msg", "msg", "zh_desc", "en_desc"],
    success: Success::NoObject,
};

const fn flat(code: &'static [&'static str], message: &'static [&'static str], ok: &'static [&'static str]) -> Shape {
    Shape { at: &[], code, sub_code: &["sub_code", "type"], message, success: Success::Code(ok) }
}

const ALI_1688: Shape = flat(&["error_code", "errorCode"], &["error_message", "errorMessage"], &[]);
const IOP: Shape = flat(&["code"], &["message", "msg"], &["0"]);
const DOUYIN: Shape = flat(&["code"], &["sub_msg", "msg"], &["10000"]);
const KUAISHOU: Shape = flat(&["result"], &["error_msg"], &["1"]);
const XIAOHONGSHU: Shape = flat(&["error_code"], &["error_msg"], &["0"]);
const VIPSHOP: Shape = flat(&["returnCode"], &["returnMessage"], &["0"]);
const SHOPEE: Shape = flat(&["error"], &["message"], &[""]);
const SUNING: Shape = Shape {
    at: &["sn_responseContent", "sn_error"],
    code: &["error_code"],
    sub_code: &[],
    message: &["error_msg"],
    success: Success::NoObject,
};
const ERRORS: Shape = Shape {
    at: &["errors", "0"],
    code: &["code", "errorId"],
    sub_code: &["category"],
    message: &["message", "description"],
    success: Success::NoObject,
};

/// The shape of a platform's errors, after its documentation; `None` where only the HTTP status tells.
fn shape(platform: &str) -> Option<&'static Shape> {
    Some(match platform {
        "taobao" | "tmall" | "jd" | "pdd" | "aliexpress" => &TOP,
        "alibaba_1688" => &ALI_1688,
        "alibaba_intl" | "lazada" | "tiktok_shop" => &IOP,
        "douyin" => &DOUYIN,
        "kuaishou" => &KUAISHOU,
        "xiaohongshu" => &XIAOHONGSHU,
        "vipshop" => &VIPSHOP,
        "suning" => &SUNING,
        "shopee" => &SHOPEE,
        "amazon" | "ebay" | "walmart" => &ERRORS,
        _ => return None,
    })
}

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
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let told = shape(platform).zip(value.as_ref()).and_then(|(shape, value)| told(shape, value));
    if told.is_none() && (status.is_success() || status.is_informational() || status.is_redirection()) {
        return None;
    }
    let (code, sub_code, message) = told.unwrap_or_default();
    Some(Failure {
        platform: platform.to_owned(),
        kind: FailureKind::Response,
        status: Some(status.as_u16()),
        code,
        sub_code,
        message,
        headers: chosen(headers),
        retry_after_ms: retry_after_ms(headers),
        ..Failure::default()
    })
}

type Told = (Option<String>, Option<String>, Option<String>);

/// Code, sub code and message, where the body is an error.
fn told(shape: &Shape, value: &Value) -> Option<Told> {
    let object = shape.at.iter().try_fold(value, |value, key| match value {
        Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
        other => other.get(key),
    })?;
    if !object.is_object() {
        return None;
    }
    let first = |keys: &[&str]| keys.iter().find_map(|key| object.get(key).and_then(text));
    let code = first(shape.code);
    if let Success::Code(good) = shape.success
        && code.as_deref().is_none_or(|code| good.contains(&code))
    {
        return None;
    }
    Some((code, first(shape.sub_code), first(shape.message)))
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

/// `Retry-After` in seconds; the form with a date is left to policies, which see the header.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    seconds.checked_mul(1_000)
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
    }
}
