//! Extraction of errors from the bodies of each platform, and from malformed and hostile bodies.

use super::*;

/// Platform, status, body, and the expected error code (`-` for a success).
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
        "<GetItemResponse><Errors><ErrorCode>931</ErrorCode><SeverityCode>Error</SeverityCode></Errors></GetItemResponse>",
        "931",
    ),
    (
        "ebay",
        200,
        "<GetItemResponse><Errors><ErrorCode>1</ErrorCode><SeverityCode>Warning</SeverityCode></Errors></GetItemResponse>",
        "-",
    ),
    ("alibaba_intl", 200, r#"{"code":"0","result":{"success":false,"msg_code":"isp.x"}}"#, "isp.x"),
    ("alibaba_intl", 200, r#"{"code":"0","result":{"success":true}}"#, "-"),
    ("alibaba_1688", 200, r#"{"result":{"success":false,"code":"x"}}"#, "x"),
    ("xiaohongshu", 200, r#"{"error_code":0,"success":true,"data":{"code":-2000400,"success":false}}"#, "-2000400"),
    ("aliexpress", 200, r#"{"error_response":{"type":"ISV","code":"ApiCallLimit"}}"#, "ApiCallLimit"),
    ("walmart", 206, r#"{"errors":[{"code":"SOME_CONTENT_NOT_FOUND"}]}"#, "-"),
    ("jd", 200, r#"{"code":"403","msg":"x","requestId":"r"}"#, "403"),
    ("jd", 200, r#"{"jingdong_x_responce":{"code":"0"}}"#, "-"),
    ("alibaba_1688", 400, r#"{"errorCode":"gw.ParamMissing"}"#, "gw.ParamMissing"),
    ("alibaba_1688", 200, r#"{"success":false,"code":"x"}"#, "x"),
    ("aliexpress", 200, r#"{"aliexpress_x_response":{"rsp_code":200,"result":{"code":404}}}"#, "-"),
    ("aliexpress", 200, r#"{"aliexpress_x_response":{"code":404,"rsp_code":"200"}}"#, "-"),
    ("aliexpress", 200, r#"{"aliexpress_x_response":{"resp_result":{"resp_code":405}}}"#, "405"),
    ("aliexpress", 200, r#"{"code":"ApiCallLimit","type":"ISV"}"#, "ApiCallLimit"),
    ("walmart", 200, r#"{"errors":[null,{"code":"SYSTEM_ERROR"}]}"#, "SYSTEM_ERROR"),
    ("elsewhere", 200, r#"{"error_response":{"code":1}}"#, "-"),
];

#[test]
fn error_codes_are_extracted_for_each_platform() {
    let config = Config::with_platforms();
    for (platform, status, body, expected) in ROWS {
        let status = StatusCode::from_u16(*status).unwrap();
        let failure = read_failure(&config, platform, ResponseParts::new(status, &HeaderMap::new(), body.as_bytes()));
        let code = failure.map_or("-".to_owned(), |failure| failure.code.unwrap_or_default());
        assert_eq!(code, *expected, "{platform}: {body}");
    }
}

#[test]
fn failures_have_the_policy_headers_only_and_the_parsed_wait() {
    let headers = [("retry-after", "7"), ("set-cookie", "secret"), ("x-amzn-errortype", "Throttled")];
    let headers = headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let headers: HeaderMap = headers.collect::<Vec<(http::HeaderName, http::HeaderValue)>>().into_iter().collect();
    let failure = read_failure(
        &Config::with_platforms(),
        "amazon",
        ResponseParts::new(StatusCode::TOO_MANY_REQUESTS, &headers, b""),
    )
    .unwrap();
    assert_eq!(failure.retry_after_ms, Some(7_000));
    assert_eq!(failure.headers.len(), 2, "{:?}", failure.headers);
    assert_eq!(failure.code.as_deref(), Some("Throttled"), "the header is used because the body has no code");
}

/// Returns the code and the message that are read from the body of an HTTP 200 response (`-` for a success).
fn read(platform: &str, body: impl AsRef<[u8]>) -> String {
    let failure = read_failure(
        &Config::with_platforms(),
        platform,
        ResponseParts::new(StatusCode::OK, &HeaderMap::new(), body.as_ref()),
    );
    let describe = |failure: Failure| {
        format!("{} {}", failure.code.unwrap_or_default(), failure.message.unwrap_or_default()).trim().to_owned()
    };
    failure.map_or("-".to_owned(), describe)
}

#[test]
fn fields_before_a_syntax_error_are_kept() {
    let deep = "[".repeat(20_000);
    let long = "x".repeat(MAX_SEARCHED_BODY);
    let rows: Vec<(&str, String, &str)> = vec![
        // Truncated bodies, and bodies above the maximum size.
        ("douyin", r#"{"code":60000,"msg":"li"#.into(), "60000"),
        ("douyin", format!(r#"{{"code":60000,"msg":"m","data":"{long}"}}"#), "60000 m"),
        ("douyin", format!(r#"{{"data":"{long}","code":60000}}"#), "-"),
        ("taobao", "<error_response><code>7</code><msg>li".into(), "7"),
        ("taobao", "<error_response><code>7</code></msg>".into(), "7"),
        // Policies do not get this part of the body, but the code in it.
        ("douyin", format!(r#"{{"data":"{}","code":60000}}"#, "x".repeat(100_000)), "60000"),
        // Deep nesting outside and inside the error path.
        ("douyin", format!(r#"{{"data":{deep}"#), "-"),
        ("douyin", format!(r#"{{"code":60000,"data":{deep}"#), "60000"),
        ("douyin", format!(r#"{{"code":{deep}"#), "-"),
        ("walmart", format!(r#"{{"errors":{deep}"#), "-"),
        ("douyin", deep.clone(), "-"),
        ("taobao", "<a>".repeat(20_000), "-"),
        ("taobao", format!("<error_response>{}", "<code>".repeat(8_000)), ""),
        // The last value of a repeated name wins.
        ("douyin", r#"{"code":10000,"code":60000}"#.into(), "60000"),
        ("douyin", r#"{"code":60000,"code":10000}"#.into(), "-"),
        // The first entry of a long list wins.
        ("walmart", format!(r#"{{"errors":[{}{{"code":"LAST"}}]}}"#, r#"{"code":"A"},"#.repeat(1_000)), "A"),
        // Unusual numbers.
        ("douyin", r#"{"code":1e999,"msg":"m"}"#.into(), "1e999 m"),
        ("douyin", r#"{"code":123456789012345678901234567890}"#.into(), "123456789012345678901234567890"),
        ("douyin", r#"{"code":10000.0}"#.into(), "-"),
        ("douyin", r#"{"data":1e999,"code":60000}"#.into(), "60000"),
        ("douyin", r#"{"code":-1}"#.into(), "-1"),
        ("douyin", r#"{"code":60000.5}"#.into(), "60000.5"),
        // Wrong types.
        ("douyin", r#"{"code":{"a":1},"msg":"m"}"#.into(), "-"),
        ("douyin", r#"{"code":["60000"]}"#.into(), "-"),
        ("douyin", r#"{"code":null}"#.into(), "-"),
        ("taobao", r#"{"error_response":"busy"}"#.into(), "-"),
        ("taobao", r#"{"error_response":{"code":null,"msg":["m"],"sub_msg":"s"}}"#.into(), "s"),
        ("taobao", r#"{"error_response":{}}"#.into(), ""),
        ("taobao", "<error_response/>".into(), ""),
        ("taobao", "<error_response><code><b>7</b></code></error_response>".into(), ""),
        // Empty bodies.
        ("taobao", String::new(), "-"),
        ("taobao", "null".into(), "-"),
        ("taobao", "<".into(), "-"),
    ];
    for (platform, body, expected) in rows {
        assert_eq!(read(platform, &body), expected, "{platform}: {body:.80}");
    }
}

#[test]
fn invalid_utf_8_makes_only_its_own_value_unreadable() {
    assert_eq!(read("douyin", b"{\"code\":60000,\"msg\":\"a\xffb\"}"), "60000 a\u{fffd}b");
    assert_eq!(
        read("taobao", b"<error_response><msg>\xc4\xe3</msg><code>7</code></error_response>"),
        "7 \u{fffd}\u{fffd}"
    );
    assert_eq!(read("douyin", "\u{feff} {\"code\":60000}"), "60000", "a byte order mark is skipped");
    let cut = format!("{{\"code\":60000,\"msg\":\"{}é", "x".repeat(MAX_SEARCHED_BODY - 23));
    assert_eq!(read("douyin", &cut), "60000", "the size limit splits a character");
}

#[test]
fn xml_resolves_predefined_entities_only() {
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    let rows = [
        (
            "<error_response><code> 7 </code><sub_msg>ban &lt;1&gt; &#65;&#x42;</sub_msg></error_response>",
            "7 ban <1> AB",
        ),
        ("<error_response><code><![CDATA[7]]></code><msg>a<!-- b -->c</msg></error_response>", "7 ac"),
        (
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<t:error_response xmlns:t=\"u\"><t:code>7</t:code></t:error_response>",
            "7",
        ),
        ("<error_response><args list=\"true\"><arg><code>9</code></arg></args><code>7</code></error_response>", "7"),
        ("<other><error_response><code>7</code></error_response></other>", "-"),
    ];
    for (body, expected) in rows {
        assert_eq!(read("taobao", body), expected, "{body}");
    }
    assert_eq!(read("taobao", format!("{bomb}<error_response><code>7</code><msg>&b;</msg></error_response>")), "7");
    let errors = "<GetItemResponse><Errors><ErrorCode>1</ErrorCode><SeverityCode>Warning</SeverityCode></Errors>\
                  <Errors><ErrorCode>931</ErrorCode><SeverityCode>Error</SeverityCode></Errors></GetItemResponse>";
    assert_eq!(read("ebay", errors), "931", "a warning comes first");
}

#[test]
fn long_messages_are_truncated() {
    let body = format!(r#"{{"code":60000,"msg":"{}"}}"#, "é".repeat(10_000));
    assert_eq!(read("douyin", body).len(), "60000 ".len() + 8 * 1024);
}

#[test]
fn reported_failure_is_completed_like_a_response() {
    const NOON_MS: u64 = 1_795_435_200_000;
    let config = Config::with_platforms();
    let complete = |ms, headers: &[(&str, &str)]| {
        let mut reported = Failure::default().with_at_ms(NOON_MS).with_headers(headers.iter().copied());
        reported.retry_after_ms = ms;
        complete_failure(&config, reported)
    };
    assert_eq!(complete(None, &[("Retry-After", "7")]).retry_after_ms, Some(7_000));
    assert_eq!(complete(None, &[("retry-after", "Mon, 23 Nov 2026 12:00:30 GMT")]).retry_after_ms, Some(30_000));
    assert_eq!(complete(Some(1), &[("Retry-After", "7")]).retry_after_ms, Some(1), "an explicit wait takes precedence");
    assert_eq!(complete(None, &[("X-Other", "7")]).retry_after_ms, None);
    assert_eq!(complete(None, &[("X-Other", "7")]).headers[0].0, "x-other");
}

#[test]
fn explicit_fields_of_a_reported_failure_take_precedence_over_the_body() {
    let config = Config::with_platforms();
    let body = r#"{"error_response":{"code":7,"sub_code":"s","msg":"m"}}"#;
    let complete = |code: Option<&str>, body: Option<&str>| {
        let (code, body) = (code.map(str::to_owned), body.map(str::to_owned));
        let mut reported = Failure::default().with_platform("taobao");
        reported.code = code;
        reported.body = body;
        let Failure { code, sub_code, message, .. } = complete_failure(&config, reported);
        [code, sub_code, message].map(Option::unwrap_or_default).join(" ")
    };
    assert_eq!(complete(None, Some(body)), "7 s m");
    assert_eq!(complete(Some("8"), Some(body)), "8 s m");
    assert_eq!(complete(Some("8"), Some("{}")), "8  ");
    assert_eq!(complete(None, None), "  ");
}

/// A configuration whose platform `shop` has these error shapes.
fn shop(error: &str) -> Config {
    let text = format!("limits.shop = {{ rate = '1/s', burst = 1 }}\nplatforms.shop.error = {error}");
    Config::parse(&text).unwrap_or_else(|errors| panic!("{error}: {errors:?}"))
}

#[test]
fn configured_shapes_find_the_error() {
    // The error shapes, the body of an HTTP 200, and the expected code, sub code and message (`-` for a success).
    let own = "{ at = '/err', code = 'no', message = 'text' }";
    let nested = "{ at = '/error', code = 'code', sub_code = 'errors/reason', message = ['text', 'detail/text'] }";
    let both = "[{ at = '/err', code = 'no' }, { code = 'status', message = 'info/text', error_codes = [8, 9] }]";
    let unless = "{ code = 'code', unless = { code = ['0', 1], state = 'ok' } }";
    let rows = [
        (own, r#"{"err":{"no":7,"text":"busy"}}"#, "7||busy"),
        (own, r#"{"data":{"err":{"no":7}}}"#, "-"),
        (own, r#"{"err":[{"no":7},{"no":8}]}"#, "7||"),
        (own, "<r><err><no>7</no></err></r>", "-"),
        (own, "<err><no>7</no><text>busy</text></err>", "7||busy"),
        (nested, r#"{"error":{"code":403,"errors":[{"reason":"a"},{"reason":"b"}],"detail":{"text":"d"}}}"#, "403|a|d"),
        (nested, r#"{"error":{"errors":[{"domain":"x"},{"reason":"b"}],"text":"t","detail":{"text":"d"}}}"#, "|b|t"),
        (nested, r#"{"error":{"errors":{"reason":{"x":1}},"text":["t"]}}"#, "||"),
        (nested, "<error><errors><reason>a</reason></errors><detail><text>d</text></detail></error>", "|a|d"),
        (both, r#"{"status":8,"info":{"text":"t"},"err":{"no":7}}"#, "7||"),
        (both, r#"{"status":8,"info":{"text":"t"}}"#, "8||t"),
        (both, r#"{"status":7}"#, "-"),
        (unless, r#"{"code":0}"#, "-"),
        (unless, r#"{"code":1}"#, "-"),
        (unless, r#"{"code":2,"state":"ok"}"#, "-"),
        (unless, r#"{"code":2,"state":"failed"}"#, "2||"),
        ("{ code = 'c', when = { 'a/ok' = false, b = 1 } }", r#"{"c":5,"a":{"ok":false},"b":1}"#, "5||"),
        ("{ code = 'c', when = { 'a/ok' = false, b = 1 } }", r#"{"c":5,"a":{"ok":false},"b":2}"#, "-"),
        ("{ code = 'c', when = { ok = false }, success_codes = 0 }", r#"{"c":0,"ok":false}"#, "-"),
        ("[]", r#"{"err":{"no":7}}"#, "-"),
    ];
    for (error, body, expected) in rows {
        let failure =
            read_failure(&shop(error), "shop", ResponseParts::new(StatusCode::OK, &HeaderMap::new(), body.as_bytes()));
        let fields = |Failure { code, sub_code, message, .. }| {
            [code, sub_code, message].map(Option::unwrap_or_default).join("|")
        };
        assert_eq!(failure.map_or("-".to_owned(), fields), expected, "{error}: {body}");
    }
}

#[test]
fn headers_contain_errors_that_the_body_does_not() {
    let error =
        "{ at = '/err', code = 'no', code_header = 'X-Code', sub_code_header = 'x-sub', message_header = 'x-text' }";
    let only_headers = "{ code_header = 'x-code', message_header = 'x-text', success_codes = [0, 'ok'] }";
    let body = r#"{"err":{"no":7}}"#;
    let rows = [
        // A code ends at a colon; a field of the body takes precedence.
        (error, 500, "", &[("x-code", "E1:http://x/"), ("x-text", "a:b")][..], "E1||a:b"),
        (error, 200, body, &[("x-code", "E1"), ("x-sub", "s")], "7|s|"),
        (error, 200, "{}", &[("x-code", "E1")], "-"),
        (error, 500, "", &[("x-code", ":x")], "||"),
        (only_headers, 200, "", &[("x-code", "E1"), ("x-text", "busy")], "E1||busy"),
        (only_headers, 200, "[1]", &[("x-code", "ok")], "-"),
        (only_headers, 200, "", &[], "-"),
        (only_headers, 206, "", &[("x-code", "E1")], "-"),
    ];
    for (error, status, body, headers, expected) in rows {
        let names = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let names: HeaderMap = names.collect::<Vec<(http::HeaderName, http::HeaderValue)>>().into_iter().collect();
        let status = StatusCode::from_u16(status).unwrap();
        let failure = read_failure(&shop(error), "shop", ResponseParts::new(status, &names, body.as_bytes()));
        let fields = |Failure { code, sub_code, message, .. }| {
            [code, sub_code, message].map(Option::unwrap_or_default).join("|")
        };
        assert_eq!(failure.map_or("-".to_owned(), fields), expected, "{error}: {body} {headers:?}");
    }
}

#[test]
fn configured_headers_are_added_to_those_that_policies_read() {
    let text = "limits.shop = { rate = '1/s', burst = 1 }\nplatforms.shop.headers = ['X-Trace', 'retry-after']";
    let config = Config::parse(text).unwrap();
    let headers = [("x-trace", "t"), ("retry-after", "7"), ("set-cookie", "secret")];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let headers: HeaderMap = Vec::<(http::HeaderName, http::HeaderValue)>::from(headers).into_iter().collect();
    let read = |platform| {
        read_failure(&config, platform, ResponseParts::new(StatusCode::BAD_GATEWAY, &headers, b"")).unwrap().headers
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(read("shop"), [pair("retry-after", "7"), pair("x-trace", "t")]);
    assert_eq!(read("other"), [pair("retry-after", "7")]);
}
