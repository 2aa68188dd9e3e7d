//! Secrets do not reach the log.

use serde_json::Value;

/// What stands in the place of a secret.
const MASK: &str = "***";
/// What the name of a secret has in it, written small and without `-` and `_`.
const PARTS: [&str; 12] = [
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
/// What ends a value in a text such as the query of an address.
const ENDS: [char; 10] = ['&', '"', '\'', ')', ']', '}', '<', '>', ';', ','];

/// Replaces every text whose field has the name of a secret, and in other texts what follows such a name and `=`.
pub fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if value.is_string() && is_secret(name) { *value = Value::from(MASK) } else { mask(value) }
            }
        }
        // A header as a pair.
        Value::Array(values) => match &mut values[..] {
            [Value::String(name), value @ Value::String(_)] if is_secret(name) => *value = Value::from(MASK),
            values => values.iter_mut().for_each(mask),
        },
        Value::String(text) if text.contains(['=', ':']) => *text = masked(text),
        _ => {}
    }
}

/// Whether a field of this name holds a secret; `sign` is what platforms call a signature.
fn is_secret(name: &str) -> bool {
    let small = name.to_ascii_lowercase();
    let joined = small.replace(['-', '_'], "");
    PARTS.iter().any(|part| joined.contains(part)) || small.split(['-', '_']).any(|word| word == "sign")
}

/// A text without the values of secrets: an error of a connection may name the whole address, and a message may be the
/// JSON that a platform answered.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        rest = after;
        let (name, value) = match before.strip_suffix('=') {
            Some(before) => (before, Some(after)),
            // Only a field of JSON, `"name": "value"`: a colon stands in prose too.
            None => (before[..at].trim_end().trim_end_matches('"'), after.trim_start().strip_prefix('"')),
        };
        let of_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = name.rsplit(|c| !of_name(c)).next().unwrap_or_default();
        if let Some(value) = value.filter(|_| is_secret(name)) {
            out.push_str(&after[..after.len() - value.len()]);
            let quoted = before.ends_with(':');
            let ends = |c: char| if quoted { c == '"' } else { c.is_whitespace() || ENDS.contains(&c) };
            let end = value.find(ends).unwrap_or(value.len());
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
    fn a_name_says_that_its_value_is_a_secret() {
        let secret = "Authorization Proxy-Authorization Cookie set-cookie X-API-Key api_key accessToken access_token \
                      app_secret client-secret password X-Amz-Signature sign x-tt-sign session AccessKey";
        for name in secret.split_whitespace() {
            assert!(is_secret(name), "{name}");
        }
        for name in "retry-after x-request-id seller design app_key code message platform sub_code campaign".split(' ')
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn texts_lose_what_follows_the_name_of_a_secret() {
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
    fn numbers_stay_and_the_deepest_text_is_found() {
        let mut value = json!({ "token": 5, "a": [{ "b": { "password": "x", "c": ["secret=1"] } }] });
        mask(&mut value);
        assert_eq!(value, json!({ "token": 5, "a": [{ "b": { "password": "***", "c": ["secret=***"] } }] }));
        let mut headers = json!([["authorization", "Bearer x"], ["retry-after", "7"]]);
        mask(&mut headers);
        assert_eq!(headers, json!([["authorization", "***"], ["retry-after", "7"]]));
    }
}
