//! Walks a script before it runs: misspelt names, and comparisons that Rhai answers with a silent `false`.

use std::collections::BTreeSet;
use std::time::Duration;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt, SwitchCasesCollection};
use tidegate_core::config::Setting;
use tidegate_core::config::reader::{Problem, suggestion};
use tidegate_core::units::parse_duration;

use super::findings::Findings;
use super::kinds::Kinds;
use super::names::{CLASSES, Contract, FIGURES, Functions, KINDS, Kind};
use super::script::problem;

/// Functions that the language itself knows.
const BUILT_IN: [&str; 5] = ["type_of", "Fn", "call", "is_def_fn", "is_def_var"];

/// Checks a script; the answer is what it uses.
///
/// # Errors
/// Every problem, in the order of their places.
pub fn check(ast: &AST, contract: &Contract, functions: &Functions) -> Result<Findings, Vec<Problem>> {
    let mut check = Check {
        contract,
        functions,
        own: ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect(),
        kinds: Kinds::in_script(ast, contract),
        keys: BTreeSet::new(),
        findings: Findings::default(),
        problems: BTreeSet::new(),
    };
    ast.walk(&mut |path| check.collect_keys(path));
    ast.walk(&mut |path| check.node(path));
    for function in ast.iter_functions() {
        let arity = function.params.len();
        let mut alone = ast.clone_functions_only();
        alone.retain_functions(|_, _, name, params| name == function.name && params == arity);
        alone.walk(&mut |path| check.outer_name(path, &function.params));
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

    fn node(&mut self, path: &[ASTNode<'_>]) -> bool {
        match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) => {
                self.call(call, false, *at);
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, at))) => self.call(call, true, *at),
            Some(ASTNode::Expr(Expr::Property(names, at))) => self.property(&names.2, *at),
            Some(ASTNode::Expr(Expr::Variable(name, ..))) => self.findings.read(&name.1),
            Some(ASTNode::Stmt(Stmt::Switch(switch, _))) => self.switch(&switch.0, &switch.1),
            _ => {}
        }
        true
    }

    /// A function sees its arguments and no input: Rhai would only find out when it runs.
    fn outer_name(&mut self, path: &[ASTNode<'_>], arguments: &[&str]) -> bool {
        if let Some(ASTNode::Expr(Expr::Variable(name, None, at))) = path.last()
            && name.0.is_none()
            && name.2.is_empty()
            && !arguments.contains(&name.1.as_str())
            && self.contract.inputs.iter().any(|(input, _)| *input == name.1.as_str())
        {
            self.refuse(*at, format!("a function sees only its arguments; hand `{}` over as one", name.1));
        }
        true
    }

    fn call(&mut self, call: &FnCallExpr, method: bool, at: Position) {
        self.findings.called(&call.name);
        match call.name.as_str() {
            "setting" => self.setting(call, at),
            "contains" if !method => self.membership(call),
            "retry" | "give_up" => self.class(call),
            "window" => self.window(call, at),
            _ => {}
        }
        if call.is_operator_call() { self.operator(call, at) } else { self.function(call, method, at) }
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
            let names: Vec<_> = self.keys.iter().map(String::as_str).chain(figures).collect();
            self.refuse(at, format!("no such property `{name}`; {}", suggestion(name, &names)));
        }
    }

    fn operator(&mut self, call: &FnCallExpr, at: Position) {
        let [left, right] = call.args.as_slice() else { return };
        match call.name.as_str() {
            "/" if self.kinds.of_both(left, right) == (Some(Kind::Whole), Some(Kind::Whole)) => {
                self.refuse(
                    at,
                    "dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10".into(),
                );
            }
            operator @ ("==" | "!=" | "<" | "<=" | ">" | ">=") => {
                self.comparison(left, right, operator, at);
                self.kind_word(left, right);
                self.kind_word(right, left);
            }
            _ => {}
        }
    }

    fn comparison(&mut self, left: &Expr, right: &Expr, operator: &str, at: Position) {
        let (Some(left), Some(right)) = self.kinds.of_both(left, right) else { return };
        if !left.compares_with(right) {
            let answer = operator == "!=";
            let (left, right) = (left.name(), right.name());
            self.refuse(at, format!("`{operator}` between {left} and {right} is always {answer}; make both the same"));
        }
    }

    /// `kind == "timout"` is never true.
    fn kind_word(&mut self, variable: &Expr, word: &Expr) {
        if let (Expr::Variable(name, ..), Expr::StringConstant(word, at)) = (variable, word)
            && name.1 == "kind"
            && self.kinds.of(variable).is_some()
            && !KINDS.contains(&word.as_str())
        {
            self.refuse(*at, format!("`kind` is never {word:?}; {}", suggestion(word, &KINDS)));
        }
    }

    /// `code in [7, 26]` looks for a text among numbers.
    fn membership(&mut self, call: &FnCallExpr) {
        let [Expr::Array(items, _), value] = call.args.as_slice() else { return };
        for item in items {
            self.comparison(value, item, "==", item.start_position());
        }
    }

    /// `switch status { 429 => … }` looks for a number with a fraction among whole ones.
    fn switch(&mut self, value: &Expr, cases: &SwitchCasesCollection) {
        if !cases.cases.is_empty() && self.kinds.of(value) == Some(Kind::Number) {
            let message = "`switch` never finds a number with a fraction; write `switch to_int(…)`, or `if`";
            self.refuse(value.start_position(), message.into());
        }
    }

    fn class(&mut self, call: &FnCallExpr) {
        let Some(Expr::StringConstant(word, at)) = call.args.first() else { return };
        let classes = CLASSES.map(|(name, _)| name);
        if !classes.contains(&word.as_str()) {
            self.refuse(*at, format!("no such class {word:?}; {}", suggestion(word, &classes)));
        }
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
