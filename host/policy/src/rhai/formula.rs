//! Conditions that are plain formulas over figures, such as `error_rate > 0.1 && count >= 20`: they need no
//! interpreter, and without it take a few nanoseconds.
//!
//! A formula has no loops, no variables of its own and no calls, so it ends after as many steps as it has parts.

use rhai::{AST, Expr, FnCallExpr, Stmt};
use tidegate_core::Stats;

use super::names::{FIGURES, Figure};

/// A condition without anything that the interpreter is needed for.
#[derive(Debug)]
pub enum Formula {
    Constant(bool),
    Compare(Comparison, Number, Number),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// A number inside a formula.
#[derive(Debug)]
pub enum Number {
    Constant(f64),
    Figure(Figure),
    Of(Operation, Box<(Self, Self)>),
}

#[derive(Clone, Copy, Debug)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Formula {
    /// The formula that a script is, if it is one.
    pub fn of(script: &AST) -> Option<Self> {
        match script.statements() {
            [Stmt::Expr(value)] => Self::of_value(value),
            [Stmt::FnCall(call, _)] => Self::of_call(call),
            _ => None,
        }
    }

    fn of_value(value: &Expr) -> Option<Self> {
        let every = |parts: &[Expr]| parts.iter().map(Self::of_value).collect::<Option<Vec<_>>>();
        match value {
            Expr::BoolConstant(holds, _) => Some(Self::Constant(*holds)),
            Expr::And(parts, _) => every(parts).map(Self::All),
            Expr::Or(parts, _) => every(parts).map(Self::Any),
            Expr::FnCall(call, _) => Self::of_call(call),
            _ => None,
        }
    }

    fn of_call(call: &FnCallExpr) -> Option<Self> {
        match (operator(call)?, &*call.args) {
            ("!", [value]) => Some(Self::Not(Box::new(Self::of_value(value)?))),
            (name, [left, right]) => {
                let comparison = Comparison::named(name)?;
                let (left, right) = Number::pair(left, right)?;
                Some(Self::Compare(comparison, left, right))
            }
            _ => None,
        }
    }

    /// Whether it holds for these figures.
    pub fn holds(&self, stats: &Stats) -> bool {
        match self {
            Self::Constant(holds) => *holds,
            Self::Compare(comparison, left, right) => comparison.holds(left.value(stats), right.value(stats)),
            Self::Not(inner) => !inner.holds(stats),
            Self::All(parts) => parts.iter().all(|part| part.holds(stats)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(stats)),
        }
    }
}

impl Number {
    fn of(value: &Expr) -> Option<Self> {
        match value {
            Expr::FloatConstant(number, _) => Some(Self::Constant(**number)),
            #[expect(clippy::cast_precision_loss, reason = "as the interpreter does beside a number with a fraction")]
            Expr::IntegerConstant(number, _) => Some(Self::Constant(*number as f64)),
            Expr::Variable(name, ..) if name.2.is_empty() => {
                FIGURES.iter().find(|(figure, _)| *figure == name.1).map(|(_, read)| Self::Figure(*read))
            }
            Expr::FnCall(call, _) => {
                let (operation, [left, right]) = (Operation::named(operator(call)?)?, &*call.args) else { return None };
                Some(Self::Of(operation, Box::new(Self::pair(left, right)?)))
            }
            _ => None,
        }
    }

    /// Both sides of an operator. Two whole numbers have an arithmetic of their own, which is left to the interpreter.
    fn pair(left: &Expr, right: &Expr) -> Option<(Self, Self)> {
        let whole = |side: &Expr| matches!(side, Expr::IntegerConstant(..));
        if whole(left) && whole(right) { None } else { Some((Self::of(left)?, Self::of(right)?)) }
    }

    fn value(&self, stats: &Stats) -> f64 {
        match self {
            Self::Constant(number) => *number,
            Self::Figure(read) => read(stats),
            Self::Of(operation, sides) => operation.of(sides.0.value(stats), sides.1.value(stats)),
        }
    }
}

/// The operator that a call is, if it is one.
fn operator(call: &FnCallExpr) -> Option<&str> {
    call.op_token.as_ref().map(|_| call.name.as_str())
}

impl Operation {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "+" => Self::Add,
            "-" => Self::Subtract,
            "*" => Self::Multiply,
            "/" => Self::Divide,
            "%" => Self::Remainder,
            _ => return None,
        })
    }

    fn of(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Remainder => left % right,
        }
    }
}

impl Comparison {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            _ => return None,
        })
    }

    /// As Rhai compares numbers with fractions: those that differ by no more than rounding does are equal.
    ///
    /// Source: Rhai 1.27, `func/builtin.rs`, the operators of floats.
    fn holds(self, left: f64, right: f64) -> bool {
        const SLACK: f64 = f64::EPSILON;
        let scale = if left * right == 0.0 { 1.0 } else { left.abs().max(right.abs()) };
        // What is no number beside 0.
        if scale == 0.0 {
            return matches!(self, Self::Equal | Self::GreaterOrEqual | Self::LessOrEqual);
        }
        let apart = (left - right) / scale;
        match self {
            Self::Equal => apart.abs() <= SLACK,
            Self::NotEqual => apart.abs() > SLACK,
            Self::Greater => apart > SLACK,
            Self::GreaterOrEqual => apart > -SLACK,
            Self::Less => (right - left) / scale > SLACK,
            Self::LessOrEqual => (right - left) / scale > -SLACK,
        }
    }
}

#[cfg(test)]
mod tests {
    use rhai::{Engine, OptimizationLevel, Scope};

    use super::*;

    fn formula(text: &str) -> Option<Formula> {
        let (engine, mut scope) = (Engine::new(), Scope::new());
        for (name, _) in FIGURES {
            scope.push_dynamic(name, rhai::Dynamic::UNIT);
        }
        scope.push_dynamic("platform", rhai::Dynamic::UNIT);
        let script = engine.compile_with_scope(&scope, text).unwrap();
        Formula::of(&engine.optimize_ast(&Scope::new(), script, OptimizationLevel::Simple))
    }

    #[test]
    fn plain_conditions_are_formulas() {
        let stats = Stats { count: 40, errors: 4, error_rate: 0.1, p95: 250.0, ..Stats::default() };
        let rows = [
            ("error_rate > 0.05", true),
            ("error_rate > 0.1", false),
            ("error_rate >= 0.1 && count >= 20", true),
            ("p95 > 1000 || (errors / count == 0.1 && !(count < 40))", true),
            ("p95 * 2.0 - 1 > 500.0", false),
            ("true", true),
        ];
        for (text, expected) in rows {
            assert_eq!(formula(text).map(|formula| formula.holds(&stats)), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_rest_is_left_to_the_interpreter() {
        let rows = [
            "window(\"1h\").error_rate > 0.1",
            "platform == \"taobao\"",
            "let limit = 0.1; error_rate > limit",
            "if count > 20 { error_rate > 0.1 } else { false }",
            "error_rate",
            "\"a text\"",
            "p95 > max(p50, p99)",
        ];
        for text in rows {
            assert!(formula(text).is_none(), "{text}");
        }
    }
}
