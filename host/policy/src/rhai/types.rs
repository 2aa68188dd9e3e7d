//! Infers the types of values from the source of a script, so that comparisons that can never be true are found.
//!
//! A variable has a type if all values that are assigned to it have that type. A function's parameter has a type if
//! every call passes that type. A function's result has a type if every path through the function returns that type.
//! In every other case the type is unknown, and nothing is reported.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{ASTNode, Expr, FnCallExpr, Stmt};

use super::bodies::FunctionBody;
use super::contract::{Contract, ValueType};

/// What is known about the type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inferred {
    /// No value was seen yet.
    Unseen,
    /// All values have this type.
    One(ValueType),
    /// All values are maps. Only the messages about unknown properties distinguish maps.
    Map,
    /// The values have several types, or a type that [`ValueType`] does not distinguish.
    Any,
}

impl Inferred {
    fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unseen, known) | (known, Self::Unseen) => known,
            (Self::Map, Self::Map) => self,
            (Self::One(left), Self::One(right)) if left == right => self,
            (Self::One(left), Self::One(right)) if left.is_number() && right.is_number() => {
                Self::One(ValueType::Number)
            }
            _ => Self::Any,
        }
    }
}

/// The name of a function and the number of its parameters.
type FunctionKey = (String, usize);

/// The function that a variable belongs to; `None` for the top-level statements.
type ScopeKey = Option<FunctionKey>;

/// The types of the variables and functions of a script.
#[derive(Clone, Debug)]
pub struct InferredTypes {
    variables: BTreeMap<(ScopeKey, String), Inferred>,
    results: BTreeMap<FunctionKey, Inferred>,
    /// The names of each function's parameters, in their order.
    parameters: BTreeMap<FunctionKey, Vec<String>>,
    /// The names of the variables that the script declares or assigns.
    assigned: BTreeSet<String>,
    scope: ScopeKey,
}

impl InferredTypes {
    /// Infers the types of a script. Repeats the inference until it changes nothing.
    pub(super) fn of_script(bodies: &[FunctionBody], contract: &Contract) -> Self {
        let inputs = contract.inputs.iter().map(|(name, kind)| ((None, (*name).to_owned()), Inferred::One(*kind)));
        let functions = || bodies.iter().filter_map(|body| Some((body.key()?, body)));
        let owned = |(name, arity): (&str, usize)| (name.to_owned(), arity);
        let mut types = Self {
            variables: inputs.collect(),
            results: functions().map(|(key, _)| (owned(key), Inferred::Unseen)).collect(),
            parameters: functions().map(|(key, body)| (owned(key), body.parameters.clone())).collect(),
            assigned: BTreeSet::new(),
            scope: None,
        };
        // The loop ends because an inferred type only widens, at most twice.
        while types.infer(bodies) {}
        types
    }

    /// Makes a body the current scope, in which names are resolved.
    pub fn enter(&mut self, body: &FunctionBody) {
        self.scope = body.key().map(|(name, arity)| (name.to_owned(), arity));
    }

    /// Returns the type of a value, if it is certain.
    #[must_use]
    pub fn of(&self, value: &Expr) -> Option<ValueType> {
        certain(self.value(value))
    }

    /// Returns whether a value is certainly a map.
    pub(super) fn is_map(&self, value: &Expr) -> bool {
        self.value(value) == Inferred::Map
    }

    /// Returns the type of a call's result, if it is certain.
    pub(super) fn of_result(&self, call: &FnCallExpr) -> Option<ValueType> {
        certain(self.call(call))
    }

    /// Returns whether a call is the call of a function that the script defines.
    pub(super) fn is_script_function(&self, call: &FnCallExpr) -> bool {
        self.results.contains_key(&(call.name.to_string(), call.args.len()))
    }

    /// Returns whether an expression is an input variable that the script never assigns.
    #[must_use]
    pub fn is_input(&self, value: &Expr) -> bool {
        self.scope.is_none()
            && self.of(value).is_some()
            && variable_name(value).is_some_and(|name| !self.assigned.contains(name))
    }

    /// Returns the types of two values.
    #[must_use]
    pub fn of_both(&self, left: &Expr, right: &Expr) -> (Option<ValueType>, Option<ValueType>) {
        (self.of(left), self.of(right))
    }

