//! What the words of a script give away without being tried.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::Notes;
use super::weaver::start;
use crate::rhai::bodies::Body;
use crate::rhai::kinds::Kinds;
use crate::rhai::names::Kind;

/// The notes on all bodies.
pub fn notes(bodies: &[Body], kinds: &mut Kinds) -> Notes {
    let mut notes = Notes::new();
    for body in bodies {
        kinds.enter(body);
        body.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) => {
                    notes.extend(called(call, *at, kinds));
                }
                Some(ASTNode::Stmt(Stmt::If(choice, _))) => {
                    unreachable(choice.body.statements(), &mut notes);
                    unreachable(choice.branch.statements(), &mut notes);
                }
                Some(ASTNode::Stmt(Stmt::Block(block))) => unreachable(block.statements(), &mut notes),
                Some(ASTNode::Expr(Expr::Stmt(block))) => unreachable(block.statements(), &mut notes),
                _ => {}
            }
            true
        });
        unreachable(&body.statements, &mut notes);
        dropped(&body.statements, &mut notes);
        unread(body, &mut notes);
    }
    notes
}

fn called(call: &FnCallExpr, at: Position, kinds: &Kinds) -> Notes {
    let message = match (call.name.as_str(), call.args.as_slice()) {
        (operator @ ("==" | "!=" | "<" | "<=" | ">" | ">="), [left, right]) => {
            let begin = start(left);
            let found = comparison(operator, left, right, kinds).or_else(|| comparison(operator, right, left, kinds));
            return found.map(|message| (begin, message)).into_iter().collect();
        }
        ("retry" | "give_up", [_, wait, ..]) => return wait_of(wait).into_iter().collect(),
        _ => None::<String>,
    };
    message.map(|message| (at, message)).into_iter().collect()
}

/// What is odd about comparing `value` with `other`.
fn comparison(operator: &str, value: &Expr, other: &Expr, kinds: &Kinds) -> Option<String> {
    let ordered = !matches!(operator, "==" | "!=");
    if let (Expr::Variable(left, ..), Expr::Variable(right, ..)) = (value, other)
        && left.1 == right.1
    {
        return Some(format!("compares `{}` with itself", left.1));
    }
    if ordered && kinds.of_both(value, other) == (Some(Kind::Text), Some(Kind::Text)) {
        let how = "`parse_float(…)` makes a number of a text";
        return Some(format!("`{operator}` compares texts letter by letter, and \"10\" comes before \"9\"; {how}"));
    }
    if let Expr::StringConstant(text, _) = other
        && !ordered
        && (text.ends_with('*') || text.starts_with('*') || text.ends_with('%'))
    {
        let how = "starts_with, ends_with and contains look for a part";
        return Some(format!("`{operator}` takes {text:?} as it stands; {how}"));
    }
    let number = number(other)?;
    if !ordered && is_quotient(value) && kinds.of(value) == Some(Kind::Number) {
        return Some("a quotient is seldom a whole number; write `to_int(…)` around it, or a range".to_owned());
    }
    of_unit(figure(value, kinds)?, number)
}

fn of_unit(name: &str, number: f64) -> Option<String> {
    match name {
        "error_rate" | "success_rate" | "limited_rate" if number > 1.0 => {
            Some(format!("`{name}` is a fraction of 1: write {} for {number} %", number / 100.0))
        }
        "error_rate" | "success_rate" | "limited_rate" if number < 0.0 => Some(format!("`{name}` is at least 0")),
        "p50" | "p95" | "p99" | "elapsed_ms" if number > 0.0 && number < 10.0 => {
            Some(format!("`{name}` is in milliseconds: write {} for {number} seconds", number * 1_000.0))
        }
        "retry_after_ms" if number > 0.0 && number < 1_000.0 => {
            Some(format!("`{name}` is in milliseconds: write {} for {number} seconds", number * 1_000.0))
        }
        "at_ms" if number > 0.0 && number < 1e11 => Some("`at_ms` is in milliseconds since 1970".to_owned()),
        _ => None,
    }
}

/// The name of an input or a figure of a window.
fn figure<'a>(value: &'a Expr, kinds: &Kinds) -> Option<&'a str> {
    match value {
        Expr::Variable(name, ..) if kinds.is_input(value) => Some(name.1.as_str()),
        Expr::Dot(pair, ..) => match (&pair.rhs, kinds.of(&pair.lhs)) {
            (Expr::Property(names, _), Some(Kind::Window)) => Some(names.2.as_str()),
            _ => None,
        },
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number that someone wrote down")]
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

/// The second argument of a verdict.
fn wait_of(wait: &Expr) -> Option<(Position, String)> {
    let message = match wait {
        Expr::FnCall(call, _) if call.name == "seconds_in" => {
            "`seconds_in` answers seconds, and a wait is in milliseconds: write `seconds_in(…) * 1000`".to_owned()
        }
        Expr::FnCall(call, _) if call.name == "header" => {
            "this text is the reason, and no wait; `retry_after_ms` is the wait of a Retry-After header".to_owned()
        }
        value => {
            let ms = number(value).filter(|ms| *ms > 0.0 && *ms < 100.0)?;
            format!("a wait is in milliseconds: write {} for {ms} seconds", ms * 1_000.0)
        }
    };
    Some((wait.start_position(), message))
}

/// What stands behind a `return`.
fn unreachable(statements: &[Stmt], notes: &mut Notes) {
    let ends = |statement: &Stmt| matches!(statement, Stmt::Return(..) | Stmt::BreakLoop(..)) || both_end(statement);
    let after = statements.iter().position(ends).and_then(|end| statements.get(end + 1));
    if let Some(statement) = after.filter(|statement| !matches!(statement, Stmt::Noop(_))) {
        notes.push((statement_start(statement), "nothing comes here: all before it returns".to_owned()));
    }
}

fn both_end(statement: &Stmt) -> bool {
    let ends = |statements: &[Stmt]| statements.iter().any(|one| matches!(one, Stmt::Return(..)) || both_end(one));
    match statement {
        Stmt::If(choice, _) => ends(choice.body.statements()) && ends(choice.branch.statements()),
        _ => false,
    }
}

/// A comparison whose answer nobody takes.
fn dropped(statements: &[Stmt], notes: &mut Notes) {
    let but_last = statements.split_last().map_or(&[][..], |(_, before)| before);
    for statement in but_last {
        let value = match statement {
            Stmt::Expr(value) => matches!(&**value, Expr::And(..) | Expr::Or(..)) || is_comparison(value),
            Stmt::FnCall(call, _) => is_comparison_call(call),
            _ => false,
        };
        if value {
            notes.push((
                statement_start(statement),
                "what this comes to is dropped; join conditions by `&&`".to_owned(),
            ));
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

/// Variables that nobody reads; one that begins with `_` says so itself.
fn unread(body: &Body, notes: &mut Notes) {
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
    let unread = declared.into_iter().filter(|(name, _)| !name.starts_with('_') && !read.contains(name));
    notes.extend(unread.map(|(name, at)| (at, format!("`{name}` is never read"))));
}
