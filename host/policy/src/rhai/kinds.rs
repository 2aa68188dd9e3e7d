//! What a value is, as far as the text of a script tells: enough to see comparisons that can never hold.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Expr, Stmt};

use super::names::{Contract, FIGURES, Kind};

impl Kind {
    /// Whether Rhai compares the two by value.
    pub fn compares_with(self, other: Self) -> bool {
        let number = |kind| matches!(kind, Self::Number | Self::Whole);
        self == other || number(self) && number(other)
    }

    /// The kind with its article.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number | Self::Whole => "a number",
            Self::Text => "a text",
            Self::Truth => "true or false",
        }
    }
}

/// The kinds of the inputs that the script leaves as they are.
pub struct Kinds(BTreeMap<String, Kind>);

impl Kinds {
    /// Every input, less the names that the script declares or assigns itself.
    pub fn in_script(ast: &AST, contract: &Contract) -> Self {
        let mut kinds: BTreeMap<_, _> =
            contract.inputs.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let parameters = ast.iter_functions().flat_map(|function| function.params);
        let mut own: BTreeSet<String> = parameters.map(str::to_owned).collect();
        ast.walk(&mut |path| {
            if let Some(ASTNode::Stmt(statement)) = path.last() {
                own.extend(declared(statement).into_iter().map(str::to_owned));
            }
            true
        });
        kinds.retain(|name, _| !own.contains(name));
        Self(kinds)
    }

    /// The kind of a value, where it is certain.
    pub fn of(&self, value: &Expr) -> Option<Kind> {
        match value {
            Expr::IntegerConstant(..) => Some(Kind::Whole),
            Expr::FloatConstant(..) => Some(Kind::Number),
            Expr::StringConstant(..) | Expr::InterpolatedString(..) => Some(Kind::Text),
            Expr::BoolConstant(..) | Expr::And(..) | Expr::Or(..) => Some(Kind::Truth),
            Expr::Variable(name, ..) => self.0.get(name.1.as_str()).copied(),
            Expr::Dot(pair, ..) => figure(&pair.rhs),
            Expr::FnCall(call, _) => match (call.name.as_str(), call.args.as_slice()) {
                ("header", [_]) => Some(Kind::Text),
                ("seconds_in", [_]) => Some(Kind::Number),
                ("+" | "-" | "*" | "/" | "%", [left, right]) => self.of_arithmetic(left, right),
                _ => None,
            },
            _ => None,
        }
    }

    /// The kinds of two values.
    pub fn of_both(&self, left: &Expr, right: &Expr) -> (Option<Kind>, Option<Kind>) {
        (self.of(left), self.of(right))
    }

    fn of_arithmetic(&self, left: &Expr, right: &Expr) -> Option<Kind> {
        match self.of_both(left, right) {
            (Some(Kind::Whole), Some(Kind::Whole)) => Some(Kind::Whole),
            (Some(Kind::Whole | Kind::Number), Some(Kind::Whole | Kind::Number)) => Some(Kind::Number),
            _ => None,
        }
    }
}

/// `window("1h").p95`, in which the property is the last link.
fn figure(last: &Expr) -> Option<Kind> {
    match last {
        Expr::Property(names, _) if FIGURES.iter().any(|(name, _)| *name == names.2.as_str()) => Some(Kind::Number),
        _ => None,
    }
}

/// The names that a statement gives a value to.
fn declared(statement: &Stmt) -> Vec<&str> {
    match statement {
        Stmt::Var(variable, ..) => vec![variable.0.name.as_str()],
        Stmt::For(each, _) => {
            let counter = each.1.as_ref().map(|counter| counter.name.as_str());
            counter.into_iter().chain([each.0.name.as_str()]).collect()
        }
        Stmt::Assignment(assignment) => variable(&assignment.1.lhs).into_iter().collect(),
        Stmt::TryCatch(attempt, _) => variable(&attempt.expr).into_iter().collect(),
        _ => vec![],
    }
}

fn variable(value: &Expr) -> Option<&str> {
    match value {
        Expr::Variable(name, ..) => Some(name.1.as_str()),
        _ => None,
    }
}
