//! Masks secrets, so that they do not reach the log.

use serde_json::Value;
use tidegate_core::secret::is_secret_name;

/// The replacement of a secret.
const MASK: &str = "***";
/// The characters after the name of a value in a text: `name=value`, `"name": "value"`, `<name>value</name>`.
const SEPARATORS: [char; 3] = ['=', ':', '>'];
/// The characters that end a value in a text, for example in the query of a URL.
const VALUE_TERMINATORS: [char; 10] = ['&', '"', '\'', ')', ']', '}', '<', '>', ';', ','];

/// Replaces the values of fields whose name denotes a secret, also in strings that contain JSON, such as the body of a
/// response. In other strings, replaces values such as `token=…` and `"token": "…"`.
pub fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if is_secret_name(name) { mask_all(value) } else { mask(value) }
            }
        }
        // A header is a pair of name and value.
        Value::Array(values) => match &mut values[..] {
            [Value::String(name), value @ Value::String(_)] if is_secret_name(name) => *value = Value::from(MASK),
            values => values.iter_mut().for_each(mask),
        },
        Value::String(text) if text.contains(SEPARATORS) => {
            *text = masked_text(text);
        }
        _ => {}
    }
}

/// Replaces every string in the value of a field whose name denotes a secret. A number may be a count, such as the
/// `total_tokens` of a language model, so numbers stay.
fn mask_all(value: &mut Value) {
    match value {
        Value::String(_) => *value = Value::from(MASK),
        Value::Array(values) => values.iter_mut().for_each(mask_all),
        Value::Object(fields) => fields.values_mut().for_each(mask_all),
        _ => {}
    }
}

/// Returns a text, such as the message of a fault, with its secrets masked.
pub fn masked_text(text: &str) -> String {
    masked_json(text).unwrap_or_else(|| masked(text))
}

/// Returns a text that is JSON with its secrets masked, or `None` if it is not JSON. A text without secrets is returned
/// as it is, so that a replay evaluates a policy on the same text.
fn masked_json(text: &str) -> Option<String> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let mut masked = value.clone();
    mask(&mut masked);
    Some(if masked == value { text.to_owned() } else { masked.to_string() })
}

/// Returns a text with the values of secrets masked. A connection error may contain the whole URL, and a message may
/// contain a part of the platform's response, in JSON or XML.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(SEPARATORS) {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        rest = after;
        if let Some((start, end)) = secret_value(before, after) {
            out.push_str(&after[..start]);
            if end > start {
                out.push_str(MASK);
            }
            rest = &after[end..];
        }
    }
    out + rest
}

/// Returns where a value starts and ends in `after`, if `before` ends with the name of a secret and a separator.
fn secret_value(before: &str, after: &str) -> Option<(usize, usize)> {
    let separator = before.chars().next_back()?;
    let name_end = &before[..before.len() - separator.len_utf8()];
    let name_end = if separator == ':' { name_end.trim_end().trim_end_matches('"') } else { name_end };
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name = name_end.rsplit(|c| !is_name_char(c)).next().unwrap_or_default();
    if !is_secret_name(name) {
        return None;
    }
    match (separator, after.chars().next()) {
        (':', _) => {
            // A colon also occurs in prose, so only a quoted value counts, as in `"name": "value"`.
            let start = after.len() - after.trim_start().strip_prefix('"')?.len();
            Some((start, start + string_end(&after[start..])))
        }
        ('>', _) => {
            let is_element = name_end.strip_suffix(name)?.ends_with('<');
            is_element.then(|| (0, after.find('<').unwrap_or(after.len())))
        }
        (_, Some(quote @ ('"' | '\''))) => Some((1, after[1..].find(quote).map_or(after.len(), |end| end + 1))),
        _ => {
            let is_end = |c: char| c.is_whitespace() || VALUE_TERMINATORS.contains(&c);
            Some((0, after.find(is_end).unwrap_or(after.len())))
        }
    }
}

