//! Messages of JSON errors.

use serde_json::Error;

/// Returns `NAME:LINE:COLUMN: message`.
pub fn json_error(name: &str, error: &Error) -> String {
    format!("{name}:{}:{}: {}", error.line(), error.column(), message(error))
}

/// Returns the message without the position, which serde adds at its end.
pub fn message(error: &Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match message.strip_suffix(&position).unwrap_or(&message) {
        "expected value" => "expected a JSON value".to_owned(),
        message => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn position_is_before_the_message() {
        let rows = [
            ("{\n  7}", "input:2:3: key must be a string"),
            ("x", "input:1:1: expected a JSON value"),
            ("[1", "input:1:2: EOF while parsing a list"),
        ];
        for (text, expected) in rows {
            assert_eq!(json_error("input", &serde_json::from_str::<Value>(text).unwrap_err()), expected);
        }
    }
}
