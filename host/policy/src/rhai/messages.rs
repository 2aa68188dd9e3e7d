//! The text of the engine's errors: in lower case, and with the limit that was exceeded and its configuration key.

use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, LexError, ParseErrorType};
use tidegate_core::config::PolicyLimits;

use super::engine::{MAX_EXPR_DEPTH, MAX_FUNCTION_EXPR_DEPTH, MAX_FUNCTIONS, MAX_VARIABLES};
use super::values::{is_host_error, type_label};

/// Returns the text of a runtime error, without its position.
pub fn runtime(error: &EvalAltResult, limits: &PolicyLimits, deadline: Duration) -> String {
    match error {
        EvalAltResult::ErrorTerminated(..) => format!("ran longer than {deadline:?}"),
        EvalAltResult::ErrorTooManyOperations(_) => {
            format!("exceeded the limit of {} operations (`max_operations`)", limits.max_operations)
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            format!("calls are nested more than {} levels deep (`max_call_depth`)", limits.max_call_depth)
        }
        EvalAltResult::ErrorTooManyVariables(_) => format!("more than {MAX_VARIABLES} variables at the same time"),
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            let is_string = what.contains("string");
            too_large(what, if is_string { limits.max_string_size } else { limits.max_collection_size })
        }
        EvalAltResult::ErrorMismatchOutputType(expected, found, _) => format!("expected {expected}, found {found}"),
        EvalAltResult::ErrorMismatchDataType(expected, found, _) if !expected.is_empty() && !found.is_empty() => {
            format!("expected {}, found {}", type_label(expected), type_label(found))
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => match signature.split_once(" (") {
            Some((name, types)) => format!("unknown function `{name}` for ({types}"),
            None => format!("unknown function `{signature}`"),
        },
        EvalAltResult::ErrorVariableNotFound(name, _) => format!("unknown variable `{name}`"),
        EvalAltResult::ErrorPropertyNotFound(name, _) => format!("unknown property `{name}`"),
        EvalAltResult::ErrorRuntime(value, _) => thrown(value),
        EvalAltResult::ErrorParsing(error, _) => parse(error),
        other => lower_first(without_position(&other.to_string())),
    }
}

/// Returns the text that a script threw, or `None` if the error has another cause.
pub fn thrown_text(error: &EvalAltResult) -> Option<String> {
    match error {
        EvalAltResult::ErrorRuntime(value, _) => {
            value.as_immutable_string_ref().ok().map(|text| text.to_string()).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}

fn thrown(value: &Dynamic) -> String {
    match value.as_immutable_string_ref() {
        Ok(text) if is_host_error(value) => text.to_string(),
        Ok(text) => format!("the script threw {:?}", text.as_str()),
        Err(_) if value.is_unit() => "the script threw an error without a value".to_owned(),
        Err(_) => format!("the script threw {value}"),
    }
}

/// Returns the text of a parse error, without its position.
pub fn parse(error: &ParseErrorType) -> String {
    match error {
        ParseErrorType::UnexpectedEOF => "unexpected end of the script".to_owned(),
        ParseErrorType::BadInput(LexError::UnexpectedInput(text)) => format!("unexpected `{text}`"),
        ParseErrorType::BadInput(LexError::MalformedChar(text)) => format!("invalid character literal '{text}'"),
        ParseErrorType::BadInput(LexError::MalformedNumber(text)) => format!("invalid number `{text}`"),
        ParseErrorType::BadInput(LexError::UnterminatedString) => "the string is not terminated".to_owned(),
        ParseErrorType::UnknownOperator(operator) => format!("unknown operator `{operator}`"),
        ParseErrorType::MissingToken(token, purpose) => format!("expected `{token}` {purpose}"),
        ParseErrorType::MismatchedType(expected, found) => format!("expected {expected}, found {found}"),
        ParseErrorType::ExprExpected(kind) => format!("expected {kind} expression"),
        ParseErrorType::PropertyExpected => "expected the name of a property".to_owned(),
        ParseErrorType::VariableExpected => "expected the name of a variable".to_owned(),
        ParseErrorType::FnMissingName => "expected the name of the function after `fn`".to_owned(),
        ParseErrorType::FnMissingParams(name) => format!("expected the parameters of the function `{name}`"),
        ParseErrorType::FnMissingBody(name) if !name.is_empty() => {
            format!("expected the body of the function `{name}` in {{ }}")
        }
        ParseErrorType::VariableUndefined(name) => format!("unknown variable `{name}`"),
        ParseErrorType::Reserved(word) if word.starts_with(|first: char| first.is_alphabetic() || first == '_') => {
            format!("`{word}` is a reserved keyword")
        }
        ParseErrorType::Reserved(symbol) => format!("`{symbol}` is a reserved symbol"),
        ParseErrorType::LiteralTooLarge(what, max) => too_large(what, *max),
        ParseErrorType::ExprTooDeep => format!(
            "an expression is nested more than {MAX_EXPR_DEPTH} levels deep, or {MAX_FUNCTION_EXPR_DEPTH} in a function"
        ),
        ParseErrorType::TooManyFunctions => format!("the script defines more than {MAX_FUNCTIONS} functions"),
        other => lower_first(&other.to_string()),
    }
}

/// Returns the message for a value that is too large. Rhai describes it as in "Length of string".
fn too_large(what: &str, max: usize) -> String {
    if what.contains("string") {
        format!("a string is longer than {max} bytes (`max_string_size`)")
    } else {
        let kind = if what.contains("map") { "a map" } else { "an array" };
        format!("{kind} has more than {max} elements (`max_collection_size`)")
    }
}

/// Removes the position at the end of a message, which the diagnostic already has.
fn without_position(message: &str) -> &str {
    message.rsplit_once(" (line ").map_or(message, |(text, _)| text)
}

/// Makes the first letter lower-case, unless it starts an abbreviation.
fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => first.to_lowercase().chain(chars).collect(),
        _ => message.to_owned(),
    }
}
