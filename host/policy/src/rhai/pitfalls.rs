//! Finds mistakes by the types of values: expressions that always fail, comparisons that are always true or always
//! false, and results that are never used.

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};
use tidegate_core::FailureKind;
use tidegate_core::config::reader::with_suggestion;

use super::bodies::FunctionBody;
use super::contract::{LIMIT_FIELDS, STATS, ValueType};
use super::tokens::{Literal, Tokens};
use super::types::InferredTypes;

/// Messages with their positions.
pub type Pitfalls = Vec<(Position, String)>;

const ORDERINGS: [&str; 4] = ["<", "<=", ">", ">="];

/// Returns the pitfalls in one statement or expression.
pub fn in_node(node: &ASTNode<'_>, types: &InferredTypes, tokens: &Tokens) -> Pitfalls {
    match node {
        ASTNode::Stmt(Stmt::If(choice, _)) => condition("if", &choice.expr, types),
        ASTNode::Stmt(Stmt::While(flow, _) | Stmt::Do(flow, ..)) => condition("while", &flow.expr, types),
        ASTNode::Stmt(Stmt::Switch(switch, at)) => switch_cases(&switch.0, &tokens.cases(*at), types),
        ASTNode::Stmt(Stmt::Assignment(assignment)) => match assignment.0.get_op_assignment_info() {
            Some((.., operator)) => {
                arithmetic(operator, &assignment.1.lhs, &assignment.1.rhs, assignment.0.position(), types)
            }
            None => vec![],
        },
        ASTNode::Expr(Expr::And(all, _)) => operands("&&", all, types),
        ASTNode::Expr(Expr::Or(all, _)) => operands("||", all, types),
        ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)) => in_call(call, *at, types),
        ASTNode::Expr(Expr::Dot(pair, ..)) => chain(&pair.lhs, &pair.rhs, types),
        _ => vec![],
    }
}

fn in_call(call: &FnCallExpr, at: Position, types: &InferredTypes) -> Pitfalls {
    match (call.name.as_str(), call.args.as_slice()) {
        ("!", [value]) => negation(value, at, types),
        ("contains", [Expr::Array(items, _), value]) => {
            // For example `code in [7, 26]`, which searches numbers for a string.
            items.iter().flat_map(|item| comparison("==", value, item, item.start_position(), types)).collect()
        }
        (operator @ ("==" | "!=" | "<" | "<=" | ">" | ">="), [left, right]) => {
            comparison(operator, left, right, at, types)
        }
        (operator, [left, right]) if call.is_operator_call() => arithmetic(operator, left, right, at, types),
        (name, values) if !types.is_script_function(call) => arguments(name, values, types),
        _ => vec![],
    }
}

fn condition(keyword: &str, value: &Expr, types: &InferredTypes) -> Pitfalls {
    let Some(found) = types.of(value).filter(|found| *found != ValueType::Bool) else { return vec![] };
    let name = if let Expr::Variable(name, ..) = value { name.1.as_str() } else { "…" };
    let fix = match found {
        ValueType::String => format!("compare it, as in `{name} != \"\"`"),
        ValueType::Window | ValueType::Limit => "compare one of its properties".to_owned(),
        ValueType::Verdict => "return the verdict instead".to_owned(),
        _ => format!("compare it, as in `{name} > 0`"),
    };
    vec![(value.start_position(), format!("`{keyword}` needs a boolean, found {}; {fix}", found.label()))]
}

fn operands(operator: &str, all: &[Expr], types: &InferredTypes) -> Pitfalls {
    let check = |(index, value): (usize, &Expr)| {
        let found = types.of(value).filter(|found| *found != ValueType::Bool)?;
        let fix = match index.checked_sub(1).and_then(|before| comparison_of(&all[before])).zip(literal(value)) {
            Some(((name, comparison), value)) => {
                format!("; write each comparison in full: `{name} {comparison} {value}`")
            }
            None => String::new(),
        };
        Some((value.start_position(), format!("`{operator}` needs a boolean, found {}{fix}", found.label())))
    };
    all.iter().enumerate().filter_map(check).collect()
}

/// Returns the variable and the operator of a comparison such as `code == "7"`.
fn comparison_of(value: &Expr) -> Option<(&str, &str)> {
    let Expr::FnCall(call, _) = value else { return None };
    match call.args.as_slice() {
        [Expr::Variable(name, ..), _] if call.is_operator_call() => Some((name.1.as_str(), call.name.as_str())),
        _ => None,
    }
}

/// Returns a literal as it is written in a script.
fn literal(value: &Expr) -> Option<String> {
    match value {
        Expr::StringConstant(text, _) => Some(format!("{text:?}")),
        Expr::IntegerConstant(number, _) => Some(number.to_string()),
        Expr::FloatConstant(number, _) => Some(number.to_string()),
        _ => None,
    }
}

