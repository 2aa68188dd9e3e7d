//! Finds likely mistakes in the source of a script, without running it.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};
use tidegate_policy::scripts::{FunctionBody, InferredTypes, ParsedScript, ValueType};

use crate::instrument::start;

/// Notes with their positions.
pub type Notes = Vec<(Position, String)>;

/// Returns the notes on all bodies.
pub fn find(script: &ParsedScript) -> Notes {
    let (mut notes, mut types) = (Notes::new(), script.infer_types());
    for body in &script.bodies {
        types.enter(body);
        body.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
                    notes.extend(in_call(call, &types));
                }
                Some(ASTNode::Stmt(Stmt::If(choice, _))) => {
                    unreachable_code(choice.body.statements(), &mut notes);
                    unreachable_code(choice.branch.statements(), &mut notes);
                }
                Some(ASTNode::Stmt(Stmt::Block(block))) => unreachable_code(block.statements(), &mut notes),
                Some(ASTNode::Expr(Expr::Stmt(block))) => unreachable_code(block.statements(), &mut notes),
                _ => {}
            }
            true
        });
        unreachable_code(&body.statements, &mut notes);
        discarded_comparisons(&body.statements, &mut notes);
        unused_variables(body, &mut notes);
    }
    notes
}

fn in_call(call: &FnCallExpr, types: &InferredTypes) -> Option<(Position, String)> {
    match (call.name.as_str(), call.args.as_slice()) {
        (operator @ ("==" | "!=" | "<" | "<=" | ">" | ">="), [left, right]) => {
            let message = comparison(operator, left, right, types).or_else(|| comparison(operator, right, left, types));
            message.map(|message| (start(left), message))
        }
        ("retry" | "give_up", [_, wait, ..]) => verdict_wait(wait),
        _ => None,
    }
}

/// Returns what is unusual about comparing `value` with `other`.
fn comparison(operator: &str, value: &Expr, other: &Expr, types: &InferredTypes) -> Option<String> {
    let is_ordering = !matches!(operator, "==" | "!=");
    if let (Expr::Variable(left, ..), Expr::Variable(right, ..)) = (value, other)
        && left.1 == right.1
    {
        return Some(format!("`{}` is compared with itself", left.1));
    }
    if is_ordering && types.of_both(value, other) == (Some(ValueType::String), Some(ValueType::String)) {
        let fix = "to compare numbers, convert both with `parse_float(…)`";
        return Some(format!("`{operator}` compares strings by character, so \"10\" comes before \"9\"; {fix}"));
    }
    if let Expr::StringConstant(text, _) = other
        && !is_ordering
        && (text.ends_with('*') || text.starts_with('*') || text.ends_with('%'))
    {
        let fix = "to match a part, use starts_with, ends_with or contains";
        return Some(format!("`{operator}` compares with {text:?} literally, without wildcards; {fix}"));
    }
    let number = number(other)?;
    if !is_ordering && is_quotient(value) && types.of(value) == Some(ValueType::Number) {
        return Some(
            "a quotient is rarely an integer; write `to_int(…)` around it, or compare with a range".to_owned(),
        );
    }
    wrong_unit(input_or_stat(value, types)?, number)
}

/// Returns how to write a number of seconds in milliseconds.
fn in_milliseconds(seconds: f64) -> String {
    let plural = if seconds.total_cmp(&1.0).is_eq() { "" } else { "s" };
    format!("write {} for {seconds} second{plural}", seconds * 1_000.0)
}

fn wrong_unit(name: &str, number: f64) -> Option<String> {
    let in_ms = || Some(format!("`{name}` is in milliseconds: {}", in_milliseconds(number)));
    match name {
        "error_rate" | "success_rate" | "limited_rate" if number > 1.0 => {
            Some(format!("`{name}` is a fraction from 0 to 1: write {} for {number} %", number / 100.0))
        }
        "error_rate" | "success_rate" | "limited_rate" if number < 0.0 => Some(format!("`{name}` is never below 0")),
        "p50" | "p95" | "p99" | "elapsed_ms" if number > 0.0 && number < 10.0 => in_ms(),
        "retry_after_ms" if number > 0.0 && number < 1_000.0 => in_ms(),
        "at_ms" if number > 0.0 && number < 1e11 => {
            Some("`at_ms` is in milliseconds since 1970, not in seconds".to_owned())
        }
        _ => None,
    }
}

