//! Walks a script before it runs: misspelt names, and comparisons that Rhai answers with a silent `false`.

use std::collections::BTreeSet;
use std::time::Duration;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};
use tidegate_core::config::Setting;
use tidegate_core::config::reader::{Problem, suggestion};
use tidegate_core::units::parse_duration;

use super::bodies::{self, Body};
use super::findings::Findings;
use super::kinds::Kinds;
use super::names::{CLASSES, Contract, FIGURES, Functions, Kind, LEVELS};
use super::script::problem;
use super::tokens::Tokens;
use super::traps;

/// A script with so many problems is told no more: each takes a while to find a suggestion for.
const MAX_PROBLEMS: usize = 20;

/// Functions that the language itself knows.
const BUILT_IN: [&str; 5] = ["type_of", "Fn", "call", "is_def_fn", "is_def_var"];

/// Words of other languages, with what they are called here.
const ELSEWHERE: [(&str, &str); 9] = [
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

/// Checks a script; the answer is what it uses.
///
/// # Errors
/// Every problem, in the order of their places.
pub fn check(ast: &AST, tokens: &Tokens, contract: &Contract, functions: &Functions) -> Result<Findings, Vec<Problem>> {
    let bodies = bodies::of(ast);
    let mut check = Check {
        contract,
        functions,
        own: bodies.iter().filter_map(|body| Some((body.function.clone()?, body.arguments.len()))).collect(),
        kinds: Kinds::of_script(&bodies, contract),
        keys: BTreeSet::new(),
        findings: Findings::default(),
        problems: BTreeSet::new(),
    };
    ast.walk(&mut |path| check.collect_keys(path));
    for body in &bodies {
        check.body(body, tokens);
    }
    if check.problems.is_empty() { Ok(check.findings) } else { Err(check.problems.into_iter().collect()) }
}

struct Check<'a> {
    contract: &'a Contract,
    functions: &'a Functions,
    /// The script's own functions, with how many arguments they take.
    own: BTreeSet<(String, usize)>,
    kinds: Kinds,
    /// The keys of the script's own maps.
    keys: BTreeSet<String>,
    findings: Findings,
    problems: BTreeSet<Problem>,
}

