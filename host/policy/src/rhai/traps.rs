//! Mistakes that the kinds of values betray: each can only fail or be in vain, so it is refused.

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};
use tidegate_core::config::reader::suggestion;

use super::bodies::Body;
use super::kinds::Kinds;
use super::names::{FIGURES, KINDS, Kind, LEVELS};
use super::tokens::{Literal, Tokens};

/// Mistakes with their places.
pub type Mistakes = Vec<(Position, String)>;

const ORDERINGS: [&str; 4] = ["<", "<=", ">", ">="];

/// Looks at one statement or expression.
pub fn at(node: &ASTNode<'_>, kinds: &Kinds, tokens: &Tokens) -> Mistakes {
    match node {
        ASTNode::Stmt(Stmt::If(choice, _)) => condition("if", &choice.expr, kinds),
        ASTNode::Stmt(Stmt::While(again, _) | Stmt::Do(again, ..)) => condition("while", &again.expr, kinds),
        ASTNode::Stmt(Stmt::Switch(switch, at)) => cases(&switch.0, &tokens.cases(*at), kinds),
        ASTNode::Stmt(Stmt::Assignment(assignment)) => match assignment.0.get_op_assignment_info() {
            Some((.., operator)) => {
                arithmetic(operator, &assignment.1.lhs, &assignment.1.rhs, assignment.0.position(), kinds)
            }
            None => vec![],
        },
        ASTNode::Expr(Expr::And(all, _)) => operands("&&", all, kinds),
        ASTNode::Expr(Expr::Or(all, _)) => operands("||", all, kinds),
        ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)) => called(call, *at, kinds),
        ASTNode::Expr(Expr::Dot(pair, ..)) => link(&pair.lhs, &pair.rhs, kinds),
        _ => vec![],
    }
}

fn called(call: &FnCallExpr, at: Position, kinds: &Kinds) -> Mistakes {
    match (call.name.as_str(), call.args.as_slice()) {
        ("!", [value]) => negation(value, at, kinds),
        ("contains", [Expr::Array(items, _), value]) => {
            // `code in [7, 26]` looks for a text among numbers.
            items.iter().flat_map(|item| comparison("==", value, item, item.start_position(), kinds)).collect()
        }
        (operator @ ("==" | "!=" | "<" | "<=" | ">" | ">="), [left, right]) => {
            comparison(operator, left, right, at, kinds)
        }
        (operator, [left, right]) if call.is_operator_call() => arithmetic(operator, left, right, at, kinds),
        (name, given) if !kinds.is_own(call) => arguments(name, given, kinds),
        _ => vec![],
    }
}

fn condition(word: &str, value: &Expr, kinds: &Kinds) -> Mistakes {
    let Some(kind) = kinds.of(value).filter(|kind| *kind != Kind::Truth) else { return vec![] };
    let name = if let Expr::Variable(name, ..) = value { name.1.as_str() } else { "…" };
    let how = match kind {
        Kind::Text => format!("compare it, as in `{name} != \"\"`"),
        Kind::Window | Kind::Limit => "compare a figure of it".to_owned(),
        Kind::Verdict => "a verdict is the end of a script".to_owned(),
        _ => format!("compare it, as in `{name} > 0`"),
    };
    vec![(value.start_position(), format!("`{word}` needs true or false, not {}; {how}", kind.name()))]
}

fn operands(operator: &str, all: &[Expr], kinds: &Kinds) -> Mistakes {
    let wrong = |(at, value): (usize, &Expr)| {
        let kind = kinds.of(value).filter(|kind| *kind != Kind::Truth)?;
        let how = match at.checked_sub(1).and_then(|before| comparison_of(&all[before])).zip(written(value)) {
            Some(((name, comparison), value)) => format!("; write out each comparison: `{name} {comparison} {value}`"),
            None => String::new(),
        };
        Some((value.start_position(), format!("`{operator}` needs true or false, not {}{how}", kind.name())))
    };
    all.iter().enumerate().filter_map(wrong).collect()
}

/// `code == "7"` as the name and the operator.
fn comparison_of(value: &Expr) -> Option<(&str, &str)> {
    let Expr::FnCall(call, _) = value else { return None };
    match call.args.as_slice() {
        [Expr::Variable(name, ..), _] if call.is_operator_call() => Some((name.1.as_str(), call.name.as_str())),
        _ => None,
    }
}

