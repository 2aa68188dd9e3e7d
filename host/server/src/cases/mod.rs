//! Test cases of policies: inputs and expected verdicts, in a file beside each policy.
//!
//! `retry/taobao.test.toml` contains the cases of `retry/taobao.rhai` (or `.wasm`), and `alerts.test.toml` those of the
//! rules in `alerts.toml`.

mod fields;
mod file;
mod find;
mod input;
mod view;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate::Config;
use tidegate_core::config::PoliciesConfig;
use tidegate_core::config::reader::with_suggestion;
use tidegate_core::{Fault, HostView, Snapshot};
use tidegate_policy::{LoadedPolicy, Policies, PolicyKind, load_policy};

pub use file::{CaseFile, CaseInput};
pub use find::{TestedPolicy, find};
pub use input::{AlertInput, PlatformResponse};
pub(crate) use view::FixedView;

/// The result of one case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseResult {
    /// The name of the case.
    pub name: String,
    /// The line of the case in its file.
    pub line: usize,
    /// The fields that differ: name, expected value, actual value. Empty if the case passed.
    pub differences: Vec<(String, Value, Value)>,
}

/// Runs the cases of one policy, with the limits of policies and the error shapes of a configuration.
///
/// # Errors
/// Returns an error as `file:line:column: message` if the policy or the case file is missing or invalid.
pub fn run(tested: &TestedPolicy, config: &Config) -> Result<Vec<CaseResult>, String> {
    let text =
        std::fs::read_to_string(&tested.cases).map_err(|error| format!("{}: {error}", tested.cases.display()))?;
    if !tested.policy.exists() {
        let (cases, stem) = (tested.cases.display(), tested.policy.with_extension(""));
        let stem = stem.display();
        return Err(format!(
            "{cases}: found neither {stem}.rhai nor {stem}.wasm; build the policy with `tidegate build`, or remove the \
             cases"
        ));
    }
    let file = CaseFile::parse(&tested.cases.display().to_string(), &text, tested.kind)?;
    let own = tested.kind.map(|kind| file.with_settings(tested, kind, &config.policies));
    let policy = PolicyUnderTest::load(&tested.policy, tested.kind, own.as_ref().unwrap_or(&config.policies))?;
    file.cases
        .iter()
        .map(|case| {
            let actual = policy.run_case(tested, case, config)?;
            Ok(CaseResult { name: case.name.clone(), line: case.line, differences: compare(&case.expect, &actual) })
        })
        .collect()
}

/// A policy that is evaluated outside of a server, by `tidegate test` and `tidegate replay`.
pub(crate) enum PolicyUnderTest {
    /// A script or component.
    Policy(LoadedPolicy),
    /// The rules of a directory's `alerts.toml`, which are selected by name.
    Rules(Arc<Policies>),
}

impl PolicyUnderTest {
    /// Loads a policy of this kind, or `alerts.toml` and its conditions if `kind` is `None`.
    ///
    /// # Errors
    /// Returns all errors as `file:line:column: message`, one per line.
    pub(crate) fn load(policy: &Path, kind: Option<PolicyKind>, config: &PoliciesConfig) -> Result<Self, String> {
        if kind.is_some() {
            return load_policy(policy, kind, config).map(Self::Policy).map_err(|error| error.to_string());
        }
        // A condition must not be quarantined here, even if every evaluation faults.
        let dir = policy.parent().unwrap_or(policy).to_owned();
        let policies = Policies::open(&config.clone().with_dir(dir).with_max_faults(u32::MAX));
        let errors: Vec<_> = policies.reload().rejected.into_values().collect();
        if errors.is_empty() { Ok(Self::Rules(policies)) } else { Err(errors.join("\n")) }
    }

    /// Evaluates the policy, or the rule named `rule`, and returns the verdict as JSON.
    ///
    /// # Errors
    /// Returns an error message if the input is for another kind of policy, or if there is no such rule.
    pub(crate) fn evaluate(
        &self,
        input: &CaseInput,
        rule: Option<&str>,
        view: &Arc<dyn HostView>,
    ) -> Result<Value, String> {
        Ok(match (self, input) {
            (Self::Policy(LoadedPolicy::Retry(policy)), CaseInput::Failure(failure)) => {
                verdict_json(policy.classify(failure, view))
            }
            (Self::Policy(LoadedPolicy::Admit(policy)), CaseInput::Request(request)) => {
                verdict_json(policy.admit(request, view))
            }
            (Self::Policy(LoadedPolicy::Alert(policy)), CaseInput::Alert(input)) => {
                verdict_json(policy.evaluate(&input.snapshot, view))
            }
            (Self::Rules(policies), CaseInput::Alert(input)) => {
                evaluate_rule(policies, rule.unwrap_or_default(), &input.snapshot, view)?
            }
            _ => return Err("the input does not fit the kind of the policy".to_owned()),
        })
    }

