//! What a value is, as far as the text of a script tells: enough to see comparisons that can never hold.
//!
//! A variable is of a kind where everything that is ever assigned to it is; a function's argument where every call
//! hands over that kind; a function's answer where every way out gives it. Whatever is not certain is no kind.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{ASTNode, Expr, FnCallExpr, Stmt};

use super::bodies::Body;
use super::names::{Contract, Kind};

impl Kind {
    /// Whether Rhai compares the two by value.
    pub fn compares_with(self, other: Self) -> bool {
        self == other || self.is_number() && other.is_number()
    }

    /// Whether it is a number.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::Whole | Self::Rounded)
    }

    /// The kind with its article.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number | Self::Whole | Self::Rounded => "a number",
            Self::Text => "a text",
            Self::Truth => "true or false",
            Self::Window => "a window",
            Self::Limit => "a limit",
            Self::Verdict => "a verdict",
        }
    }
}

/// What is known of a value's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing was seen yet: it may still become any one kind.
    Nothing,
    One(Kind),
    /// Several kinds, or one that is not told apart here.
    Any,
}

impl Known {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, known) | (known, Self::Nothing) => known,
            (Self::One(left), Self::One(right)) if left == right => self,
            (Self::One(left), Self::One(right)) if left.is_number() && right.is_number() => Self::One(Kind::Number),
            _ => Self::Any,
        }
    }
}

/// A function by its name and the number of its arguments; the outermost statements are none.
type Place = Option<(String, usize)>;

/// The kinds of the names and of the functions of a script.
pub struct Kinds {
    names: BTreeMap<(Place, String), Known>,
    answers: BTreeMap<(String, usize), Known>,
    /// The arguments of each function, in their order.
    arguments: BTreeMap<(String, usize), Vec<String>>,
    /// The names that the script declares or assigns itself.
    own: BTreeSet<String>,
    place: Place,
}

impl Kinds {
    /// Goes through the script until no more is learnt.
    pub fn of_script(bodies: &[Body], contract: &Contract) -> Self {
        let inputs = contract.inputs.iter().map(|(name, kind)| ((None, (*name).to_owned()), Known::One(*kind)));
        let functions = || bodies.iter().filter_map(|body| Some((body.key()?, body)));
        let owned = |(name, arity): (&str, usize)| (name.to_owned(), arity);
        let mut kinds = Self {
            names: inputs.collect(),
            answers: functions().map(|(key, _)| (owned(key), Known::Nothing)).collect(),
            arguments: functions().map(|(key, body)| (owned(key), body.arguments.clone())).collect(),
            own: BTreeSet::new(),
            place: None,
        };
        // What is known of a name only ever widens, twice at most, so this ends.
        while kinds.learn(bodies) {}
        kinds
    }

    /// From now on names are those of this body.
    pub fn enter(&mut self, body: &Body) {
        self.place = body.key().map(|(name, arity)| (name.to_owned(), arity));
    }

    /// The kind of a value, where it is certain.
    pub fn of(&self, value: &Expr) -> Option<Kind> {
        certain(self.known(value))
    }

    /// The kind of what a call answers, where it is certain.
    pub fn of_answer(&self, call: &FnCallExpr) -> Option<Kind> {
        certain(self.of_call(call))
    }

    /// Whether a call is of a function of the script's own.
    pub fn is_own(&self, call: &FnCallExpr) -> bool {
        self.answers.contains_key(&(call.name.to_string(), call.args.len()))
    }

    /// Whether a variable is an input that the script leaves as it is.
    pub fn is_input(&self, value: &Expr) -> bool {
        self.place.is_none() && self.of(value).is_some() && variable(value).is_some_and(|name| !self.own.contains(name))
    }

    /// The kinds of two values.
    pub fn of_both(&self, left: &Expr, right: &Expr) -> (Option<Kind>, Option<Kind>) {
        (self.of(left), self.of(right))
    }