/// Returns the name of an input, or of a statistic of a window.
fn input_or_stat<'a>(value: &'a Expr, types: &InferredTypes) -> Option<&'a str> {
    match value {
        Expr::Variable(name, ..) if types.is_input(value) => Some(name.1.as_str()),
        Expr::Dot(pair, ..) => match (&pair.rhs, types.of(&pair.lhs)) {
            (Expr::Property(names, _), Some(ValueType::Window)) => Some(names.2.as_str()),
            _ => None,
        },
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a literal is written by hand and stays far below 2^53")]
fn number(value: &Expr) -> Option<f64> {
    match value {
        Expr::IntegerConstant(number, _) => Some(*number as f64),
        Expr::FloatConstant(number, _) => Some(**number),
        _ => None,
    }
}

fn is_quotient(value: &Expr) -> bool {
    matches!(value, Expr::FnCall(call, _) if call.name == "/" && call.args.len() == 2)
}

/// Checks the second argument of `retry` and `give_up`.
fn verdict_wait(wait: &Expr) -> Option<(Position, String)> {
    let message = match wait {
        Expr::FnCall(call, _) if call.name == "seconds_in" => {
            "`seconds_in` returns seconds, but a wait is in milliseconds: write `seconds_in(…) * 1000`".to_owned()
        }
        Expr::FnCall(call, _) if call.name == "header" => {
            "this string is taken as the reason, not as the wait; for a Retry-After header, use `retry_after_ms`"
                .to_owned()
        }
        value => {
            let ms = number(value).filter(|ms| *ms > 0.0 && *ms < 100.0)?;
            format!("a wait is in milliseconds: {}", in_milliseconds(ms))
        }
    };
    Some((wait.start_position(), message))
}

/// Reports the first statement after a `return`, `break` or `continue`.
fn unreachable_code(statements: &[Stmt], notes: &mut Notes) {
    let ends =
        |statement: &Stmt| matches!(statement, Stmt::Return(..) | Stmt::BreakLoop(..)) || both_branches_end(statement);
    let after = statements.iter().position(ends).and_then(|end| statements.get(end + 1));
    if let Some(statement) = after.filter(|statement| !matches!(statement, Stmt::Noop(_))) {
        notes.push((
            statement_start(statement),
            "unreachable code: the statements before it always return or break".to_owned(),
        ));
    }
}

fn both_branches_end(statement: &Stmt) -> bool {
    let ends = |statements: &[Stmt]| {
        statements.iter().any(|statement| matches!(statement, Stmt::Return(..)) || both_branches_end(statement))
    };
    match statement {
        Stmt::If(choice, _) => ends(choice.body.statements()) && ends(choice.branch.statements()),
        _ => false,
    }
}

/// Reports comparisons whose result is not used.
fn discarded_comparisons(statements: &[Stmt], notes: &mut Notes) {
    let but_last = statements.split_last().map_or(&[][..], |(_, before)| before);
    for statement in but_last {
        let is_comparison = match statement {
            Stmt::Expr(value) => matches!(&**value, Expr::And(..) | Expr::Or(..)) || is_comparison(value),
            Stmt::FnCall(call, _) => is_comparison_call(call),
            _ => false,
        };
        if is_comparison {
            let message = "the result of this condition is discarded; combine conditions with `&&`";
            notes.push((statement_start(statement), message.to_owned()));
        }
    }
}

fn is_comparison(value: &Expr) -> bool {
    matches!(value, Expr::FnCall(call, _) if is_comparison_call(call))
}

fn is_comparison_call(call: &FnCallExpr) -> bool {
    matches!(call.name.as_str(), "==" | "!=" | "<" | "<=" | ">" | ">=")
}

fn statement_start(statement: &Stmt) -> Position {
    match statement {
        Stmt::Expr(value) => start(value),
        Stmt::FnCall(call, at) => {
            call.args.iter().map(start).chain([*at]).filter(|at| !at.is_none()).min().unwrap_or(*at)
        }
        other => other.position(),
    }
}

/// Reports variables that are never read, except those whose name starts with `_`.
fn unused_variables(body: &FunctionBody, notes: &mut Notes) {
    let (mut declared, mut read) = (Vec::new(), BTreeSet::new());
    body.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, _, at))) => {
                declared.push((variable.0.name.to_string(), *at));
            }
            Some(ASTNode::Expr(Expr::Variable(name, ..))) => {
                read.insert(name.1.to_string());
            }
            _ => {}
        }
        true
    });
    let unused = declared.into_iter().filter(|(name, _)| !name.starts_with('_') && !read.contains(name));
    notes.extend(unused.map(|(name, at)| (at, format!("unused variable `{name}`; remove it, or name it `_{name}`"))));
}