fn negation(value: &Expr, at: Position, types: &InferredTypes) -> Pitfalls {
    match types.of(value) {
        None | Some(ValueType::Bool) => vec![],
        Some(found) => {
            let fix = "to negate a comparison, write `!=`, or `!(…)` around it";
            vec![(at, format!("`!` needs a boolean, found {}; {fix}", found.label()))]
        }
    }
}

fn comparison(operator: &str, left: &Expr, right: &Expr, at: Position, types: &InferredTypes) -> Pitfalls {
    let mut pitfalls = Pitfalls::new();
    if let (Some(first), Some(second)) = types.of_both(left, right) {
        let is_ordering = |value: &Expr| matches!(value, Expr::FnCall(call, _) if ORDERINGS.contains(&&*call.name));
        if !first.compares_with(second) {
            let message = if is_ordering(left) && ORDERINGS.contains(&operator) {
                format!("`{operator}` cannot follow another comparison; write two, as in `0.1 < x && x < 0.5`")
            } else {
                let result = operator == "!=";
                let (first, second) = (first.label(), second.label());
                format!("`{operator}` between {first} and {second} is always {result}; compare values of the same type")
            };
            pitfalls.push((at, message));
        }
    }
    let sides = [(left, right), (right, left)];
    pitfalls.extend(sides.into_iter().filter_map(|(variable, value)| unknown_kind(variable, value, types)));
    pitfalls
}

/// Reports a comparison such as `kind == "timout"`, which is never true.
fn unknown_kind(variable: &Expr, value: &Expr, types: &InferredTypes) -> Option<(Position, String)> {
    match value {
        Expr::StringConstant(value, at) if is_failure_kind(variable, types) => {
            Some((*at, unknown_kind_message(value)?))
        }
        _ => None,
    }
}

/// Returns whether an expression is the input variable `kind`.
fn is_failure_kind(value: &Expr, types: &InferredTypes) -> bool {
    matches!(value, Expr::Variable(name, ..) if name.1 == "kind") && types.is_input(value)
}

fn unknown_kind_message(value: &str) -> Option<String> {
    let message = || with_suggestion(format!("`kind` is never {value:?}"), value, FailureKind::NAMES);
    (!FailureKind::NAMES.contains(&value)).then(message)
}

fn arithmetic(operator: &str, left: &Expr, right: &Expr, at: Position, types: &InferredTypes) -> Pitfalls {
    use ValueType::{Bool, ExplicitInteger, Integer, String};
    let (Some(left), Some(right)) = types.of_both(left, right) else { return vec![] };
    let is_integer = |value| matches!(value, Integer | ExplicitInteger);
    let undefined = |fix: &str| format!("`{operator}` is not defined for {} and {}{fix}", left.label(), right.label());
    let message = match operator {
        "/" if (left, right) == (Integer, Integer) => {
            "dividing integers drops the fraction; write one with a decimal point, as in 1.0 / 10".to_owned()
        }
        "&" | "|" | "^" if (left, right) != (Bool, Bool) && !(is_integer(left) && is_integer(right)) => {
            undefined("; to combine conditions, write `&&` or `||`")
        }
        "-" | "*" | "/" | "%" | "**" if !(left.is_number() && right.is_number() || left == right) => {
            let has_string = [left, right].contains(&String);
            undefined(if has_string { "; convert the string with `parse_float(…)`" } else { "" })
        }
        _ => return vec![],
    };
    vec![(at, message)]
}

fn chain(value: &Expr, link: &Expr, types: &InferredTypes) -> Pitfalls {
    let link = if let Expr::Dot(pair, ..) = link { &pair.lhs } else { link };
    match (link, types.of(value)) {
        (Expr::Property(names, at), Some(owner)) => property(&names.2, owner, *at),
        (Expr::MethodCall(call, _), Some(ValueType::String)) => arguments(&call.name, &call.args, types),
        _ => vec![],
    }
}

/// Reports a property of another type, as in `window("1h").available` and `status.p95`.
fn property(name: &str, found: ValueType, at: Position) -> Pitfalls {
    let owners = [
        (ValueType::Window, "window(\"1h\")", STATS.iter().any(|(stat, _)| *stat == name)),
        (ValueType::Limit, "limit(\"…\")", LIMIT_FIELDS.contains(&name)),
    ];
    let owner = owners.iter().find(|(_, _, has_property)| *has_property).filter(|(owner, ..)| *owner != found);
    let message = |owner: &str| format!("{} has no property `{name}`; {owner} has it", found.label());
    owner.map(|(_, owner, _)| (at, message(owner))).into_iter().collect()
}

