//! Checks a script before it runs: unknown names, wrong arguments, and comparisons that can never be true.

use std::collections::BTreeSet;
use std::time::Duration;

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};
use tidegate_core::Class;
use tidegate_core::config::Setting;
use tidegate_core::config::reader::{Diagnostic, nearest_name, with_suggestion};
use tidegate_core::units::parse_duration;

use super::bodies::FunctionBody;
use super::contract::{Contract, FunctionArities, LIMIT_FIELDS, STATS, ValueType};
use super::error::diagnostic;
use super::parsed::ParsedScript;
use super::pitfalls;
use super::tokens::Tokens;
use super::types::InferredTypes;
use super::usage::Usage;

/// The maximum number of problems that are reported for a script: finding a suggestion takes a while for each.
const MAX_PROBLEMS: usize = 20;

/// The functions that are part of the language.
const BUILT_IN: [&str; 5] = ["type_of", "Fn", "call", "is_def_fn", "is_def_var"];

/// Names that are common in other languages, each with the name that a script must use.
const FOREIGN_NAMES: [(&str, &str); 9] = [
    ("includes", "contains"),
    ("match", "contains"),
    ("length", "len"),
    ("toLowerCase", "to_lower"),
    ("lower", "to_lower"),
    ("int", "to_int"),
    ("Number", "parse_float"),
    ("not", "!"),
    ("now", "at_ms"),
];

/// Checks a script and returns what it uses.
///
/// # Errors
/// Returns every problem, in the order of their positions.
pub fn check(script: &ParsedScript, functions: &FunctionArities) -> Result<Usage, Vec<Diagnostic>> {
    let ParsedScript { ast, tokens, bodies, contract } = script;
    let mut check = ScriptCheck {
        contract,
        functions,
        own: bodies.iter().filter_map(|body| Some((body.function.clone()?, body.parameters.len()))).collect(),
        types: script.infer_types(),
        keys: BTreeSet::new(),
        usage: Usage::default(),
        problems: BTreeSet::new(),
    };
    ast.walk(&mut |path| check.collect_keys(path));
    for body in bodies {
        check.body(body, tokens);
    }
    if check.problems.is_empty() { Ok(check.usage) } else { Err(check.problems.into_iter().collect()) }
}

struct ScriptCheck<'a> {
    contract: &'a Contract,
    functions: &'a FunctionArities,
    /// The functions that the script defines, each with its number of parameters.
    own: BTreeSet<(String, usize)>,
    types: InferredTypes,
    /// The keys of all map literals of the script.
    keys: BTreeSet<String>,
    usage: Usage,
    problems: BTreeSet<Diagnostic>,
}