    fn learn(&mut self, bodies: &[Body]) -> bool {
        let before = (self.names.clone(), self.answers.clone());
        for body in bodies {
            self.enter(body);
            let mut answer = self.last(&body.statements);
            body.walk(&mut |path| {
                match path.last() {
                    Some(ASTNode::Stmt(Stmt::Return(Some(value), flags, _))) if flags.is_empty() => {
                        answer = answer.and(self.known(value));
                    }
                    Some(ASTNode::Stmt(statement)) => self.statement(statement),
                    Some(ASTNode::Expr(Expr::FnCall(call, _))) => self.hand_over(call),
                    // Called from elsewhere: by a list, or on a value.
                    Some(ASTNode::Expr(Expr::MethodCall(call, _))) => self.forget(&call.name),
                    _ => {}
                }
                true
            });
            if let Some(place) = self.place.clone() {
                self.answers.insert(place, answer);
            }
        }
        self.place = None;
        before != (self.names.clone(), self.answers.clone())
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Var(variable, ..) => self.assign(&variable.0.name, self.known(&variable.1)),
            Stmt::Assignment(assignment) => {
                let (operator, pair) = &**assignment;
                let Some(name) = variable(&pair.lhs) else { return };
                let value = match operator.get_op_assignment_info() {
                    None => self.known(&pair.rhs),
                    Some((.., operator)) => self.of_operator(operator, &pair.lhs, &pair.rhs),
                };
                self.assign(name, value);
            }
            Stmt::For(each, _) => {
                let item = match &each.2.expr {
                    Expr::Array(items, _) => items.iter().fold(Known::Nothing, |all, item| all.and(self.known(item))),
                    _ => Known::Any,
                };
                self.assign(&each.0.name, item);
                if let Some(counter) = &each.1 {
                    self.assign(&counter.name, Known::One(Kind::Rounded));
                }
            }
            Stmt::TryCatch(attempt, _) => {
                if let Some(name) = variable(&attempt.expr) {
                    self.assign(name, Known::Any);
                }
            }
            Stmt::FnCall(call, _) => self.hand_over(call),
            _ => {}
        }
    }

    fn assign(&mut self, name: &str, value: Known) {
        self.own.insert(name.to_owned());
        let known = self.names.entry((self.place.clone(), name.to_owned())).or_insert(Known::Nothing);
        *known = known.and(value);
    }

    fn hand_over(&mut self, call: &FnCallExpr) {
        if let ("Fn", [Expr::StringConstant(name, _)]) = (call.name.as_str(), call.args.as_slice()) {
            return self.forget(name);
        }
        let function = (call.name.to_string(), call.args.len());
        let Some(arguments) = self.arguments.get(&function).cloned() else { return };
        let values: Vec<_> = call.args.iter().map(|value| self.known(value)).collect();
        let here = self.place.replace(function);
        for (name, value) in arguments.iter().zip(values) {
            self.assign(name, value);
        }
        self.place = here;
    }

    /// A function that is called by what is not seen here may be handed anything.
    fn forget(&mut self, function: &str) {
        for (place, arguments) in self.arguments.iter().filter(|((name, _), _)| name == function) {
            for name in arguments {
                self.names.insert((Some(place.clone()), name.clone()), Known::Any);
            }
        }
    }

    fn known(&self, value: &Expr) -> Known {
        match value {
            Expr::IntegerConstant(..) => Known::One(Kind::Whole),
            Expr::FloatConstant(..) => Known::One(Kind::Number),
            Expr::StringConstant(..) | Expr::InterpolatedString(..) => Known::One(Kind::Text),
            Expr::BoolConstant(..) | Expr::And(..) | Expr::Or(..) => Known::One(Kind::Truth),
            Expr::Variable(name, ..) => {
                self.names.get(&(self.place.clone(), name.1.to_string())).copied().unwrap_or(Known::Any)
            }
            Expr::Stmt(block) => self.last(block.statements()),
            Expr::FnCall(call, _) => self.of_call(call),
            Expr::Dot(pair, ..) => self.of_link(self.known(&pair.lhs), &pair.rhs),
            _ => Known::Any,
        }
    }

    /// The value of a block: that of its last statement.
    fn last(&self, statements: &[Stmt]) -> Known {
        match statements.last() {
            Some(Stmt::Expr(value)) => self.known(value),
            Some(Stmt::FnCall(call, _)) => self.of_call(call),
            Some(Stmt::Block(block)) => self.last(block.statements()),
            Some(Stmt::If(choice, _)) => self.last(choice.body.statements()).and(self.last(choice.branch.statements())),
            Some(Stmt::Switch(switch, _)) => {
                let cases = switch.1.expressions.iter().map(|case| self.known(&case.rhs));
                cases.fold(Known::Nothing, Known::and)
            }
            // Nothing comes out here.
            Some(Stmt::Return(..)) => Known::Nothing,
            _ => Known::Any,
        }
    }

    /// `window("1h").p95`, `message.len`, `code.starts_with("7")`, and chains of them.
    fn of_link(&self, value: Known, link: &Expr) -> Known {
        match link {
            Expr::Property(names, _) => match (value, names.2.as_str()) {
                (Known::One(Kind::Window | Kind::Limit), _) => Known::One(Kind::Number),
                (Known::One(Kind::Text), "len") => Known::One(Kind::Rounded),
                _ => Known::Any,
            },
            Expr::MethodCall(call, _) => self.of_library(&call.name, Some(value), &call.args),
            Expr::Dot(pair, ..) => self.of_link(self.of_link(value, &pair.lhs), &pair.rhs),
            _ => Known::Any,
        }
    }

    fn of_call(&self, call: &FnCallExpr) -> Known {
        let own = self.answers.get(&(call.name.to_string(), call.args.len()));
        match (own, call.args.as_slice()) {
            (Some(answer), _) => *answer,
            (None, [left, right]) if call.is_operator_call() => self.of_operator(&call.name, left, right),
            (None, arguments) => self.of_library(&call.name, None, arguments),
        }
    }

    fn of_library(&self, name: &str, first: Option<Known>, arguments: &[Expr]) -> Known {
        let mut values = first.into_iter().chain(arguments.iter().map(|value| self.known(value)));
        Known::One(match name {
            "header" | "label" | "to_string" | "to_lower" | "to_upper" | "sub_string" | "type_of" => Kind::Text,
            "seconds_in" | "epoch_ms" | "day_ends_in_ms" | "to_float" | "parse_float" => Kind::Number,
            "to_int" | "parse_int" | "len" => Kind::Rounded,
            "contains" | "starts_with" | "ends_with" | "is_empty" | "!" => Kind::Truth,
            "window" => Kind::Window,
            "limit" => Kind::Limit,
            "retry" | "give_up" | "abstain" | "allow" | "deny" => Kind::Verdict,
            "setting" => match values.nth(1) {
                Some(Known::One(kind)) if kind.is_number() => Kind::Number,
                other => return other.unwrap_or(Known::Any),
            },
            "abs" | "floor" | "ceiling" | "round" | "min" | "max" | "-" => {
                return values.fold(Known::Nothing, Known::and);
            }
            _ => return Known::Any,
        })
    }

    fn of_operator(&self, operator: &str, left: &Expr, right: &Expr) -> Known {
        let operator = operator.trim_end_matches('=');
        match (operator, self.known(left), self.known(right)) {
            ("" | "!" | "<" | ">" | "contains", ..) => Known::One(Kind::Truth),
            ("&" | "|" | "^", Known::One(Kind::Truth), Known::One(Kind::Truth)) => Known::One(Kind::Truth),
            ("+", Known::One(Kind::Text), _) | ("+", _, Known::One(Kind::Text)) => Known::One(Kind::Text),
            ("+" | "-" | "*" | "/" | "%" | "**", Known::One(left), Known::One(right)) => arithmetic(left, right),
            (_, Known::Nothing, _) | (_, _, Known::Nothing) => Known::Nothing,
            _ => Known::Any,
        }
    }
}

const fn certain(known: Known) -> Option<Kind> {
    match known {
        Known::One(kind) => Some(kind),
        Known::Nothing | Known::Any => None,
    }
}

fn arithmetic(left: Kind, right: Kind) -> Known {
    match (left, right) {
        (Kind::Whole, Kind::Whole) => Known::One(Kind::Whole),
        (Kind::Whole | Kind::Rounded, Kind::Whole | Kind::Rounded) => Known::One(Kind::Rounded),
        _ if left.is_number() && right.is_number() => Known::One(Kind::Number),
        _ => Known::Any,
    }
}

fn variable(value: &Expr) -> Option<&str> {
    match value {
        Expr::Variable(name, ..) => Some(name.1.as_str()),
        _ => None,
    }
}
