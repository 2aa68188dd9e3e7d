//! Reads JSON, with errors that name the position or the field.

mod reader;
mod unique_keys;

use serde::de::DeserializeOwned;
use serde_json::Error;

pub use reader::{FieldError, read_query, read_value};
pub use unique_keys::UniqueKeys;

/// Reads the text of a file or of standard input.
///
/// # Errors
/// Returns `NAME:LINE:COLUMN: message` if the text is not JSON, or `NAME: FIELD: message` if a field is invalid.
pub fn read_text<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, String> {
    let UniqueKeys(value) = serde_json::from_str(text).map_err(|error| json_error(name, &error))?;
    read_value(value).map_err(|error| format!("{name}: {error}"))
}

/// Returns `NAME:LINE:COLUMN: message`.
fn json_error(name: &str, error: &Error) -> String {
    format!("{name}:{}:{}: {}", error.line(), error.column(), message(error))
}

/// Returns the message without the position, which serde adds at its end.
pub fn message(error: &Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    match message.strip_suffix(&position).unwrap_or(&message) {
        "expected value" => "expected a JSON value".to_owned(),
        message if message.starts_with("control character") => {
            "control character in a string; escape it, for example as \\u0007".to_owned()
        }
        message => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::Failure;

    use super::*;

    #[test]
    fn position_or_field_is_before_the_message() {
        let rows = [
            ("{\n  7}", "input:2:3: key must be a string"),
            ("x", "input:1:1: expected a JSON value"),
            ("[1", "input:1:2: EOF while parsing a list"),
            ("{\"attempt\": -1}", "input: attempt: expected a whole number from 0 to 4294967295, found -1"),
            ("[]", "input: expected an object, found an array"),
            ("{\"code\": \"1\",\n \"code\": \"2\"}", "input:2:7: `code` occurs twice"),
            ("{\"headers\": {\"a\": \"1\", \"a\": \"2\"}}", "input:1:26: `a` occurs twice"),
            ("{\"attempt\": 1.0}", "input: attempt: expected a whole number from 0 to 4294967295, found 1.0"),
            (
                "{\"attempt\": 18446744073709551616}",
                "input: attempt: expected a whole number from 0 to 4294967295, found 1.8446744073709552e19",
            ),
            ("{\"attempt\": 1e400}", "input:1:17: number out of range"),
            ("{\"kind\": \"\u{7}\"}", "input:1:11: control character in a string; escape it, for example as \\u0007"),
            ("{\"kind\": \"\\u001b[2J\"}", "input: kind: unknown value `\\u{1b}[2J`, expected one of "),
            ("{\"\\n\": 1}", "input: unknown field `\\n`, expected one of "),
            ("{\"codes\": 1}", "input: unknown field `codes`, expected one of `platform`, "),
        ];
        for (text, expected) in rows {
            let error = read_text::<Failure>("input", text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
