//! Cases of policies: what each is asked and what it must answer, in a file beside it.
//!
//! `retry/taobao.test.toml` holds the cases of `retry/taobao.rhai` (or `.wasm`), and `alerts.test.toml` those of the
//! rules in `alerts.toml`.

mod fields;
mod file;
mod find;
mod input;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate::core::config::PoliciesConfig;
use tidegate::core::config::reader::suggestion;
use tidegate::core::{Fault, Stats, View, Windows};
use tidegate::policy::{Loaded, Policies, PolicyKind, load_one};

use file::Asked as Question;
pub use file::CaseFile;
pub use find::{Tested, find};
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
    let file = CaseFile::parse(&tested.cases.display().to_string(), &text, tested.kind)?;
    let asked = Asked::load(tested, &file, config)?;
    file.cases
        .iter()
        .map(|case| {
            let given = asked.answer(tested, case)?;
            Ok(Outcome { name: case.name.clone(), line: case.line, differences: compare(&case.expect, &given) })
        })
        .collect()
}

/// Who is asked: one policy, or the rules by name.
enum Asked {
    Policy(Loaded),
    Rules(Arc<Policies>),
}

impl Asked {
    fn load(tested: &Tested, file: &CaseFile, config: &PoliciesConfig) -> Result<Self, String> {
        let Some(kind) = tested.kind else {
            let dir = tested.policy.parent().unwrap_or(&tested.policy).to_owned();
            let policies = Policies::open(&PoliciesConfig { dir, ..config.clone() });
            let refused = policies.reload().refused;
            return if refused.is_empty() { Ok(Self::Rules(policies)) } else { Err(refused.join("\n")) };
        };
        let config = file.with_settings(tested, kind, config);
        load_one(&tested.policy, Some(kind), &config).map(Self::Policy)
    }

    fn answer(&self, tested: &Tested, case: &file::Case) -> Result<Value, String> {
        let place =
            |message: String| format!("{}:{}:1: case {:?}: {message}", tested.cases.display(), case.line, case.name);
        let (platform, none) = (tested.platform(), figures(Stats::default()));
        let failure = match &case.asked {
            Question::Failure(failure) => Some(case.failure(failure, &platform)),
            Question::Answer(answer) => case.found(answer, &platform),
            _ => None,
        };
        Ok(match (self, &case.asked) {
            (Self::Policy(Loaded::Retry(policy)), _) => {
                failure.map_or_else(|| json!({ "success": true }), |failure| told(policy.classify(&failure, &none)))
            }
            (Self::Policy(Loaded::Admit(policy)), Question::Request(request)) => {
                told(policy.admit(&case.request(request, &platform), &none))
            }
            (Self::Policy(Loaded::Alert(policy)), Question::Alert(input)) => {
                told(policy.evaluate(&input.snapshot, &input.view().map_err(place)?))
            }
            (Self::Rules(policies), Question::Alert(input)) => {
                let name = case.rule.as_deref().unwrap_or_default();
                rule(policies, name, input).map_err(place)?
            }
            _ => return Err(place("a policy of another kind is asked".to_owned())),
        })
    }
}

/// What a rule answers, which is quiet with too few samples.
fn rule(policies: &Policies, name: &str, input: &AlertInput) -> Result<Value, String> {
    let rules = policies.rules();
    let names = || rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>();
    let rule = rules.iter().find(|rule| rule.name == name);
    let rule = rule.ok_or_else(|| format!("no such rule {name:?}; {}", suggestion(name, &names())))?;
    let stats = &input.snapshot.stats;
    if stats.count + stats.limited < rule.min_samples {
        return Ok(json!({ "state": "quiet" }));
    }
    Ok(told(rule.policy.evaluate(&input.snapshot, &input.view()?)))
}

fn figures(stats: Stats) -> Arc<dyn View> {
    Arc::new(Windows(move |_: Duration| stats.clone()))
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
    differing.map(|(name, value)| (name.clone(), value.clone(), given[name.as_str()].clone())).collect()
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
        for (expected, (field, wanted, got)) in rows {
            assert_eq!(compare(&expected, &given), [(field.to_owned(), wanted, got)]);
        }
    }
}