impl ScriptCheck<'_> {
    fn collect_keys(&mut self, path: &[ASTNode<'_>]) -> bool {
        if let Some(ASTNode::Expr(Expr::Map(map, _))) = path.last() {
            self.keys.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
        }
        true
    }

    fn body(&mut self, body: &FunctionBody, tokens: &Tokens) {
        self.types.enter(body);
        body.walk(&mut |path| {
            let Some(node) = path.last() else { return true };
            self.node(node, path, body);
            for (at, message) in pitfalls::in_node(node, &self.types, tokens) {
                self.report(at, message);
            }
            true
        });
        for (at, message) in pitfalls::unused_values(body, &self.types) {
            self.report(at, message);
        }
    }

    fn node(&mut self, node: &ASTNode<'_>, path: &[ASTNode<'_>], body: &FunctionBody) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        match node {
            ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)) => {
                self.call(call, false, *at);
            }
            ASTNode::Expr(Expr::MethodCall(call, at)) => self.call(call, true, *at),
            ASTNode::Expr(Expr::Property(names, at)) => self.property(&names.2, owner(path), *at),
            ASTNode::Expr(Expr::Variable(name, short, at)) => {
                self.usage.add_variable(&name.1);
                if body.function.is_some() && short.is_none() && name.0.is_none() && name.2.is_empty() {
                    self.variable_in_function(&name.1, *at);
                }
            }
            _ => {}
        }
    }

    /// Reports an input that a function reads: a function sees only its arguments, and Rhai itself reports the mistake
    /// only when the function runs.
    fn variable_in_function(&mut self, name: &str, at: Position) {
        if self.contract.inputs.iter().any(|(input, _)| *input == name) {
            self.report(at, format!("a function sees only its arguments; pass `{name}` as an argument"));
        }
    }

    fn call(&mut self, call: &FnCallExpr, method: bool, at: Position) {
        self.usage.add_call(&call.name);
        match call.name.as_str() {
            "setting" => self.setting(call, at),
            "retry" | "give_up" => self.verdict(call),
            "window" => self.window(call, at),
            _ => {}
        }
        if !call.is_operator_call() {
            self.function(call, method, at);
        }
    }

    fn function(&mut self, call: &FnCallExpr, method: bool, at: Position) {
        let (name, count) = (call.name.as_str(), call.args.len());
        if BUILT_IN.contains(&name) || self.own.contains(&(name.to_owned(), count)) {
            return;
        }
        let arities = self.functions.get(name).filter(|_| !self.contract.is_foreign(name));
        let accepts = |count: usize| arities.is_some_and(|arities| arities.contains(&count));
        if accepts(count + usize::from(method)) {
            return;
        }
        if arities.is_some() || self.own.iter().any(|(own, _)| own == name) {
            let plural = if count == 1 { "" } else { "s" };
            self.report(at, format!("`{name}` does not take {count} argument{plural}"));
        } else {
            self.report(at, self.unknown_function(name));
        }
    }

    /// Suggests the nearest of all functions, or lists the few functions that tidegate and the script define.
    fn unknown_function(&self, name: &str) -> String {
        let message = format!("unknown function `{name}`");
        if let Some((_, rhai_name)) = FOREIGN_NAMES.iter().find(|(foreign, _)| *foreign == name) {
            return format!("{message} (did you mean `{rhai_name}`?)");
        }
        let listed = self.contract.functions.iter().map(|(name, _)| *name);
        let listed: Vec<_> = listed.chain(self.own.iter().map(|(name, _)| name.as_str())).collect();
        let library = self.functions.keys().map(String::as_str);
        let library = library.filter(|name| name.starts_with(char::is_alphabetic) && !name.contains('$'));
        let library = library.filter(|name| !self.contract.is_foreign(name));
        let all: Vec<_> = library.chain(listed.iter().copied()).collect();
        with_suggestion(message, name, if nearest_name(name, &all).is_some() { &all } else { &listed })
    }

    /// Reports a property that neither the library nor a map literal has. `owner` is the value before the dot.
    fn property(&mut self, name: &str, owner: Option<&Expr>, at: Position) {
        if self.functions.contains_key(&format!("get${name}")) || self.keys.contains(name) {
            return;
        }
        let keys = self.keys.iter().map(String::as_str);
        let owner_type = owner.and_then(|owner| self.types.of(owner));
        let message = match owner_type {
            Some(owner_type) if !matches!(owner_type, ValueType::Window | ValueType::Limit) => {
                format!("{} has no property `{name}`", owner_type.label())
            }
            None if owner.is_some_and(|owner| self.types.is_map(owner)) => {
                let message = format!("the map has no key `{name}`");
                let keys: Vec<_> = keys.collect();
                if keys.is_empty() { message } else { with_suggestion(message, name, &keys) }
            }
            _ => {
                let stats = STATS.iter().map(|(name, _)| *name);
                let names: Vec<_> = keys.chain(stats).chain(LIMIT_FIELDS).collect();
                with_suggestion(format!("unknown property `{name}`"), name, &names)
            }
        };
        self.report(at, message);
    }

    /// Checks `retry("throttled", 5000, "why")`: the class, then the wait, then the reason.
    fn verdict(&mut self, call: &FnCallExpr) {
        if let Some(Expr::StringConstant(class, at)) = call.args.first()
            && !Class::NAMES.contains(&class.as_str())
        {
            self.report(*at, with_suggestion(format!("unknown class {class:?}"), class, Class::NAMES));
        }
        let Some(wait) = call.args.get(1) else { return };
        let at = wait.start_position();
        let is_string = self.types.of(wait) == Some(ValueType::String);
        let message = match wait {
            Expr::StringConstant(text, _) if is_time(text) => {
                format!("{text:?} is taken as the reason; write the wait as a number of milliseconds, as in 5000")
            }
            _ if is_string && call.args.len() == 3 => {
                format!("the wait comes before the reason, as in {}(\"throttled\", 5000, \"why\")", call.name)
            }
            Expr::IntegerConstant(..=-1, _) => "the wait must be at least 0 milliseconds".to_owned(),
            Expr::FloatConstant(ms, _) if **ms < 0.0 => "the wait must be at least 0 milliseconds".to_owned(),
            _ => return,
        };
        self.report(at, message);
    }

    fn window(&mut self, call: &FnCallExpr, at: Position) {
        // Only a literal can be checked before traffic depends on it.
        let Some(Expr::StringConstant(range, at)) = call.args.first() else {
            return self.report(at, "expected a literal duration, as in window(\"1h\")".into());
        };
        match parse_duration(range) {
            Ok(Duration::ZERO) => self.report(*at, "expected a duration greater than zero".into()),
            Ok(_) => {}
            Err(error) => self.report(*at, error.to_string()),
        }
    }

    fn setting(&mut self, call: &FnCallExpr, at: Position) {
        let [Expr::StringConstant(name, _), default] = call.args.as_slice() else {
            return self
                .report(at, "expected a literal name and a literal default, as in setting(\"max_wait\", 60)".into());
        };
        let default = match default {
            Expr::StringConstant(..) => Setting::Text(String::new()),
            Expr::BoolConstant(..) => Setting::Flag(false),
            Expr::IntegerConstant(..) | Expr::FloatConstant(..) => Setting::Number(0.0),
            other => {
                let message = "expected a literal default: a string, a number or a boolean";
                return self.report(other.start_position(), message.into());
            }
        };
        if let Err(message) = self.usage.add_setting(name, default) {
            self.report(at, message);
        }
    }

    fn report(&mut self, at: Position, message: String) {
        self.problems.insert(diagnostic(at, message));
    }
}

/// Returns the value whose property ends the path, as `m` in `m.x`. Rhai parses `m.x.y` as `m.(x.y)`.
fn owner<'a>(path: &[ASTNode<'a>]) -> Option<&'a Expr> {
    let [before @ .., ASTNode::Expr(Expr::Dot(pair, ..)), ASTNode::Expr(property)] = path else { return None };
    if std::ptr::eq(&raw const pair.rhs, *property) {
        return Some(&pair.lhs);
    }
    match before.last()? {
        ASTNode::Expr(Expr::Dot(outer, ..)) => Some(&outer.lhs),
        _ => None,
    }
}

fn is_time(text: &str) -> bool {
    text.parse::<f64>().is_ok() || parse_duration(text).is_ok()
}
