//! Masks secrets, so that they do not reach the log.

use serde_json::Value;

/// The replacement of a secret.
const MASK: &str = "***";
/// A field whose name contains one of these, in lower case and without `-` and `_`, holds a secret.
const SECRET_NAME_PARTS: [&str; 12] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "signature",
    "credential",
    "session",
    "apikey",
    "accesskey",
    "privatekey",
];
/// The characters that end a value in a text, for example in the query of a URL.
const VALUE_TERMINATORS: [char; 10] = ['&', '"', '\'', ')', ']', '}', '<', '>', ';', ','];

/// Replaces every string whose field name denotes a secret. In other strings, replaces values such as `token=…` and
/// `"token": "…"`.
pub fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if value.is_string() && is_secret(name) { *value = Value::from(MASK) } else { mask(value) }
            }
        }
        // A header is a pair of name and value.
        Value::Array(values) => match &mut values[..] {
            [Value::String(name), value @ Value::String(_)] if is_secret(name) => *value = Value::from(MASK),
            values => values.iter_mut().for_each(mask),
        },
        Value::String(text) if text.contains(['=', ':']) => *text = masked(text),
        _ => {}
    }
}

/// Whether a field of this name holds a secret. Platforms call a signature `sign`.
fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let joined = lower.replace(['-', '_'], "");
    SECRET_NAME_PARTS.iter().any(|part| joined.contains(part)) || lower.split(['-', '_']).any(|word| word == "sign")
}

/// Returns a text with the values of secrets masked. A connection error may contain the whole URL, and a message may
/// contain the JSON of a platform's response.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        rest = after;
        let (name, value) = match before.strip_suffix('=') {
            Some(before) => (before, Some(after)),
            // A colon also occurs in prose, so only a JSON field, `"name": "value"`, counts.
            None => (before[..at].trim_end().trim_end_matches('"'), after.trim_start().strip_prefix('"')),
        };
        let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = name.rsplit(|c| !is_name_char(c)).next().unwrap_or_default();
        if let Some(value) = value.filter(|_| is_secret(name)) {
            out.push_str(&after[..after.len() - value.len()]);
            let is_quoted = before.ends_with(':');
            let is_end = |c: char| {
                if is_quoted { c == '"' } else { c.is_whitespace() || VALUE_TERMINATORS.contains(&c) }
            };
            let end = value.find(is_end).unwrap_or(value.len());
            if end > 0 {
                out.push_str(MASK);
            }
            rest = &value[end..];
        }
    }
    out + rest
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
            assert!(is_secret(name), "{name}");
        }
        for name in "retry-after x-request-id seller design app_key code message platform sub_code campaign".split(' ')
        {
            assert!(!is_secret(name), "{name}");
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
            ("session: expired", "session: expired"),
            ("https://x:443/y", "https://x:443/y"),
            ("=", "="),
            ("标题 token=密码 以后", "标题 token=*** 以后"),
        ];
        for (text, expected) in rows {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn nested_strings_and_header_pairs_are_masked_but_numbers_are_not() {
        let mut value = json!({ "token": 5, "a": [{ "b": { "password": "x", "c": ["secret=1"] } }] });
        mask(&mut value);
        assert_eq!(value, json!({ "token": 5, "a": [{ "b": { "password": "***", "c": ["secret=***"] } }] }));
        let mut headers = json!([["authorization", "Bearer x"], ["retry-after", "7"]]);
        mask(&mut headers);
        assert_eq!(headers, json!([["authorization", "***"], ["retry-after", "7"]]));
    }
}
