use serde_json::json;

use super::*;

fn masked_text(text: &str) -> String {
    Masker::default().text(text)
}

fn masked(value: Value) -> Value {
    let mut value = value;
    Masker::default().mask(&mut value);
    value
}

#[test]
fn secret_names_are_recognized() {
    let secrets = "Authorization Proxy-Authorization Cookie set-cookie X-API-Key api_key accessToken access_token \
                   app_secret client-secret password X-Amz-Signature sign x-tt-sign session AccessKey sig appSig \
                   x-auth x-jwt x-bearer x-pass x-csrf x-pin X-JWT userPin xsrf-value";
    for name in secrets.split_whitespace() {
        assert!(is_secret_name(name), "{name}");
    }
    let others = "retry-after x-request-id seller design app_key code message platform sub_code campaign author \
                  passport spin signal x-current-token-count";
    for name in others.split_whitespace() {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
fn secrets_in_text_are_masked() {
    let rows = [
        // URLs and forms
        (
            "no answer from https://x/y?app_key=1&sign=AB+C%3D&session=s3&v=2 (timed out)",
            "no answer from https://x/y?app_key=1&sign=***&session=***&v=2 (timed out)",
        ),
        ("https://user:pw@host/a?sig=1", "https://***@host/a?sig=***"),
        ("to 'redis://:p@h:1', rediss://u@h", "to 'redis://***@h:1', rediss://***@h"),
        (r#"{"url": "https://x?token=a"#, r#"{"url": "https://x?token=***"#),
        ("password=hunter2", "password=***"),
        ("password = hunter2 x", "password = *** x"),
        ("sign==x, then", "sign=***, then"),
        ("标题 token=密码 以后", "标题 token=*** 以后"),
        // headers and prose
        ("sent Authorization: Bearer abc", "sent Authorization: ***"),
        ("authorization=Bearer abc; x", "authorization=***; x"),
        ("Cookie: a=\"1\"; b=2\nHost: x", "Cookie: ***\nHost: x"),
        ("x-auth: abc (sent)", "x-auth: *** (sent)"),
        ("rejected Bearer abc123.def, basic dXNlcjpwYXNz", "rejected Bearer ***, basic ***"),
        ("token: abc123", "token: ***"),
        (r#"headers [("authorization", "Bearer a"), ("b", "c")]"#, r#"headers [("authorization", "***"), ("b", "c")]"#),
        // JSON
        (
            r#"{"code":7,"access_token":"s3", "session" : "x y","msg":"a: b"}"#,
            r#"{"code":7,"access_token":"***", "session" : "***","msg":"a: b"}"#,
        ),
        (
            r#"cut {"token": "a\"b\\", "code": "7", "secret": "hal"#,
            r#"cut {"token": "***", "code": "7", "secret": "***"#,
        ),
        ("{'token': 'a', 'b': 'c'}", "{'token': '***', 'b': 'c'}"),
        (r#"cut "{\"token\":\"a\\\"b\",\"c\":\"d\"}""#, r#"cut "{\"token\":\"***\",\"c\":\"d\"}""#),
        (r#"{\\\"token\\\":\\\"a\\\",\\\"c\\\":1}"#, r#"{\\\"token\\\":\\\"***\\\",\\\"c\\\":1}"#),
        (r#"cut {"cookies": ["a]", {"b": "c"}], "d": 1"#, r#"cut {"cookies": ***, "d": 1"#),
        (r#"cut {"name":"token","value":"a","b":"c""#, r#"cut {"name":"token","value":"***","b":"c""#),
        (r#"cut ["x-pin", "1234"], ["a","#, r#"cut ["x-pin", "***"], ["a","#),
        // XML and HTML
        (
            "<error token='t x'><session>s3</session><a>b</a></error>",
            "<error token='***'><session>***</session><a>b</a></error>",
        ),
        ("<a><ns:token x='1'><![CDATA[a<b]]></ns:token>c</a>", "<a><ns:token x='1'>***</ns:token>c</a>"),
        ("<ns:a ns:token = \"t\" b=\"c\"/>", "<ns:a ns:token = \"***\" b=\"c\"/>"),
        ("<session><id>s3</id></session><a/>", "<session>***</session><a/>"),
        ("<a><token>cut", "<a><token>***"),
        ("<input value=\"t\" name=\"csrf_token\"> text", "<input value=\"***\" name=\"csrf_token\"> text"),
        ("<meta name='csrf-token' content='t'>", "<meta name='csrf-token' content='***'>"),
        (
            "<entry key='token'>t</entry><entry key='a'>b</entry>",
            "<entry key='token'>***</entry><entry key='a'>b</entry>",
        ),
        ("<name>token</name>\n<value><string>t</string>", "<name>token</name>\n<value><string>***</string>"),
        ("<script>var token = \"t\"; f(1)</script>", "<script>var token = \"***\"; f(1)</script>"),
        ("a <b and token='t' and more", "a <b and token='***' and more"),
    ];
    for (text, expected) in rows {
        assert_eq!(masked_text(text), expected);
        assert_eq!(masked_text(expected), expected, "masking again changes nothing");
    }
}

#[test]
fn text_without_secrets_is_unchanged() {
    let rows = [
        "token=",
        "a=b",
        "session: expired",
        "session: 会话已过期，请重新登录，谢谢您的理解",
        "invalid token: it expired at 5",
        "Bearer token missing, basic auth is required",
        "token -> x, token > 5",
        "</token>x<token>",
        "https://x:443/y?mail=a@b.c",
        "=",
        "<",
        "<token/>",
        r#"{"field":"password","message":"too short"}"#,
        r#"["token", "#,
        "<field>password</field><message>too short</message>",
        "{ \"b\": 1,  \"a\": \"token\" }",
        "限<限 token限='",
        "token:abc123的格式不对",
    ];
    for text in rows {
        assert_eq!(masked_text(text), text);
    }
}

#[test]
fn secrets_in_a_body_are_masked() {
    let rows = [
        (r#"{ "code": 7, "user": { "session_key": "s\"3" } }"#, r#"{ "code": 7, "user": { "session_key": "***" } }"#),
        (r#"[{ "cookies": "c" }]"#, r#"[{ "cookies": "***" }]"#),
        (r#"{"url": "https://x/y?sign=AB&v=2"}"#, r#"{"url": "https://x/y?sign=***&v=2"}"#),
        (r#"{"inner": "{\"password\": \"p\"}"}"#, r#"{"inner": "{\"password\": \"***\"}"}"#),
        (r#"{"id":12345678901234567890123,"token":"t"}"#, r#"{"id":12345678901234567890123,"token":"***"}"#),
        (r#"{"token": {"a": ["t"]}, "b": 1}"#, r#"{"b":1,"token":{"a":["***"]}}"#),
        (r#"{"tok\u0065n":"t"}"#, r#"{"token":"***"}"#),
        (r#"{"name":"token","value":"t","id":"7"}"#, r#"{"name":"token","value":"***","id":"7"}"#),
        (r#"{"v":["a"],"key":"X-Auth"}"#, r#"{"key":"X-Auth","v":["***"]}"#),
        (r#"{"value":"t","name":"token"}"#, r#"{"name":"token","value":"***"}"#),
        // A parser keeps the last value only, so the text is searched too.
        (r#"{"a":{"token":"t"},"a":1}"#, r#"{"a":{"token":"***"},"a":1}"#),
    ];
    for (body, expected) in rows {
        assert_eq!(masked(json!({ "body": body })), json!({ "body": expected }), "{body}");
    }
}

#[test]
fn nested_strings_and_header_pairs_are_masked_but_numbers_are_not() {
    let rows = [
        (
            json!({ "token": 5, "a": [{ "b": { "password": "x", "c": ["secret=1"] } }] }),
            json!({ "token": 5, "a": [{ "b": { "password": "***", "c": ["secret=***"] } }] }),
        ),
        (
            json!({ "token": { "v": "x", "n": [1, "y"] }, "session": ["z"], "s": "{\"token\":\"x\"}" }),
            json!({ "token": { "v": "***", "n": [1, "***"] }, "session": ["***"], "s": "{\"token\":\"***\"}" }),
        ),
        (
            json!([["authorization", "Bearer x"], ["retry-after", "7"], ["invalid token", "x"]]),
            json!([["authorization", "***"], ["retry-after", "7"], ["invalid token", "x"]]),
        ),
    ];
    for (value, expected) in rows {
        assert_eq!(masked(value), expected);
    }
}

#[test]
fn repeated_secrets_are_masked_except_in_identifiers() {
    let mut masker = Masker::default();
    masker.mask(&mut json!({ "headers": { "cookie": "id=abc1; path=/", "x-pin": "123" }, "token": "retry" }));
    let mut value = json!({ "action": "retry", "reason": "retry abc1 for 123", "scope": { "a": "id=abc1; path=/" } });
    masker.mask_repeated(&mut value);
    assert_eq!(value, json!({ "action": "retry", "reason": "retry *** for 123", "scope": { "a": "***" } }));
}

#[test]
fn message_repeats_no_secret_of_its_input() {
    let rows = [
        (json!({ "api_token": "hunter2", "region": "cn" }), "no account for hunter2 in cn", "no account for *** in cn"),
        (json!({ "headers": [["x-jwt", "abc.def"]] }), "cannot parse abc.def", "cannot parse ***"),
        (json!({ "body": "<token>hunter2</token>" }), "hunter2: token=other", "***: token=***"),
        (json!({ "a_token": "abc1", "b_token": "abc1ef" }), "abc1ef, abc1, abc1e", "***, ***, ***e"),
        (json!({ "token": "密码密码" }), "密密码密码码", "密***码"),
        (json!({ "token": "abc" }), "abc is too short", "abc is too short"),
        (json!({ "token_type": "Bearer", "session_expired": "true" }), "Bearer is true", "Bearer is true"),
        (json!({ "token": "correcthorsebattery" }), "no correcthorsebattery", "no ***"),
        (json!({}), "no secret", "no secret"),
    ];
    for (input, message, expected) in rows {
        assert_eq!(masked_message(message, &input), expected);
    }
}

/// Returns texts of about this size, each with many secrets or with many beginnings of one.
fn hostile_texts(size: usize) -> Vec<(&'static str, String)> {
    type Part = (&'static str, fn(usize) -> String);
    let parts: [Part; 13] = [
        ("forms", |n| format!("token=ab{n:06}&")),
        ("pairs", |n| format!(r#""token","value":"{n:06}"#)),
        ("cookies", |n| format!("Cookie: a=ab{n:06}; b=\"{n:06}\n")),
        ("elements", |n| format!("<token>ab{n:06}</token>")),
        ("pairs of elements", |n| format!("<name>token</name><value>ab{n:06}")),
        ("nested elements", |_| "<token>".to_owned()),
        ("attributes that do not end", |_| "<a x='".to_owned()),
        ("tags that do not end", |_| r#"<a b='x" c=' d=""#.to_owned()),
        ("lists that do not end", |_| r#"token:["token":{"#.to_owned()),
        ("headers in one line", |_| "Cookie: ".to_owned()),
        ("labels before other words", |_| "token:密".to_owned()),
        ("schemes before other words", |_| "token:bearer 密".to_owned()),
        ("backslashes", |_| r"\".to_owned()),
    ];
    let repeated = |part: fn(usize) -> String| (0..size / part(0).len()).map(part).collect::<Vec<_>>();
    let mut texts: Vec<_> = parts.iter().map(|(name, part)| (*name, repeated(*part).concat())).collect();
    let objects = repeated(|n| format!(r#"{{"token":"ab{n:06}"}}"#));
    texts.push(("JSON list", format!("[{}]", objects.join(","))));
    let fields = repeated(|n| format!(r#""token{n:06}":"ab{n:06}""#));
    texts.push(("JSON object", format!("{{{}}}", fields.join(","))));
    texts
}

#[test]
fn work_grows_in_proportion_to_the_size_of_the_text() {
    type Task = fn(&str);
    let tasks: [(&str, Task); 3] = [
        ("a text", |text| drop(masked_text(text))),
        ("a message", |text| drop(masked_message("expected a number, found 'ab000007'", &json!({ "body": text })))),
        ("a record", |text| {
            let mut record = json!({ "body": text, "message": text });
            let mut masker = Masker::default();
            masker.mask(&mut record);
            masker.mask_repeated(&mut record);
        }),
    ];
    let mut failures = vec![];
    for (task_name, task) in tasks {
        for ((name, small), (_, large)) in hostile_texts(16 << 10).into_iter().zip(hostile_texts(64 << 10)) {
            let (few, many) = (work::count(|| task(&small)), work::count(|| task(&large)));
            if many > 5 * few || many > 40 * large.len() {
                failures.push(format!("{task_name} with {name}: {few} for 16 KiB, {many} for 64 KiB"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
