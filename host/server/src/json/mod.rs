//! Reads JSON, with errors that name the position or the field.

mod reader;

use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

pub use reader::{FieldError, read_query, read_value};

/// Reads the text of a file or of standard input.
///
/// # Errors
/// Returns `NAME:LINE:COLUMN: message` if the text is not JSON, or `NAME: FIELD: message` if a field is invalid.
pub fn read_text<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| json_error(name, &error))?;
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
            ("{\"codes\": 1}", "input: unknown field `codes`, expected one of `platform`, "),
        ];
        for (text, expected) in rows {
            let error = read_text::<Failure>("input", text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