    /// Evaluates the policy on a case and returns the verdict as JSON.
    fn run_case(&self, tested: &TestedPolicy, case: &file::Case, config: &Config) -> Result<Value, String> {
        let at_case =
            |message: String| format!("{}:{}:1: case {:?}: {message}", tested.cases.display(), case.line, case.name);
        let (platform, view) = (tested.platform(), case.view().map_err(at_case)?);
        let classify = |failure| self.evaluate(&CaseInput::Failure(failure), None, &view);
        let verdict = match &case.input {
            CaseInput::Failure(failure) => classify(case.failure(config, failure, &platform)),
            CaseInput::Response(response) => {
                case.response_failure(config, response, &platform).map_or(Ok(json!({ "success": true })), classify)
            }
            CaseInput::Request(request) => {
                self.evaluate(&CaseInput::Request(case.request(request, &platform)), None, &view)
            }
            CaseInput::Alert(_) => self.evaluate(&case.input, case.rule.as_deref(), &view),
        };
        verdict.map_err(at_case)
    }
}

/// Evaluates a rule. With fewer samples than `min_samples`, the result is quiet, as in a server.
fn evaluate_rule(
    policies: &Policies,
    name: &str,
    snapshot: &Snapshot,
    view: &Arc<dyn HostView>,
) -> Result<Value, String> {
    let rules = policies.rules();
    let names = || rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>();
    let rule = rules.iter().find(|rule| rule.name == name);
    let rule = rule.ok_or_else(|| with_suggestion(format!("unknown rule {name:?}"), name, &names()))?;
    if snapshot.stats.count + snapshot.stats.limited < rule.min_samples {
        return Ok(json!({ "state": "quiet" }));
    }
    Ok(verdict_json(rule.policy.evaluate(snapshot, view)))
}

/// Returns a verdict as JSON. A fault has the fields `fault`, which is its kind, and `message`.
pub fn verdict_json(result: Result<impl Serialize, Fault>) -> Value {
    match result {
        Ok(verdict) => serde_json::to_value(verdict).unwrap_or_default(),
        Err(fault) => json!({ "fault": fault.kind, "message": fault.message }),
    }
}

/// Returns the fields that differ. Compares only fields that `expected` contains.
fn compare(expected: &Value, actual: &Value) -> Vec<(String, Value, Value)> {
    let fields = expected.as_object().into_iter().flatten();
    let differing = fields.filter(|(name, value)| !is_equal(value, &actual[name.as_str()]));
    let mut rows: Vec<_> =
        differing.map(|(name, value)| (name.clone(), value.clone(), actual[name.as_str()].clone())).collect();
    // Show why there is no verdict: the policy faulted, or the response is not a failure.
    let reasons = ["fault", "message", "success"].into_iter().filter(|name| expected[name].is_null());
    if !rows.is_empty() && (actual["fault"].is_string() || actual["success"] == true) {
        let reasons = reasons.filter(|name| !actual[*name].is_null());
        rows.extend(reasons.map(|name| (name.to_owned(), Value::Null, actual[name].clone())));
    }
    rows
}

/// Returns whether two values are equal. Numbers are compared by value: 5 equals 5.0.
fn is_equal(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => (left - right).abs() < f64::EPSILON * left.abs().max(1.0),
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_expected_fields_are_compared_and_numbers_by_value() {
        let actual = json!({ "action": "retry", "class": "throttled", "after_ms": 2000 });
        assert_eq!(compare(&json!({ "action": "retry", "after_ms": 2000.0 }), &actual), []);
        let rows = [
            (json!({ "after_ms": 2001 }), ("after_ms", json!(2001), json!(2000))),
            (json!({ "reason": "x" }), ("reason", json!("x"), Value::Null)),
            (json!({ "after_ms": "2000" }), ("after_ms", json!("2000"), json!(2000))),
        ];
        let fault = json!({ "fault": "deadline", "message": "ran longer than 5ms" });
        let fields: Vec<_> =
            compare(&json!({ "action": "retry" }), &fault).into_iter().map(|(field, ..)| field).collect();
        assert_eq!(fields, ["action", "fault", "message"], "the fault says why there is no action");
        for (expected, (field, expected_value, actual_value)) in rows {
            assert_eq!(compare(&expected, &actual), [(field.to_owned(), expected_value, actual_value)]);
        }
    }
}
