//! What can differ between samples, and the values that are tried.

use std::collections::BTreeSet;
use std::fmt;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Stmt};

use crate::rhai::names::{Contract, FIGURES, KINDS, Kind, LEVELS};
use crate::rhai::tokens::{Literal, Tokens};

/// The longest text that is made by adding to another, in bytes.
const MAX_TEXT: usize = 200;

/// A value of one input in one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// It is left to what goes with the others.
    Absent,
    Flag(bool),
    Number(f64),
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("as usual"),
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// What can differ between samples.
pub struct Field {
    /// Its name, as a script says it: `status`, `header("x")`, `window("1h").count`.
    pub name: String,
    /// Its value in an everyday call.
    pub usual: Value,
    /// The values that are tried.
    pub values: Vec<Value>,
}

/// All fields that a script may look at.
pub struct Fields {
    all: Vec<Field>,
    /// What functions are asked for by name: `("header", "x")`.
    asked: BTreeSet<(String, String)>,
    /// Texts that may be looked for inside others.
    parts: Vec<String>,
}

/// The constants of a script.
struct Constants {
    numbers: Vec<f64>,
    texts: Vec<String>,
    tried: Vec<Value>,
}

impl Fields {
    /// The fields that a script reads, with the values around its constants.
    pub fn of(ast: &AST, folded: &AST, tokens: &Tokens, contract: &Contract) -> Self {
        let constants = Constants::of(folded, tokens);
        let mut fields = Self { all: vec![], asked: BTreeSet::new(), parts: vec![] };
        if ["contains", "ends_with", "index_of", "split"].iter().any(|name| tokens.has(name)) {
            fields.parts.clone_from(&constants.texts);
        }
        let is_alert = contract.inputs.iter().any(|(name, _)| *name == "error_rate");
        if is_alert {
            fields.add_figures("", tokens, &constants);
        }
        for (name, kind) in contract.inputs.iter().filter(|(name, _)| tokens.has(name)) {
            if !FIGURES.iter().any(|(figure, _)| figure == name) {
                fields.all.push(input(name, *kind, &constants));
            }
        }
        ast.walk(&mut |path| {
            if let Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = path.last() {
                fields.ask(call, tokens, &constants);
            }
            true
        });
        fields
    }

    /// All of them.
    pub fn all(&self) -> &[Field] {
        &self.all
    }

    /// What a function is asked for.
    pub fn asked<'a>(&'a self, function: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.asked.iter().filter(move |(known, _)| known == function).map(|(_, name)| name.as_str())
    }

    /// A text with more in it, so that a script may find two things in one.
    pub fn longer(&self, value: &Value) -> Vec<Value> {
        match value {
            Value::Text(text) if !text.is_empty() && text.len() < MAX_TEXT && !KINDS.contains(&text.as_str()) => {
                self.parts.iter().map(|part| Value::Text(format!("{text} {part}"))).collect()
            }
            _ => vec![],
        }
    }

    fn ask(&mut self, call: &FnCallExpr, tokens: &Tokens, constants: &Constants) {
        let Some(Expr::StringConstant(name, _)) = call.args.first() else { return };
        if !self.asked.insert((call.name.to_string(), name.to_string())) {
            return;
        }
        let asked = format!("{}({:?})", call.name, name.as_str());
        match call.name.as_str() {
            "header" | "label" => {
                self.all.push(Field { name: asked, usual: Value::Text(String::new()), values: constants.tried.clone() })
            }
            "setting" => self.all.push(setting(asked, call.args.get(1), constants)),
            "window" => self.add_figures(&format!("{asked}."), tokens, constants),
            "limit" => {
                for level in LEVELS.iter().filter(|level| tokens.has(level)) {
                    // Calls that wait for tokens make it negative.
                    let least = if *level == "available" { -1e9 } else { 0.0 };
                    let values = constants.around(&[-10.0, 0.0, 1.0, 10.0, 1_000.0, 60_000.0], 1.0, least, 1e15);
                    self.all.push(Field { name: format!("{asked}.{level}"), usual: Value::Absent, values });
                }
            }
            _ => {}
        }
    }

    fn add_figures(&mut self, prefix: &str, tokens: &Tokens, constants: &Constants) {
        for (name, _) in FIGURES.iter().filter(|(name, _)| *name == "count" || tokens.has(name)) {
            let values = match *name {
                "success_rate" => continue,
                rate if rate.ends_with("_rate") => constants.rates(),
                "rps" | "total_ms" => constants.around(&[0.0, 0.1, 1.0, 10.0, 100.0, 1e4, 1e6], 0.1, 0.0, f64::MAX),
                "p50" | "p95" | "p99" => constants.around(&[1.0, 10.0, 100.0, 1e3, 1e4, 6e4], 1.0, 0.0, f64::MAX),
                _ => constants.around(&[0.0, 1.0, 2.0, 10.0, 100.0, 1e3, 1e4, 1e6], 1.0, 0.0, 1e15),
            };
            self.all.push(Field { name: format!("{prefix}{name}"), usual: Value::Absent, values });
        }
        let errors = format!("{prefix}error_rate");
        if tokens.has("success_rate") && !self.all.iter().any(|field| field.name == errors) {
            self.all.push(Field { name: errors, usual: Value::Absent, values: constants.rates() });
        }
    }
}

