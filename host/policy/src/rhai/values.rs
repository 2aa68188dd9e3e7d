//! Converts between values of the host and values of a script, and creates the errors of host functions.

use rhai::{Dynamic, EvalAltResult, ImmutableString, Position};

/// The maximum size of an input string that a script receives, in bytes.
const MAX_INPUT_SIZE: usize = 8 * 1024;

/// Marks the value of an error that a host function returns. Without the mark it is the value of a `throw`.
const HOST_ERROR: i32 = 1;

/// Truncates a string to the size that a script receives, so that a response body of megabytes does not make the
/// script fail because of its size.
#[must_use]
pub fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_INPUT_SIZE)]
}

/// Converts a string to a script value. Short strings need no allocation.
pub fn string(text: &str) -> Dynamic {
    ImmutableString::from(truncate(text)).into()
}

/// Converts a string that may be absent to a script value; an absent one becomes the empty string.
pub fn string_or_empty(text: Option<&str>) -> Dynamic {
    string(text.unwrap_or_default())
}

/// Converts an integer to the number type of the script's inputs, which are all floating-point numbers.
#[allow(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
pub const fn float(integer: u64) -> f64 {
    integer as f64
}

/// Returns the name of a Rhai type as error messages show it.
pub fn type_label(type_name: &str) -> &str {
    match type_name {
        "()" => "no value",
        "string" => "a string",
        "bool" => "a boolean",
        "i64" | "f64" => "a number",
        "array" => "an array",
        other => other,
    }
}

/// Returns the error for a value that is not what was expected.
pub fn mismatch(expected: &str, found: &str) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorMismatchOutputType(expected.to_owned(), found.to_owned(), Position::NONE))
}

/// Returns the error of a host function, which a script can catch as a string.
pub fn host_error(message: impl Into<ImmutableString>) -> Box<EvalAltResult> {
    let mut value = Dynamic::from(message.into());
    value.set_tag(HOST_ERROR);
    Box::new(EvalAltResult::ErrorRuntime(value, Position::NONE))
}

/// Returns whether the value of an error comes from a host function, and not from a `throw` of the script.
pub fn is_host_error(value: &Dynamic) -> bool {
    value.tag() == HOST_ERROR
}