impl Check<'_> {
    fn collect_keys(&mut self, path: &[ASTNode<'_>]) -> bool {
        if let Some(ASTNode::Expr(Expr::Map(map, _))) = path.last() {
            self.keys.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
        }
        true
    }

    fn body(&mut self, body: &Body, tokens: &Tokens) {
        self.kinds.enter(body);
        body.walk(&mut |path| {
            let Some(node) = path.last() else { return true };
            self.node(node, body);
            for (at, message) in traps::at(node, &self.kinds, tokens) {
                self.refuse(at, message);
            }
            true
        });
        for (at, message) in traps::in_vain(body, &self.kinds) {
            self.refuse(at, message);
        }
    }

    fn node(&mut self, node: &ASTNode<'_>, body: &Body) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        match node {
            ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)) => {
                self.call(call, false, *at);
            }
            ASTNode::Expr(Expr::MethodCall(call, at)) => self.call(call, true, *at),
            ASTNode::Expr(Expr::Property(names, at)) => self.property(&names.2, *at),
            ASTNode::Expr(Expr::Variable(name, short, at)) => {
                self.findings.read(&name.1);
                if body.function.is_some() && short.is_none() && name.0.is_none() && name.2.is_empty() {
                    self.outer_name(&name.1, *at);
                }
            }
            _ => {}
        }
    }

    /// A function sees its arguments and no input: Rhai would only find out when it runs.
    fn outer_name(&mut self, name: &str, at: Position) {
        if self.contract.inputs.iter().any(|(input, _)| *input == name) {
            self.refuse(at, format!("a function sees only its arguments; hand `{name}` over as one"));
        }
    }

    fn call(&mut self, call: &FnCallExpr, method: bool, at: Position) {
        self.findings.called(&call.name);
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
        let (name, given) = (call.name.as_str(), call.args.len());
        if BUILT_IN.contains(&name) || self.own.contains(&(name.to_owned(), given)) {
            return;
        }
        let arities = self.functions.get(name).filter(|_| !self.contract.is_foreign(name));
        let takes = |count: usize| arities.is_some_and(|arities| arities.contains(&count));
        if takes(given + usize::from(method)) {
            return;
        }
        if arities.is_some() || self.own.iter().any(|(own, _)| own == name) {
            self.refuse(at, format!("`{name}` does not take {given} arguments"));
        } else {
            self.refuse(at, format!("no such function `{name}`; {}", self.suggest_function(name)));
        }
    }

    /// The nearest of all functions, else the few that are made for this kind of script.
    fn suggest_function(&self, name: &str) -> String {
        if let Some((_, here)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
            return format!("did you mean `{here}`?");
        }
        let made = self.contract.functions.iter().map(|(name, _)| *name);
        let made: Vec<_> = made.chain(self.own.iter().map(|(name, _)| name.as_str())).collect();
        let library = self.functions.keys().map(String::as_str);
        let library = library.filter(|name| name.starts_with(char::is_alphabetic) && !name.contains('$'));
        let all: Vec<_> = library.filter(|name| !self.contract.is_foreign(name)).chain(made.iter().copied()).collect();
        let near = suggestion(name, &all);
        if near.starts_with("did you mean") { near } else { suggestion(name, &made) }
    }

    fn property(&mut self, name: &str, at: Position) {
        let known = self.functions.contains_key(&format!("get${name}")) || self.keys.contains(name);
        if !known {
            let figures = FIGURES.iter().map(|(name, _)| *name);
            let names: Vec<_> = self.keys.iter().map(String::as_str).chain(figures).chain(LEVELS).collect();
            self.refuse(at, format!("no such property `{name}`; {}", suggestion(name, &names)));
        }
    }

    /// `retry("throttled", 5000, "why")`: the class, then a wait, then a reason.
    fn verdict(&mut self, call: &FnCallExpr) {
        let classes = CLASSES.map(|(name, _)| name);
        if let Some(Expr::StringConstant(word, at)) = call.args.first()
            && !classes.contains(&word.as_str())
        {
            self.refuse(*at, format!("no such class {word:?}; {}", suggestion(word, &classes)));
        }
        let Some(wait) = call.args.get(1) else { return };
        let at = wait.start_position();
        let is_text = self.kinds.of(wait) == Some(Kind::Text);
        let message = match wait {
            Expr::StringConstant(text, _) if is_time(text) => {
                format!("{text:?} would be the reason; a wait is a number of milliseconds, as in 5000")
            }
            _ if is_text && call.args.len() == 3 => {
                format!("the wait comes before the reason, as in {}(\"throttled\", 5000, \"why\")", call.name)
            }
            Expr::IntegerConstant(..=-1, _) => "a wait is at least 0 milliseconds".to_owned(),
            Expr::FloatConstant(ms, _) if **ms < 0.0 => "a wait is at least 0 milliseconds".to_owned(),
            _ => return,
        };
        self.refuse(at, message);
    }

    fn window(&mut self, call: &FnCallExpr, at: Position) {
        // What is written out can be checked before anything depends on it.
        let Some(Expr::StringConstant(range, at)) = call.args.first() else {
            return self.refuse(at, "expected a duration written out, as in window(\"1h\")".into());
        };
        match parse_duration(range) {
            Ok(Duration::ZERO) => self.refuse(*at, "expected a duration above zero".into()),
            Ok(_) => {}
            Err(message) => self.refuse(*at, message),
        }
    }

    fn setting(&mut self, call: &FnCallExpr, at: Position) {
        let [Expr::StringConstant(name, _), default] = call.args.as_slice() else {
            return self.refuse(at, "expected a name and a default written out, as in setting(\"longest\", 60)".into());
        };
        let default = match default {
            Expr::StringConstant(..) => Setting::Text(String::new()),
            Expr::BoolConstant(..) => Setting::Flag(false),
            Expr::IntegerConstant(..) | Expr::FloatConstant(..) => Setting::Number(0.0),
            other => {
                let message = "expected a default written out: a text, a number, true or false";
                return self.refuse(other.start_position(), message.into());
            }
        };
        if let Err(message) = self.findings.set(name, default) {
            self.refuse(at, message);
        }
    }

    fn refuse(&mut self, at: Position, message: String) {
        self.problems.insert(problem(at, message));
    }
}

fn is_time(text: &str) -> bool {
    text.parse::<f64>().is_ok() || parse_duration(text).is_ok()
}