/// Returns where a JSON string ends: at the first quotation mark that is not escaped.
fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secret_names_are_recognized() {
        let secrets = "Authorization Proxy-Authorization Cookie set-cookie X-API-Key api_key accessToken access_token \
                       app_secret client-secret password X-Amz-Signature sign x-tt-sign session AccessKey";
        for name in secrets.split_whitespace() {
            assert!(is_secret_name(name), "{name}");
        }
        for name in "retry-after x-request-id seller design app_key code message platform sub_code campaign".split(' ')
        {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_in_text_are_masked() {
        let rows = [
            (
                "no answer from https://x/y?app_key=1&sign=AB+C%3D&session=s3&v=2 (timed out)",
                "no answer from https://x/y?app_key=1&sign=***&session=***&v=2 (timed out)",
            ),
            ("password=hunter2", "password=***"),
            ("token=", "token="),
            ("sign==x, then", "sign=***, then"),
            ("a=b", "a=b"),
            (
                r#"{"code":7,"access_token":"s3", "session" : "x y","msg":"a: b"}"#,
                r#"{"code":7,"access_token":"***", "session" : "***","msg":"a: b"}"#,
            ),
            (
                r#"cut {"token": "a\"b\\", "code": "7", "secret": "hal"#,
                r#"cut {"token": "***", "code": "7", "secret": "***"#,
            ),
            ("session: expired", "session: expired"),
            ("token -> x, token > 5", "token -> x, token > 5"),
            ("</token>x<token>", "</token>x<token>"),
            ("https://x:443/y", "https://x:443/y"),
            ("=", "="),
            ("标题 token=密码 以后", "标题 token=*** 以后"),
        ];
        for (text, expected) in rows {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn secrets_in_a_body_are_masked_and_a_body_without_secrets_is_unchanged() {
        let rows = [
            (r#"{ "b": 1,  "a": "token" }"#, r#"{ "b": 1,  "a": "token" }"#),
            (r#"{ "code": 7, "user": { "session_key": "s\"3" } }"#, r#"{"code":7,"user":{"session_key":"***"}}"#),
            (r#"[{ "cookies": "c" }]"#, r#"[{"cookies":"***"}]"#),
            (r#"{"url": "https://x/y?sign=AB&v=2"}"#, r#"{"url":"https://x/y?sign=***&v=2"}"#),
            (r#"{"inner": "{\"password\": \"p\"}"}"#, r#"{"inner":"{\"password\":\"***\"}"}"#),
            (r#"{"token": "cut off"#, r#"{"token": "***"#),
            (
                "<error token='t x'><session>s3</session><a>b</a></error>",
                "<error token='***'><session>***</session><a>b</a></error>",
            ),
        ];
        for (body, expected) in rows {
            let mut input = json!({ "body": body });
            mask(&mut input);
            assert_eq!(input, json!({ "body": expected }), "{body}");
        }
    }

    #[test]
    fn nested_strings_and_header_pairs_are_masked_but_numbers_are_not() {
        let mut value = json!({ "token": 5, "a": [{ "b": { "password": "x", "c": ["secret=1"] } }] });
        mask(&mut value);
        assert_eq!(value, json!({ "token": 5, "a": [{ "b": { "password": "***", "c": ["secret=***"] } }] }));
        let mut nested = json!({ "token": { "v": "x", "n": [1, "y"] }, "session": ["z"], "s": "{\"token\":\"x\"}" });
        mask(&mut nested);
        let expected =
            json!({ "token": { "v": "***", "n": [1, "***"] }, "session": ["***"], "s": "{\"token\":\"***\"}" });
        assert_eq!(nested, expected);
        let mut headers = json!([["authorization", "Bearer x"], ["retry-after", "7"]]);
        mask(&mut headers);
        assert_eq!(headers, json!([["authorization", "***"], ["retry-after", "7"]]));
    }
}
