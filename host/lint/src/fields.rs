//! Determines the inputs of a script that differ between samples, and the values that are tried for each.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Stmt};
use tidegate_core::FailureKind;
use tidegate_policy::scripts::{LIMIT_FIELDS, ParsedScript, STATS, Tokens, ValueType};

use crate::constants::Constants;
use crate::value::SampleValue;

/// The maximum length of a string that is created by appending to another, in bytes.
const MAX_EXTENDED: usize = 200;

/// An input that differs between samples.
pub struct SampleField {
    /// The expression that reads it in a script: `status`, `header("x")`, `window("1h").count`.
    pub name: String,
    /// Its value in a typical call.
    pub typical: SampleValue,
    /// The values to try.
    pub values: Vec<SampleValue>,
}

/// All fields that a script may read.
pub struct SampleFields {
    all: Vec<SampleField>,
    /// The functions that the script calls with a literal name, and that name: `("header", "x")`.
    named_calls: BTreeSet<(String, String)>,
    /// The strings that the script may look for inside other strings.
    parts: Vec<String>,
}

impl SampleFields {
    /// Returns the fields that a script reads, with values around the constants of the script.
    /// `folded` is its optimized syntax tree.
    pub fn of_script(script: &ParsedScript, folded: &AST) -> Self {
        let ParsedScript { ast, tokens, contract, .. } = script;
        let constants = Constants::collect(folded, tokens);
        let mut fields = Self { all: vec![], named_calls: BTreeSet::new(), parts: vec![] };
        if ["contains", "ends_with", "index_of", "split"].iter().any(|name| tokens.contains(name)) {
            fields.parts.clone_from(&constants.strings);
        }
        let is_alert = contract.inputs.iter().any(|(name, _)| *name == "error_rate");
        if is_alert {
            fields.add_stats("", tokens, &constants);
        }
        for (name, value_type) in contract.inputs.iter().filter(|(name, _)| tokens.contains(name)) {
            if !STATS.iter().any(|(stat, _)| stat == name) {
                fields.all.push(input(name, *value_type, &constants));
            }
        }
        ast.walk(&mut |path| {
            if let Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = path.last() {
                fields.add_call(call, tokens, &constants);
            }
            true
        });
        fields
    }

    /// Returns all fields.
    pub fn all(&self) -> &[SampleField] {
        &self.all
    }

    /// Returns the literal names that the script passes to a function.
    pub fn names<'a>(&'a self, function: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.named_calls.iter().filter(move |(known, _)| known == function).map(|(_, name)| name.as_str())
    }

    /// Returns a string with each part appended, so that a script can find two parts in one string.
    pub fn extended(&self, value: &SampleValue) -> Vec<SampleValue> {
        match value {
            SampleValue::String(text)
                if !text.is_empty() && text.len() < MAX_EXTENDED && !FailureKind::NAMES.contains(&text.as_str()) =>
            {
                let extended = self.parts.iter().flat_map(|part| [format!("{text} {part}"), format!("{text}{part}")]);
                extended.map(SampleValue::String).collect()
            }
            _ => vec![],
        }
    }

    fn add_call(&mut self, call: &FnCallExpr, tokens: &Tokens, constants: &Constants) {
        let Some(Expr::StringConstant(name, _)) = call.args.first() else { return };
        if !self.named_calls.insert((call.name.to_string(), name.to_string())) {
            return;
        }
        let expression = format!("{}({:?})", call.name, name.as_str());
        match call.name.as_str() {
            "header" | "label" => {
                let (typical, values) = (SampleValue::String(String::new()), constants.string_values.clone());
                self.all.push(SampleField { name: expression, typical, values });
            }
            "setting" => self.all.push(setting(expression, call.args.get(1), constants)),
            "window" => self.add_stats(&format!("{expression}."), tokens, constants),
            "limit" => {
                for field in LIMIT_FIELDS.iter().filter(|field| tokens.contains(field)) {
                    // Calls that wait for tokens make it negative.
                    let min = if *field == "available" { -1e9 } else { 0.0 };
                    let values = constants.around(&[-10.0, 0.0, 1.0, 10.0, 1_000.0, 60_000.0], 1.0, min, 1e15);
                    let name = format!("{expression}.{field}");
                    self.all.push(SampleField { name, typical: SampleValue::Unset, values });
                }
            }
            _ => {}
        }
    }

    fn add_stats(&mut self, prefix: &str, tokens: &Tokens, constants: &Constants) {
        for (name, _) in STATS.iter().filter(|(name, _)| *name == "count" || tokens.contains(name)) {
            let values = match *name {
                "success_rate" => continue,
                rate if rate.ends_with("_rate") => constants.rates(),
                "rps" | "total_ms" => constants.around(&[0.0, 0.1, 1.0, 10.0, 100.0, 1e4, 1e6], 0.1, 0.0, f64::MAX),
                "p50" | "p95" | "p99" => constants.around(&[1.0, 10.0, 100.0, 1e3, 1e4, 6e4], 1.0, 0.0, f64::MAX),
                _ => constants.around(&[0.0, 1.0, 2.0, 10.0, 100.0, 1e3, 1e4, 1e6], 1.0, 0.0, 1e15),
            };
            self.all.push(SampleField { name: format!("{prefix}{name}"), typical: SampleValue::Unset, values });
        }
        let errors = format!("{prefix}error_rate");
        if tokens.contains("success_rate") && !self.all.iter().any(|field| field.name == errors) {
            self.all.push(SampleField { name: errors, typical: SampleValue::Unset, values: constants.rates() });
        }
    }
}

