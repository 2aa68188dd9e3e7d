//! What does not parse, in words that say how to mend it.

use rhai::{LexError, ParseError, ParseErrorType, Position};
use tidegate_core::config::reader::{Problem, suggestion};

use super::names::{CLASSES, Contract};
use super::script::problem;

/// The problem of a text that does not parse.
pub fn of(error: &ParseError, text: &str, contract: &Contract) -> Problem {
    let at = error.position();
    let message = match error.err_type() {
        ParseErrorType::VariableUndefined(name) => unknown(name, contract),
        ParseErrorType::MismatchedType(expected, _) if expected == "a boolean expression" => {
            "expected true or false on both sides; write out each comparison, as in code == \"7\" || code == \"8\""
                .into()
        }
        other => match hint(other, around(text, at)) {
            Some(hint) => format!("{other}; {hint}"),
            None => other.to_string(),
        },
    };
    problem(at, message)
}

fn unknown(name: &str, contract: &Contract) -> String {
    let inputs: Vec<_> = contract.inputs.iter().map(|(name, _)| *name).collect();
    let functions: Vec<_> = contract.functions.iter().map(|(name, _)| *name).collect();
    let how = if CLASSES.iter().any(|(class, _)| *class == name) {
        format!("a class stands in quotes: \"{name}\"")
    } else {
        let near = [suggestion(name, &inputs), suggestion(name, &functions)];
        let [input, function] = near.map(|near| near.starts_with("did you mean").then_some(near));
        input.or(function.map(|near| near.replace("`?", "(…)`?"))).unwrap_or_else(|| suggestion(name, &inputs))
    };
    format!("no such name `{name}`; {how}")
}

/// What stands before a position, and what stands there and after it.
fn around(text: &str, at: Position) -> (&str, &str) {
    let line = text.lines().nth(at.line().unwrap_or(1) - 1).unwrap_or_default();
    let column = at.position().unwrap_or(1) - 1;
    let (middle, _) = line.char_indices().nth(column).unwrap_or((line.len(), ' '));
    line.split_at(middle)
}

fn hint(error: &ParseErrorType, (before, after): (&str, &str)) -> Option<&'static str> {
    let digit = |c: char| c.is_ascii_digit();
    if matches!(error, ParseErrorType::BadInput(LexError::MalformedChar(_))) {
        return Some("a text stands in double quotes, as in \"7\"");
    }
    if matches!(error, ParseErrorType::Reserved(word) if word == "null") {
        return Some("what is absent is \"\" or 0");
    }
    let beginnings = [
        ("and", "write `&&`"),
        ("or", "write `||`"),
        ("=>", "write `>=`"),
        ("=<", "write `<=`"),
        ("?", "write `if … { … } else { … }`"),
        ("var", "write `let`"),
        (":", "what depends on a condition stands in { }"),
        ("return", "what depends on a condition stands in { }"),
    ];
    let stands = beginnings.iter().find(|(word, _)| after.starts_with(word)).map(|(_, hint)| *hint);
    stands.or_else(|| {
        let is_number = before.ends_with(digit);
        if after.starts_with(',') && is_number && after[1..].starts_with(digit) || after.starts_with('.') && !is_number
        {
            return Some("write a fraction with a point, as in 0.1");
        }
        let unit = is_number && after.starts_with(char::is_alphabetic);
        if unit && before.trim_end_matches(digit).ends_with("window(") {
            return Some("a range stands in quotes, as in window(\"1h\")");
        }
        if unit {
            return Some("a number has no unit: times are milliseconds, as in 5000");
        }
        before.trim_end().ends_with('%').then_some("rates are fractions of 1: write 0.1 for 10 %")
    })
}