    /// Makes one pass over all bodies; returns whether it changed a type.
    fn infer(&mut self, bodies: &[FunctionBody]) -> bool {
        let before = (self.variables.clone(), self.results.clone());
        for body in bodies {
            self.enter(body);
            let mut result = self.block(&body.statements);
            body.walk(&mut |path| {
                match path.last() {
                    Some(ASTNode::Stmt(Stmt::Return(Some(value), flags, _))) if flags.is_empty() => {
                        result = result.union(self.value(value));
                    }
                    Some(ASTNode::Stmt(statement)) => self.statement(statement),
                    Some(ASTNode::Expr(Expr::FnCall(call, _))) => self.pass_arguments(call),
                    // The method may be called by an array function, or on a value: its arguments are not visible.
                    Some(ASTNode::Expr(Expr::MethodCall(call, _))) => self.widen_parameters(&call.name),
                    _ => {}
                }
                true
            });
            if let Some(function) = self.scope.clone() {
                self.results.insert(function, result);
            }
        }
        self.scope = None;
        before != (self.variables.clone(), self.results.clone())
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Var(variable, ..) => self.assign(&variable.0.name, self.value(&variable.1)),
            Stmt::Assignment(assignment) => {
                let (operator, pair) = &**assignment;
                let Some(name) = variable_name(&pair.lhs) else { return };
                let value = match operator.get_op_assignment_info() {
                    None => self.value(&pair.rhs),
                    Some((.., operator)) => self.operator(operator, &pair.lhs, &pair.rhs),
                };
                self.assign(name, value);
            }
            Stmt::For(each, _) => {
                let item = match &each.2.expr {
                    Expr::Array(items, _) => {
                        items.iter().fold(Inferred::Unseen, |all, item| all.union(self.value(item)))
                    }
                    _ => Inferred::Any,
                };
                self.assign(&each.0.name, item);
                if let Some(counter) = &each.1 {
                    self.assign(&counter.name, Inferred::One(ValueType::ExplicitInteger));
                }
            }
            Stmt::TryCatch(attempt, _) => {
                if let Some(name) = variable_name(&attempt.expr) {
                    self.assign(name, Inferred::Any);
                }
            }
            Stmt::FnCall(call, _) => self.pass_arguments(call),
            _ => {}
        }
    }

    fn assign(&mut self, name: &str, value: Inferred) {
        self.assigned.insert(name.to_owned());
        let known = self.variables.entry((self.scope.clone(), name.to_owned())).or_insert(Inferred::Unseen);
        *known = known.union(value);
    }

    /// Assigns the arguments of a call to the parameters of the called function.
    fn pass_arguments(&mut self, call: &FnCallExpr) {
        if let ("Fn", [Expr::StringConstant(name, _)]) = (call.name.as_str(), call.args.as_slice()) {
            return self.widen_parameters(name);
        }
        let function = (call.name.to_string(), call.args.len());
        let Some(parameters) = self.parameters.get(&function).cloned() else { return };
        let values: Vec<_> = call.args.iter().map(|value| self.value(value)).collect();
        let caller = self.scope.replace(function);
        for (name, value) in parameters.iter().zip(values) {
            self.assign(name, value);
        }
        self.scope = caller;
    }

    /// Makes the parameters of a function accept any type, because it is called from where no arguments are visible.
    fn widen_parameters(&mut self, name: &str) {
        for (function, parameters) in self.parameters.iter().filter(|((known, _), _)| known == name) {
            for parameter in parameters {
                self.variables.insert((Some(function.clone()), parameter.clone()), Inferred::Any);
            }
        }
    }

    fn value(&self, value: &Expr) -> Inferred {
        match value {
            Expr::IntegerConstant(..) => Inferred::One(ValueType::Integer),
            Expr::FloatConstant(..) => Inferred::One(ValueType::Number),
            Expr::StringConstant(..) | Expr::InterpolatedString(..) => Inferred::One(ValueType::String),
            Expr::Map(..) => Inferred::Map,
            Expr::BoolConstant(..) | Expr::And(..) | Expr::Or(..) => Inferred::One(ValueType::Bool),
            Expr::Variable(name, ..) => {
                self.variables.get(&(self.scope.clone(), name.1.to_string())).copied().unwrap_or(Inferred::Any)
            }
            Expr::Stmt(block) => self.block(block.statements()),
            Expr::FnCall(call, _) => self.call(call),
            Expr::Dot(pair, ..) => self.chain(self.value(&pair.lhs), &pair.rhs),
            _ => Inferred::Any,
        }
    }

    /// Returns the type of a block's value, which is the value of its last statement.
    fn block(&self, statements: &[Stmt]) -> Inferred {
        match statements.last() {
            Some(Stmt::Expr(value)) => self.value(value),
            Some(Stmt::FnCall(call, _)) => self.call(call),
            Some(Stmt::Block(block)) => self.block(block.statements()),
            Some(Stmt::If(choice, _)) => {
                self.block(choice.body.statements()).union(self.block(choice.branch.statements()))
            }
            Some(Stmt::Switch(switch, _)) => {
                let cases = switch.1.expressions.iter().map(|case| self.value(&case.rhs));
                cases.fold(Inferred::Unseen, Inferred::union)
            }
            // The block has no value: the function returns here.
            Some(Stmt::Return(..)) => Inferred::Unseen,
            _ => Inferred::Any,
        }
    }

    /// Returns the type of `window("1h").p95`, `message.len`, `code.starts_with("7")` and longer chains.
    fn chain(&self, value: Inferred, link: &Expr) -> Inferred {
        match link {
            Expr::Property(names, _) => match (value, names.2.as_str()) {
                (Inferred::One(ValueType::Window | ValueType::Limit), _) => Inferred::One(ValueType::Number),
                (Inferred::One(ValueType::String), "len") => Inferred::One(ValueType::ExplicitInteger),
                _ => Inferred::Any,
            },
            Expr::MethodCall(call, _) => self.library_call(&call.name, Some(value), &call.args),
            Expr::Dot(pair, ..) => self.chain(self.chain(value, &pair.lhs), &pair.rhs),
            _ => Inferred::Any,
        }
    }

    fn call(&self, call: &FnCallExpr) -> Inferred {
        let result = self.results.get(&(call.name.to_string(), call.args.len()));
        match (result, call.args.as_slice()) {
            (Some(result), _) => *result,
            (None, [left, right]) if call.is_operator_call() => self.operator(&call.name, left, right),
            (None, arguments) => self.library_call(&call.name, None, arguments),
        }
    }

    /// Returns the type of a call's result, for a function of tidegate or of Rhai's standard library.
    fn library_call(&self, name: &str, receiver: Option<Inferred>, arguments: &[Expr]) -> Inferred {
        let mut values = receiver.into_iter().chain(arguments.iter().map(|value| self.value(value)));
        Inferred::One(match name {
            "header" | "label" | "to_string" | "to_lower" | "to_upper" | "sub_string" | "type_of" => ValueType::String,
            "seconds_in" | "epoch_ms" | "day_ends_in_ms" | "to_float" | "parse_float" => ValueType::Number,
            "to_int" | "parse_int" | "len" => ValueType::ExplicitInteger,
            "contains" | "starts_with" | "ends_with" | "is_empty" | "!" => ValueType::Bool,
            "window" => ValueType::Window,
            "limit" => ValueType::Limit,
            "retry" | "give_up" | "abstain" | "allow" | "deny" => ValueType::Verdict,
            "setting" => match values.nth(1) {
                Some(Inferred::One(default)) if default.is_number() => ValueType::Number,
                other => return other.unwrap_or(Inferred::Any),
            },
            "abs" | "floor" | "ceiling" | "round" | "min" | "max" | "-" => {
                return values.fold(Inferred::Unseen, Inferred::union);
            }
            _ => return Inferred::Any,
        })
    }

    fn operator(&self, operator: &str, left: &Expr, right: &Expr) -> Inferred {
        use Inferred::{Any, One, Unseen};
        let operator = operator.trim_end_matches('=');
        match (operator, self.value(left), self.value(right)) {
            ("" | "!" | "<" | ">" | "contains", ..) => One(ValueType::Bool),
            ("&" | "|" | "^", One(ValueType::Bool), One(ValueType::Bool)) => One(ValueType::Bool),
            ("+", One(ValueType::String), _) | ("+", _, One(ValueType::String)) => One(ValueType::String),
            ("+" | "-" | "*" | "/" | "%" | "**", One(left), One(right)) => arithmetic(left, right),
            (_, Unseen, _) | (_, _, Unseen) => Unseen,
            _ => Any,
        }
    }
}

const fn certain(inferred: Inferred) -> Option<ValueType> {
    match inferred {
        Inferred::One(value_type) => Some(value_type),
        Inferred::Unseen | Inferred::Map | Inferred::Any => None,
    }
}

fn arithmetic(left: ValueType, right: ValueType) -> Inferred {
    use ValueType::{ExplicitInteger, Integer};
    match (left, right) {
        (Integer, Integer) => Inferred::One(Integer),
        (Integer | ExplicitInteger, Integer | ExplicitInteger) => Inferred::One(ExplicitInteger),
        _ if left.is_number() && right.is_number() => Inferred::One(ValueType::Number),
        _ => Inferred::Any,
    }
}

fn variable_name(value: &Expr) -> Option<&str> {
    match value {
        Expr::Variable(name, ..) => Some(name.1.as_str()),
        _ => None,
    }
}
