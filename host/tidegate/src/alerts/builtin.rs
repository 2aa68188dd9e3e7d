//! Evaluation of the alerts that tidegate raises about itself.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::store::{AlertChanges, AlertEntry, AlertKey, AlertStates};
use tidegate_core::{BuiltinAlert, Stats};

use super::step::{AlertSettings, Evaluation, step};

/// What is known about the condition of a built-in alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltinCondition {
    /// The subjects for which the condition holds, each with a detail.
    pub holding: BTreeMap<String, String>,
    /// Whether the condition holds for no other subject. If not, the states of all others stay unchanged.
    pub is_complete: bool,
}

/// Evaluates one built-in alert.
pub fn evaluate_builtin(
    alert: BuiltinAlert,
    condition: &BuiltinCondition,
    channels: &[String],
    current: &AlertStates,
    changes: &mut AlertChanges,
) {
    let settings = AlertSettings {
        name: alert.as_str(),
        severity: alert.severity(),
        timing: alert.timing(),
        condition: alert.condition(),
        channels,
    };
    let known = current.states.keys().filter(|key| condition.is_complete && key.rule == alert.as_str());
    let subjects: BTreeSet<&String> = known.map(|key| &key.platform).chain(condition.holding.keys()).collect();
    for subject in subjects {
        let key = AlertKey { rule: alert.as_str().to_owned(), platform: subject.clone(), endpoint: None };
        let detail = condition.holding.get(subject).cloned();
        let evaluation = Evaluation { holds: detail.is_some(), detail, stats: Stats::default() };
        step(&settings, key, evaluation, current, changes);
    }
}

/// Returns the states of built-in alerts after the changes.
pub fn builtin_states(current: &AlertStates, changes: &AlertChanges) -> BTreeMap<AlertKey, AlertEntry> {
    let mut states = current.states.clone();
    for (key, entry) in &changes.states {
        match entry {
            Some(entry) => drop(states.insert(key.clone(), entry.clone())),
            None => drop(states.remove(key)),
        }
    }
    states.retain(|key, _| is_builtin(key));
    states
}

/// Whether a state belongs to a built-in alert. No rule can have the name of one.
pub fn is_builtin(key: &AlertKey) -> bool {
    key.rule.parse::<BuiltinAlert>().is_ok()
}