fn written(value: &Expr) -> Option<String> {
    match value {
        Expr::StringConstant(text, _) => Some(format!("{text:?}")),
        Expr::IntegerConstant(number, _) => Some(number.to_string()),
        Expr::FloatConstant(number, _) => Some(number.to_string()),
        _ => None,
    }
}

fn negation(value: &Expr, at: Position, kinds: &Kinds) -> Mistakes {
    match kinds.of(value) {
        None | Some(Kind::Truth) => vec![],
        Some(kind) => {
            let how = "to say that a comparison does not hold, write `!=`, or `!(…)` around it";
            vec![(at, format!("`!` needs true or false, not {}; {how}", kind.name()))]
        }
    }
}

fn comparison(operator: &str, left: &Expr, right: &Expr, at: Position, kinds: &Kinds) -> Mistakes {
    let mut found = Mistakes::new();
    if let (Some(first), Some(second)) = kinds.of_both(left, right) {
        let is_ordered = |value: &Expr| matches!(value, Expr::FnCall(call, _) if ORDERINGS.contains(&&*call.name));
        if !first.compares_with(second) {
            let message = if is_ordered(left) && ORDERINGS.contains(&operator) {
                format!("`{operator}` cannot follow a comparison; write two, as in `0.1 < x && x < 0.5`")
            } else {
                let answer = operator == "!=";
                let (first, second) = (first.name(), second.name());
                format!("`{operator}` between {first} and {second} is always {answer}; make both the same")
            };
            found.push((at, message));
        }
    }
    found.extend([(left, right), (right, left)].into_iter().filter_map(|(name, word)| kind_word(name, word, kinds)));
    found
}

/// `kind == "timout"` is never true.
fn kind_word(variable: &Expr, word: &Expr, kinds: &Kinds) -> Option<(Position, String)> {
    match word {
        Expr::StringConstant(word, at) if is_kind(variable, kinds) => Some((*at, odd_kind(word)?)),
        _ => None,
    }
}

fn is_kind(value: &Expr, kinds: &Kinds) -> bool {
    matches!(value, Expr::Variable(name, ..) if name.1 == "kind") && kinds.is_input(value)
}

fn odd_kind(word: &str) -> Option<String> {
    (!KINDS.contains(&word)).then(|| format!("`kind` is never {word:?}; {}", suggestion(word, &KINDS)))
}

fn arithmetic(operator: &str, left: &Expr, right: &Expr, at: Position, kinds: &Kinds) -> Mistakes {
    let (Some(left), Some(right)) = kinds.of_both(left, right) else { return vec![] };
    let is_whole = |kind| matches!(kind, Kind::Whole | Kind::Rounded);
    let message = match operator {
        "/" if (left, right) == (Kind::Whole, Kind::Whole) => {
            "dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10".to_owned()
        }
        "&" | "|" | "^" if (left, right) != (Kind::Truth, Kind::Truth) && !(is_whole(left) && is_whole(right)) => {
            let (left, right) = (left.name(), right.name());
            format!("`{operator}` fails between {left} and {right}; between conditions write `&&` or `||`")
        }
        "-" | "*" | "/" | "%" | "**" if !(left.is_number() && right.is_number() || left == right) => {
            let text = [left, right].contains(&Kind::Text);
            let how = if text { "; `parse_float(…)` makes a number of a text" } else { "" };
            format!("`{operator}` fails between {} and {}{how}", left.name(), right.name())
        }
        _ => return vec![],
    };
    vec![(at, message)]
}

fn link(value: &Expr, link: &Expr, kinds: &Kinds) -> Mistakes {
    let link = if let Expr::Dot(pair, ..) = link { &pair.lhs } else { link };
    match (link, kinds.of(value)) {
        (Expr::Property(names, at), Some(kind)) => property(&names.2, kind, *at),
        (Expr::MethodCall(call, _), Some(Kind::Text)) => arguments(&call.name, &call.args, kinds),
        _ => vec![],
    }
}

/// `window("1h").available` and `status.p95` are properties of something else.
fn property(name: &str, kind: Kind, at: Position) -> Mistakes {
    let owners = [
        (Kind::Window, "window(\"1h\")", FIGURES.iter().any(|(figure, _)| *figure == name)),
        (Kind::Limit, "limit(\"…\")", LEVELS.contains(&name)),
    ];
    let owner = owners.iter().find(|(_, _, owns)| *owns).filter(|(owner, ..)| *owner != kind);
    owner.map(|(_, owner, _)| (at, format!("{} has no `{name}`, {owner} has", kind.name()))).into_iter().collect()
}

