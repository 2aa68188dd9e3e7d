//! Cases of policies: what each is asked and what it must answer, in a file beside it.
//!
//! `retry/taobao.test.toml` holds the cases of `retry/taobao.rhai` (or `.wasm`), and `alerts.test.toml` those of the
//! rules in `alerts.toml`.

mod fields;
mod file;
mod find;
mod given;
mod input;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate::core::config::PoliciesConfig;
use tidegate::core::config::reader::suggestion;
use tidegate::core::{Fault, Snapshot, View};
use tidegate::policy::{Loaded, Policies, PolicyKind, load_one};

pub(crate) use file::Asked as Question;
pub use file::CaseFile;
pub use find::{Tested, find};
pub(crate) use given::Given;
pub use input::{AlertInput, Answer};

/// What became of one case.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// The line that it stands in.
    pub line: usize,
    /// Where the answer is another than expected: the field, what was expected, what was given.
    pub differences: Vec<(String, Value, Value)>,
}

/// Runs the cases of one policy; where they cannot be run at all, the problem as `file:line:column: message`.
///
/// # Errors
/// A policy or a case file that cannot be read.
pub fn run(tested: &Tested, config: &PoliciesConfig) -> Result<Vec<Outcome>, String> {
    let text =
        std::fs::read_to_string(&tested.cases).map_err(|error| format!("{}: {error}", tested.cases.display()))?;
    if !tested.policy.exists() {
        let (cases, stem) = (tested.cases.display(), tested.policy.with_extension(""));
        let stem = stem.display();
        return Err(format!(
            "{cases}: there is no {stem}.rhai or {stem}.wasm; build it (`tidegate build`) or remove the cases"
        ));
    }
    let file = CaseFile::parse(&tested.cases.display().to_string(), &text, tested.kind)?;
    let config = tested.kind.map_or_else(|| config.clone(), |kind| file.with_settings(tested, kind, config));
    let asked = Asked::load(&tested.policy, tested.kind, &config)?;
    file.cases
        .iter()
        .map(|case| {
            let given = asked.answer(tested, case)?;
            Ok(Outcome { name: case.name.clone(), line: case.line, differences: compare(&case.expect, &given) })
        })
        .collect()
}

/// Who is asked: one policy, or the rules by name.
pub(crate) enum Asked {
    /// One policy.
    Policy(Loaded),
    /// The rules of a directory.
    Rules(Arc<Policies>),
}

impl Asked {
    /// Loads a policy of a kind, or `alerts.toml` with the conditions beside it, where there is none.
    ///
    /// # Errors
    /// Every problem as `file:line:column: message`, one a line.
    pub(crate) fn load(policy: &Path, kind: Option<PolicyKind>, config: &PoliciesConfig) -> Result<Self, String> {
        if kind.is_some() {
            return load_one(policy, kind, config).map(Self::Policy);
        }
        // However often a condition misbehaves, every question gets its answer.
        let dir = policy.parent().unwrap_or(policy).to_owned();
        let policies = Policies::open(&PoliciesConfig { dir, max_faults: u32::MAX, ..config.clone() });
        let refused = policies.reload().refused;
        if refused.is_empty() { Ok(Self::Rules(policies)) } else { Err(refused.join("\n")) }
    }

    /// The verdict as JSON; `rule` is the one that is asked, among rules.
    ///
    /// # Errors
    /// One sentence where this cannot be asked here.
    pub(crate) fn ask(&self, question: &Question, rule: Option<&str>, view: &Arc<dyn View>) -> Result<Value, String> {
        Ok(match (self, question) {
            (Self::Policy(Loaded::Retry(policy)), Question::Failure(failure)) => told(policy.classify(failure, view)),
            (Self::Policy(Loaded::Admit(policy)), Question::Request(request)) => told(policy.admit(request, view)),
            (Self::Policy(Loaded::Alert(policy)), Question::Alert(input)) => {
                told(policy.evaluate(&input.snapshot, view))
            }
            (Self::Rules(policies), Question::Alert(input)) => {
                judged(policies, rule.unwrap_or_default(), &input.snapshot, view)?
            }
            _ => return Err("a policy of another kind is asked".to_owned()),
        })
    }