impl Constants {
    fn of(folded: &AST, tokens: &Tokens) -> Self {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for constant in tokens.constants() {
            match constant {
                Literal::Number(number) => numbers.push(number),
                Literal::Text(text) => texts.push(text),
            }
        }
        // What is computed of constants alone, as 5 * 60 * 1000.
        folded.walk(&mut |path| {
            match path.last() {
                #[expect(clippy::cast_precision_loss, reason = "a number that someone wrote down")]
                Some(ASTNode::Expr(Expr::IntegerConstant(number, _))) => numbers.push(*number as f64),
                Some(ASTNode::Expr(Expr::FloatConstant(number, _))) => numbers.push(**number),
                _ => {}
            }
            true
        });
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        let mut constants = Self { numbers, texts, tried: vec![] };
        constants.tried = constants.all_texts(tokens);
        constants
    }

    fn all_texts(&self, tokens: &Tokens) -> Vec<Value> {
        let mut texts = vec![String::new(), "sample".to_owned()];
        texts.extend(self.texts.iter().cloned());
        if ["parse_int", "parse_float", "epoch_ms", "seconds_in"].iter().any(|name| tokens.has(name)) {
            for number in self.around(&[0.0, 1.0, 7.0, 60.0, 3_600.0, 86_400.0], 1.0, 0.0, f64::MAX) {
                texts.push(number.to_string());
                if tokens.has("seconds_in") {
                    texts.push(format!("This ban will last for {number} more seconds"));
                }
            }
            texts.extend(["1763913660000".to_owned(), "2025-11-23T16:01:00Z".to_owned()]);
        }
        if tokens.has("len") {
            let lengths =
                self.numbers.iter().filter(|number| (1.0..=64.0).contains(*number)).map(|number| number.to_string());
            let lengths: Vec<usize> = lengths.filter_map(|number| number.parse().ok()).collect();
            let begin = texts.clone();
            texts.extend(begin.iter().flat_map(|text| lengths.iter().map(move |length| format!("{text:0<length$}"))));
        }
        let mut seen = BTreeSet::new();
        texts.into_iter().filter(|text| seen.insert(text.clone())).map(Value::Text).collect()
    }

    /// The usual values, and those at, just below and just above each constant.
    fn around(&self, usual: &[f64], step: f64, least: f64, most: f64) -> Vec<Value> {
        let near = self.numbers.iter().flat_map(|number| [number - step, *number, number + step]);
        let mut all: Vec<_> =
            usual.iter().copied().chain(near).filter(|number| (least..=most).contains(number)).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all.into_iter().map(Value::Number).collect()
    }

    fn rates(&self) -> Vec<Value> {
        let mut rates = self.around(&[0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99, 1.0], 0.001, 0.0, 1.0);
        let rest = self.numbers.iter().map(|number| 1.0 - number).filter(|rate| (0.0..=1.0).contains(rate));
        rates.extend(rest.flat_map(|rate| [rate, (rate + 0.001).min(1.0), (rate - 0.001).max(0.0)]).map(Value::Number));
        rates
    }
}

/// An input that is no figure.
fn input(name: &str, kind: Kind, constants: &Constants) -> Field {
    let texts = |all: &[&str]| all.iter().map(|text| Value::Text((*text).to_owned())).collect::<Vec<_>>();
    let (usual, values) = match name {
        "kind" => (Value::Text("response".to_owned()), texts(&KINDS)),
        "method" => {
            let methods = constants.texts.iter().filter(|text| text.chars().all(|c| c.is_ascii_uppercase()));
            let known = texts(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]);
            (Value::Text("GET".to_owned()), known.into_iter().chain(methods.cloned().map(Value::Text)).collect())
        }
        _ if kind == Kind::Text => (Value::Text(String::new()), constants.tried.clone()),
        "status" => {
            let usual =
                [200.0, 400.0, 401.0, 403.0, 404.0, 408.0, 410.0, 425.0, 429.0, 500.0, 501.0, 502.0, 503.0, 504.0];
            let mut values = constants.around(&usual, 1.0, 100.0, 999.0);
            values.push(Value::Number(0.0));
            (Value::Number(200.0), values)
        }
        "attempt" => (Value::Number(1.0), constants.around(&[1.0, 2.0, 3.0, 10.0], 1.0, 1.0, 1e6)),
        "at_ms" => {
            // Every half hour of a day, and a clock that nobody gave.
            let midnight = 1_763_856_000_000_f64;
            let hours = (0..48_u32).map(|half| midnight + f64::from(half) * 1_800_000.0 + 1.0);
            let values = hours.chain([0.0, midnight]).map(Value::Number).collect();
            (Value::Number(midnight + 36_000_000.0), values)
        }
        _ => (Value::Number(0.0), constants.around(&[0.0, 1.0, 1e3, 6e4, 36e5, 864e5], 1.0, 0.0, f64::MAX)),
    };
    Field { name: name.to_owned(), usual, values }
}

fn setting(name: String, default: Option<&Expr>, constants: &Constants) -> Field {
    let values = match default {
        Some(Expr::BoolConstant(..)) => vec![Value::Flag(true), Value::Flag(false)],
        Some(Expr::StringConstant(..)) => constants.tried.clone(),
        _ => constants.around(&[0.0, 1.0, 1e3, 1e6], 1.0, 0.0, f64::MAX),
    };
    Field { name, usual: Value::Absent, values }
}