/// What a function takes in its places, where that is one kind.
fn arguments(name: &str, given: &[Expr], kinds: &Kinds) -> Mistakes {
    let takes: &[Kind] = match name {
        "retry" | "give_up" | "abstain" | "header" | "label" | "limit" | "log" | "seconds_in" | "epoch_ms"
        | "parse_int" | "parse_float" | "contains" | "starts_with" | "ends_with" => &[Kind::Text],
        "deny" => &[Kind::Text, Kind::Number],
        "allow" | "to_int" | "to_float" => &[Kind::Number],
        "day_ends_in_ms" => &[Kind::Number, Kind::Text],
        _ => &[],
    };
    let wrong = |(expected, value): (&Kind, &Expr)| {
        let found = kinds.of(value).filter(|found| !found.compares_with(*expected))?;
        let message = format!("`{name}` takes {} here, not {}", expected.name(), found.name());
        Some((value.start_position(), message))
    };
    takes.iter().zip(given).filter_map(wrong).collect()
}

/// `switch status { 429 => … }` looks for a number with a fraction among whole ones, `switch code { 7 => … }` for a
/// text among numbers.
fn cases(value: &Expr, cases: &[(Literal, Position)], kinds: &Kinds) -> Mistakes {
    let Some(kind) = kinds.of(value).filter(|_| !cases.is_empty()) else { return vec![] };
    if kind == Kind::Number {
        let message = "`switch` never finds a number with a fraction; write `switch to_int(…)`, or `if`";
        return vec![(value.start_position(), message.to_owned())];
    }
    let wrong = |(case, at): &(Literal, Position)| {
        let message = match (kind, case) {
            (Kind::Text, Literal::Number(number)) => {
                format!("`switch` looks for a text, and {number} is a number; write \"{number}\"")
            }
            (Kind::Whole | Kind::Rounded, Literal::Text(text)) => {
                format!("`switch` looks for a number, and {text:?} is a text; write it without quotes")
            }
            (Kind::Text, Literal::Text(word)) if is_kind(value, kinds) => odd_kind(word)?,
            _ => return None,
        };
        Some((*at, message))
    };
    cases.iter().filter_map(wrong).collect()
}

/// What is made and never used: verdicts, and an assignment where an answer is due.
pub fn in_vain(body: &Body, kinds: &Kinds) -> Mistakes {
    let mut found = Mistakes::new();
    dropped(&body.statements, body.is_asked(), kinds, &mut found);
    if let (None, Some(Stmt::Assignment(assignment))) = (&body.function, body.statements.last()) {
        let message = "`=` assigns and answers nothing; to compare, write `==`";
        found.push((assignment.0.position(), message.to_owned()));
    }
    found
}

fn dropped(statements: &[Stmt], asked: bool, kinds: &Kinds, found: &mut Mistakes) {
    for (at, statement) in statements.iter().enumerate() {
        let asked = asked && at + 1 == statements.len();
        match statement {
            Stmt::FnCall(call, at) if !asked => lost(kinds.of_answer(call), *at, found),
            Stmt::Expr(value) => dropped_value(value, asked, kinds, found),
            Stmt::If(choice, _) => {
                dropped(choice.body.statements(), asked, kinds, found);
                dropped(choice.branch.statements(), asked, kinds, found);
            }
            Stmt::Switch(switch, _) => {
                switch.1.expressions.iter().for_each(|case| dropped_value(&case.rhs, asked, kinds, found));
            }
            Stmt::Block(block) => dropped(block.statements(), asked, kinds, found),
            Stmt::While(again, _) | Stmt::Do(again, ..) => dropped(again.body.statements(), false, kinds, found),
            Stmt::For(each, _) => dropped(each.2.body.statements(), false, kinds, found),
            _ => {}
        }
    }
}

fn dropped_value(value: &Expr, asked: bool, kinds: &Kinds, found: &mut Mistakes) {
    match value {
        Expr::Stmt(block) => dropped(block.statements(), asked, kinds, found),
        value if !asked => lost(kinds.of(value), value.start_position(), found),
        _ => {}
    }
}

fn lost(kind: Option<Kind>, at: Position, found: &mut Mistakes) {
    if kind == Some(Kind::Verdict) {
        found.push((at, "this verdict is dropped, and the script goes on; write `return` before it".to_owned()));
    }
}