    fn answer(&self, tested: &Tested, case: &file::Case) -> Result<Value, String> {
        let place =
            |message: String| format!("{}:{}:1: case {:?}: {message}", tested.cases.display(), case.line, case.name);
        let (platform, view) = (tested.platform(), case.view().map_err(place)?);
        let failure = |failure| self.ask(&Question::Failure(failure), None, &view);
        let answer = match &case.asked {
            Question::Failure(asked) => failure(case.failure(asked, &platform)),
            Question::Answer(answer) => case.found(answer, &platform).map_or(Ok(json!({ "success": true })), failure),
            Question::Request(request) => self.ask(&Question::Request(case.request(request, &platform)), None, &view),
            Question::Alert(_) => self.ask(&case.asked, case.rule.as_deref(), &view),
        };
        answer.map_err(place)
    }
}

/// What a rule answers, which is quiet with too few samples.
fn judged(policies: &Policies, name: &str, snapshot: &Snapshot, view: &Arc<dyn View>) -> Result<Value, String> {
    let rules = policies.rules();
    let names = || rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>();
    let rule = rules.iter().find(|rule| rule.name == name);
    let rule = rule.ok_or_else(|| format!("no such rule {name:?}; {}", suggestion(name, &names())))?;
    if snapshot.stats.count + snapshot.stats.limited < rule.min_samples {
        return Ok(json!({ "state": "quiet" }));
    }
    Ok(told(rule.policy.evaluate(snapshot, view)))
}

/// A verdict as JSON; a fault by its kind.
pub fn told(result: Result<impl Serialize, Fault>) -> Value {
    match result {
        Ok(verdict) => serde_json::to_value(verdict).unwrap_or_default(),
        Err(fault) => json!({ "fault": fault.kind.name(), "message": fault.message }),
    }
}

/// Where an answer is another than expected; only what is named is compared.
fn compare(expected: &Value, given: &Value) -> Vec<(String, Value, Value)> {
    let fields = expected.as_object().into_iter().flatten();
    let differing = fields.filter(|(name, value)| !same(value, &given[name.as_str()]));
    let mut rows: Vec<_> =
        differing.map(|(name, value)| (name.clone(), value.clone(), given[name.as_str()].clone())).collect();
    // Why there is no verdict: it failed, or the answer was none of a failure.
    let why = ["fault", "message", "success"].into_iter().filter(|name| expected[name].is_null());
    if !rows.is_empty() && (given["fault"].is_string() || given["success"] == true) {
        rows.extend(
            why.filter(|name| !given[*name].is_null()).map(|name| (name.to_owned(), Value::Null, given[name].clone())),
        );
    }
    rows
}

/// Whether two values are the same; 5 and 5.0 are.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < f64::EPSILON * one.abs().max(1.0),
        _ => one == other,
    }
}

/// What policies decide: each kind has its folder.
pub(crate) const KINDS: [PolicyKind; 3] = [PolicyKind::Retry, PolicyKind::Alert, PolicyKind::Admit];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_compared_and_numbers_by_value() {
        let given = json!({ "action": "retry", "class": "throttled", "after_ms": 2000 });
        assert_eq!(compare(&json!({ "action": "retry", "after_ms": 2000.0 }), &given), []);
        let rows = [
            (json!({ "after_ms": 2001 }), ("after_ms", json!(2001), json!(2000))),
            (json!({ "reason": "x" }), ("reason", json!("x"), Value::Null)),
            (json!({ "after_ms": "2000" }), ("after_ms", json!("2000"), json!(2000))),
        ];
        let fault = json!({ "fault": "deadline", "message": "ran longer than 5ms" });
        let told: Vec<_> =
            compare(&json!({ "action": "retry" }), &fault).into_iter().map(|(field, ..)| field).collect();
        assert_eq!(told, ["action", "fault", "message"], "why there is no action");
        for (expected, (field, wanted, got)) in rows {
            assert_eq!(compare(&expected, &given), [(field.to_owned(), wanted, got)]);
        }
    }
}
