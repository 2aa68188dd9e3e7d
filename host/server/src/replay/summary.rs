//! Summarizes verdicts for comparison and for tables.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tidegate_core::units::format_duration;

/// A verdict as text. It does not contain the reason and the detail, so that they are not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictSummary {
    /// The action and its class, cost or status; or the state; or the fault. For example `retry throttled`,
    /// `allow at cost 2`, `firing`, `fault deadline`.
    pub outcome: String,
    /// The wait and the labels. They vary too much to group differences by them.
    parameters: String,
}

impl VerdictSummary {
    /// Summarizes a verdict. Null means that there is no policy.
    pub fn new(verdict: &Value) -> Self {
        let text = |name: &str| verdict[name].as_str().map(str::to_owned);
        let state = || text("state");
        let fault = text("fault").map(|kind| format!("fault {kind}"));
        let outcome = fault.or_else(|| action(verdict)).or_else(state).unwrap_or_else(|| "no policy".to_owned());
        let wait = verdict["after_ms"].as_u64();
        let wait = wait.map(|ms| format!(" after {}", format_duration(Duration::from_millis(ms))));
        let scope = verdict["scope"].as_object().into_iter().flatten();
        let scope: Vec<_> =
            scope.map(|(name, value)| format!(" {name}={}", value.as_str().unwrap_or_default())).collect();
        Self { outcome, parameters: format!("{}{}", wait.unwrap_or_default(), scope.concat()) }
    }
}

impl fmt::Display for VerdictSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.outcome, self.parameters)
    }
}

fn action(verdict: &Value) -> Option<String> {
    let action = verdict["action"].as_str()?;
    let suffix = match (&verdict["class"], &verdict["cost"], &verdict["status"]) {
        (Value::String(class), ..) => format!(" {class}"),
        (_, Value::Number(cost), _) => format!(" at cost {cost}"),
        (.., Value::Number(status)) => format!(" with {status}"),
        _ => String::new(),
    };
    Some(format!("{}{suffix}", action.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn summaries_contain_the_outcome_and_its_parameters_but_no_reason() {
        let rows = [
            (
                json!({ "action": "retry", "class": "throttled", "after_ms": 1500, "reason": "x" }),
                "retry throttled after 1500ms",
            ),
            (json!({ "action": "retry", "class": "throttled", "after_ms": 0 }), "retry throttled after 0s"),
            (json!({ "action": "give_up", "class": "permanent" }), "give up permanent"),
            (json!({ "action": "default" }), "default"),
            (
                json!({ "action": "allow", "cost": 2, "scope": { "api": "orders", "seller": "7" } }),
                "allow at cost 2 api=orders seller=7",
            ),
            (json!({ "action": "deny", "status": 503, "reason": "closed" }), "deny with 503"),
            (json!({ "state": "firing", "detail": "x" }), "firing"),
            (json!({ "fault": "trap", "message": "x" }), "fault trap"),
            (Value::Null, "no policy"),
        ];
        for (verdict, expected) in rows {
            assert_eq!(VerdictSummary::new(&verdict).to_string(), expected);
        }
    }
}
