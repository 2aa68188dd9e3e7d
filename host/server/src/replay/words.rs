//! Verdicts in a few words, and whether two of them lead to the same.

use std::time::Duration;

use serde_json::Value;
use tidegate::core::units::show_duration;

/// A verdict in words; the reason and the detail, which are words themselves, are no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What is done: `retry throttled`, `allow at cost 2`, `firing`, `fault deadline`.
    pub gist: String,
    /// The wait and the labels, of which there are many.
    rest: String,
}

impl Words {
    /// The verdict in words; nothing is no policy.
    pub fn of(verdict: &Value) -> Self {
        let text = |name: &str| verdict[name].as_str().map(str::to_owned);
        let state = || text("state");
        let fault = text("fault").map(|kind| format!("fault {kind}"));
        let gist = fault.or_else(|| action(verdict)).or_else(state).unwrap_or_else(|| "no policy".to_owned());
        let wait = verdict["after_ms"].as_u64();
        let wait = wait.map(|ms| format!(" after {}", show_duration(Duration::from_millis(ms))));
        let scope = verdict["scope"].as_object().into_iter().flatten();
        let scope: Vec<_> =
            scope.map(|(name, value)| format!(" {name}={}", value.as_str().unwrap_or_default())).collect();
        Self { gist, rest: format!("{}{}", wait.unwrap_or_default(), scope.concat()) }
    }

    /// All of it.
    pub fn all(&self) -> String {
        format!("{}{}", self.gist, self.rest)
    }
}

fn action(verdict: &Value) -> Option<String> {
    let action = verdict["action"].as_str()?;
    let more = match (&verdict["class"], &verdict["cost"], &verdict["status"]) {
        (Value::String(class), ..) => format!(" {class}"),
        (_, Value::Number(cost), _) => format!(" at cost {cost}"),
        (.., Value::Number(status)) => format!(" with {status}"),
        _ => String::new(),
    };
    Some(format!("{}{more}", action.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_verdict_has_its_words_and_reasons_have_none() {
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
            assert_eq!(Words::of(&verdict).all(), expected);
        }
    }
}
