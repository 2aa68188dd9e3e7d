//! Turns the parser's errors into diagnostics that say how to fix the script.

use rhai::{LexError, ParseError, ParseErrorType, Position};
use tidegate_core::Class;
use tidegate_core::config::reader::{Diagnostic, nearest_name, with_suggestion};

use super::contract::Contract;
use super::error::diagnostic;
use super::messages;

/// Returns the diagnostic for a script that cannot be parsed.
pub fn explain(error: &ParseError, text: &str, contract: &Contract) -> Diagnostic {
    let at = error.position();
    let message = match error.err_type() {
        ParseErrorType::VariableUndefined(name) => unknown_variable(name, contract),
        ParseErrorType::MismatchedType(expected, _) if expected == "a boolean expression" => {
            "expected a boolean on both sides; write each comparison in full, as in code == \"7\" || code == \"8\""
                .into()
        }
        other => match hint(other, split_line(text, at)) {
            Some(hint) => format!("{}; {hint}", messages::parse(other)),
            None => messages::parse(other),
        },
    };
    diagnostic(at, message)
}

fn unknown_variable(name: &str, contract: &Contract) -> String {
    let message = format!("unknown variable `{name}`");
    if Class::NAMES.contains(&name) {
        return format!("{message}; write a class in quotes: \"{name}\"");
    }
    let inputs: Vec<_> = contract.inputs.iter().map(|(name, _)| *name).collect();
    let functions: Vec<_> = contract.functions.iter().map(|(name, _)| *name).collect();
    if nearest_name(name, &inputs).is_none() && nearest_name(name, &functions).is_some() {
        return with_suggestion(message, name, &functions).replace("`?", "(…)`?");
    }
    with_suggestion(message, name, &inputs)
}

/// Splits the line of a position into what is before the position, and the rest.
fn split_line(text: &str, at: Position) -> (&str, &str) {
    let line = text.lines().nth(at.line().unwrap_or(1) - 1).unwrap_or_default();
    let column = at.position().unwrap_or(1) - 1;
    let (middle, _) = line.char_indices().nth(column).unwrap_or((line.len(), ' '));
    line.split_at(middle)
}

/// Returns how to fix a parse error, if the text around its position shows a common mistake.
fn hint(error: &ParseErrorType, (before, after): (&str, &str)) -> Option<&'static str> {
    let digit = |c: char| c.is_ascii_digit();
    if matches!(error, ParseErrorType::BadInput(LexError::MalformedChar(_))) {
        return Some("write a string in double quotes, as in \"7\"");
    }
    if matches!(error, ParseErrorType::Reserved(word) if word == "null") {
        return Some("a missing value is \"\" or 0");
    }
    let hints = [
        ("and", "write `&&`"),
        ("or", "write `||`"),
        ("=>", "write `>=`"),
        ("=<", "write `<=`"),
        ("?", "write `if … { … } else { … }`"),
        ("var", "write `let`"),
        (":", "put the statements after a condition in { }"),
        ("return", "put the statements after a condition in { }"),
    ];
    let hint = hints.iter().find(|(prefix, _)| after.starts_with(prefix)).map(|(_, hint)| *hint);
    hint.or_else(|| {
        let is_number = before.ends_with(digit);
        if after.starts_with(',') && is_number && after[1..].starts_with(digit) || after.starts_with('.') && !is_number
        {
            return Some("write a fraction with a decimal point, as in 0.1");
        }
        let unit = is_number && after.starts_with(char::is_alphabetic);
        if unit && before.trim_end_matches(digit).ends_with("window(") {
            return Some("write a duration in quotes, as in window(\"1h\")");
        }
        if unit {
            return Some("a number has no unit: write a time in milliseconds, as in 5000");
        }
        before.trim_end().ends_with('%').then_some("a rate is a fraction from 0 to 1: write 0.1 for 10 %")
    })
}
