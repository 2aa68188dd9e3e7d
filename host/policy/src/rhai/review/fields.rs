//! What can differ between samples, and the values that are tried.

use std::collections::BTreeSet;
use std::fmt;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Stmt};

use super::constants::Constants;
use crate::rhai::names::{Contract, FIGURES, KINDS, Kind, LEVELS};
use crate::rhai::tokens::Tokens;

/// The longest text that is made by adding to another, in bytes.
const MAX_TEXT: usize = 200;

/// A longer text is shown in part, in bytes.
const MAX_SHOWN: usize = 60;

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
            Self::Text(text) if text.len() <= MAX_SHOWN => write!(f, "{text:?}"),
            Self::Text(text) => {
                write!(f, "{:?} and more, {} bytes", &text[..text.floor_char_boundary(MAX_SHOWN)], text.len())
            }
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
                let joined = self.parts.iter().flat_map(|part| [format!("{text} {part}"), format!("{text}{part}")]);
                joined.map(Value::Text).collect()
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
        "attempt" => (Value::Number(1.0), constants.around(&[1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0], 1.0, 1.0, 1e6)),
        "at_ms" => {
            // Every half hour of a day, every minute of an hour, every day of a month, and a clock that nobody gave.
            let midnight = 1_763_856_000_000_f64;
            let hours = (0..48_u32).map(|half| f64::from(half) * 1_800_000.0 + 1.0);
            let minutes = (0..60_u32).map(|minute| f64::from(minute) * 60_000.0);
            let days = (0..31_u32).map(|day| f64::from(day) * 86_400_000.0);
            let times = hours.chain(minutes).chain(days).map(|since| midnight + since);
            let values = times.chain([0.0]).map(Value::Number).collect();
            (Value::Number(midnight + 36_000_000.0), values)
        }
        _ => (Value::Number(0.0), constants.around(&[0.0, 1.0, 1e3, 6e4, 36e5, 864e5, 1e10], 1.0, 0.0, f64::MAX)),
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