/// Checks the arguments of functions whose parameters each have one type.
fn arguments(name: &str, values: &[Expr], types: &InferredTypes) -> Pitfalls {
    let parameters: &[ValueType] = match name {
        "retry" | "give_up" | "abstain" | "header" | "label" | "limit" | "log" | "seconds_in" | "epoch_ms"
        | "parse_int" | "parse_float" | "contains" | "starts_with" | "ends_with" => &[ValueType::String],
        "deny" => &[ValueType::String, ValueType::Number],
        "allow" | "to_int" | "to_float" => &[ValueType::Number],
        "day_ends_in_ms" => &[ValueType::Number, ValueType::String],
        _ => &[],
    };
    let check = |(expected, value): (&ValueType, &Expr)| {
        let found = types.of(value).filter(|found| !found.compares_with(*expected))?;
        let message = format!("`{name}` expects {} here, found {}", expected.label(), found.label());
        Some((value.start_position(), message))
    };
    parameters.iter().zip(values).filter_map(check).collect()
}

/// Checks the cases of a `switch`: `switch status { 429 => … }` compares a float with integers, and
/// `switch code { 7 => … }` a string with numbers.
fn switch_cases(value: &Expr, cases: &[(Literal, Position)], types: &InferredTypes) -> Pitfalls {
    let Some(value_type) = types.of(value).filter(|_| !cases.is_empty()) else { return vec![] };
    if value_type == ValueType::Number {
        let message = "`switch` on a floating-point number never matches; write `switch to_int(…)`, or use `if`";
        return vec![(value.start_position(), message.to_owned())];
    }
    let check = |(case, at): &(Literal, Position)| {
        let message = match (value_type, case) {
            (ValueType::String, Literal::Number(number)) => {
                format!("this `switch` compares strings, but {number} is a number; write \"{number}\"")
            }
            (ValueType::Integer | ValueType::ExplicitInteger, Literal::String(text)) => {
                format!("this `switch` compares numbers, but {text:?} is a string; write it without quotes")
            }
            (ValueType::String, Literal::String(text)) if is_failure_kind(value, types) => unknown_kind_message(text)?,
            _ => return None,
        };
        Some((*at, message))
    };
    cases.iter().filter_map(check).collect()
}

/// Returns the verdicts that are discarded, and an assignment as the last statement, where a value is needed.
pub fn unused_values(body: &FunctionBody, types: &InferredTypes) -> Pitfalls {
    let mut pitfalls = Pitfalls::new();
    unused_in_block(&body.statements, body.returns_value(), types, &mut pitfalls);
    if let (None, Some(Stmt::Assignment(assignment))) = (&body.function, body.statements.last()) {
        let message = "`=` assigns and has no value; to compare, write `==`";
        pitfalls.push((assignment.0.position(), message.to_owned()));
    }
    pitfalls
}

fn unused_in_block(statements: &[Stmt], is_used: bool, types: &InferredTypes, pitfalls: &mut Pitfalls) {
    for (index, statement) in statements.iter().enumerate() {
        let is_used = is_used && index + 1 == statements.len();
        match statement {
            Stmt::FnCall(call, at) if !is_used => unused_verdict(types.of_result(call), *at, pitfalls),
            Stmt::Expr(value) => unused_in_value(value, is_used, types, pitfalls),
            Stmt::If(choice, _) => {
                unused_in_block(choice.body.statements(), is_used, types, pitfalls);
                unused_in_block(choice.branch.statements(), is_used, types, pitfalls);
            }
            Stmt::Switch(switch, _) => {
                switch.1.expressions.iter().for_each(|case| unused_in_value(&case.rhs, is_used, types, pitfalls));
            }
            Stmt::Block(block) => unused_in_block(block.statements(), is_used, types, pitfalls),
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => {
                unused_in_block(flow.body.statements(), false, types, pitfalls);
            }
            Stmt::For(each, _) => unused_in_block(each.2.body.statements(), false, types, pitfalls),
            _ => {}
        }
    }
}

fn unused_in_value(value: &Expr, is_used: bool, types: &InferredTypes, pitfalls: &mut Pitfalls) {
    match value {
        Expr::Stmt(block) => unused_in_block(block.statements(), is_used, types, pitfalls),
        value if !is_used => unused_verdict(types.of(value), value.start_position(), pitfalls),
        _ => {}
    }
}

fn unused_verdict(value_type: Option<ValueType>, at: Position, pitfalls: &mut Pitfalls) {
    if value_type == Some(ValueType::Verdict) {
        let message = "this verdict is discarded and the script continues; write `return` before it";
        pitfalls.push((at, message.to_owned()));
    }
}