/// Returns the field of an input that is not a statistic.
fn input(name: &str, value_type: ValueType, constants: &Constants) -> SampleField {
    let strings = |all: &[&str]| all.iter().map(|text| SampleValue::String((*text).to_owned())).collect::<Vec<_>>();
    let (typical, values) = match name {
        "kind" => (SampleValue::String("response".to_owned()), strings(FailureKind::NAMES)),
        "method" => {
            let methods = constants.strings.iter().filter(|text| text.chars().all(|c| c.is_ascii_uppercase()));
            let known = strings(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]);
            let values = known.into_iter().chain(methods.cloned().map(SampleValue::String)).collect();
            (SampleValue::String("GET".to_owned()), values)
        }
        _ if value_type == ValueType::String => (SampleValue::String(String::new()), constants.string_values.clone()),
        "status" => {
            let typical =
                [200.0, 400.0, 401.0, 403.0, 404.0, 408.0, 410.0, 425.0, 429.0, 500.0, 501.0, 502.0, 503.0, 504.0];
            let mut values = constants.around(&typical, 1.0, 100.0, 999.0);
            values.push(SampleValue::Number(0.0));
            (SampleValue::Number(200.0), values)
        }
        "attempt" => {
            let values = constants.around(&[1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0], 1.0, 1.0, 1e6);
            (SampleValue::Number(1.0), values)
        }
        "at_ms" => {
            // Every half hour of a day, every minute of an hour, every day of a month, and 0 for an unknown time.
            let midnight = 1_763_856_000_000_f64;
            let hours = (0..48_u32).map(|half| f64::from(half) * 1_800_000.0 + 1.0);
            let minutes = (0..60_u32).map(|minute| f64::from(minute) * 60_000.0);
            let days = (0..31_u32).map(|day| f64::from(day) * 86_400_000.0);
            let times = hours.chain(minutes).chain(days).map(|offset| midnight + offset);
            let values = times.chain([0.0]).map(SampleValue::Number).collect();
            (SampleValue::Number(midnight + 36_000_000.0), values)
        }
        _ => {
            let values = constants.around(&[0.0, 1.0, 1e3, 6e4, 36e5, 864e5, 1e10], 1.0, 0.0, f64::MAX);
            (SampleValue::Number(0.0), values)
        }
    };
    SampleField { name: name.to_owned(), typical, values }
}

fn setting(name: String, default: Option<&Expr>, constants: &Constants) -> SampleField {
    let values = match default {
        Some(Expr::BoolConstant(..)) => vec![SampleValue::Bool(true), SampleValue::Bool(false)],
        Some(Expr::StringConstant(..)) => constants.string_values.clone(),
        _ => constants.around(&[0.0, 1.0, 1e3, 1e6], 1.0, 0.0, f64::MAX),
    };
    SampleField { name, typical: SampleValue::Unset, values }
}
