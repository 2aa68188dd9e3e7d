//! A line of the decision log.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate::core::{Admission, AlertVerdict, FaultKind, LimitState, Snapshot, Stats, Verdict};
use tidegate::policy::PolicyKind;

use crate::cases::{AlertInput, Given, Question};

/// The file of the rules.
pub const RULES: &str = "alerts.toml";

/// A decision as it was made.
pub struct Line {
    /// The file that decided, such as `retry/taobao.rhai`.
    pub policy: String,
    /// The rule, where its condition stands in `alerts.toml`.
    pub rule: Option<String>,
    /// What was asked.
    pub question: Question,
    /// The same as it was written.
    pub input: Value,
    /// What the policy looked at.
    pub view: Arc<Given>,
    /// What it decided, as cases tell it.
    pub verdict: Value,
}

/// The line as it is written; what only people read is left out.
#[derive(Deserialize)]
struct Written {
    kind: Kind,
    policy: String,
    rule: Option<String>,
    input: Value,
    #[serde(default)]
    windows: BTreeMap<String, Stats>,
    #[serde(default)]
    limits: BTreeMap<String, LimitState>,
    verdict: Option<Value>,
    fault: Option<Misbehaviour>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Retry,
    Alert,
    Admit,
}

#[derive(Deserialize)]
struct Misbehaviour {
    kind: FaultKind,
    #[serde(default)]
    message: String,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// One sentence: what was expected.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let input = written.input.clone();
        let (question, otherwise) = match written.kind {
            Kind::Retry => (Question::Failure(read("input", input)?), Stats::default()),
            Kind::Admit => (Question::Request(read("input", input)?), Stats::default()),
            Kind::Alert => {
                let snapshot: Snapshot = read("input", input)?;
                let stats = snapshot.stats.clone();
                (Question::Alert(AlertInput { snapshot, windows: BTreeMap::new() }), stats)
            }
        };
        let verdict = verdict(written.kind, written.verdict, written.fault)?;
        let view = Arc::new(Given::new(written.windows, written.limits, otherwise)?);
        let Written { policy, rule, input, kind, .. } = written;
        check(&policy, kind)?;
        Ok(Self { policy, rule, question, input, view, verdict })
    }
}

/// The verdict as cases tell it.
fn verdict(kind: Kind, verdict: Option<Value>, fault: Option<Misbehaviour>) -> Result<Value, String> {
    match (kind, verdict, fault) {
        (_, None, Some(fault)) => Ok(json!({ "fault": fault.kind.name(), "message": fault.message })),
        (Kind::Retry, Some(verdict), None) => whole::<Verdict>(verdict),
        (Kind::Alert, Some(verdict), None) => whole::<AlertVerdict>(verdict),
        (Kind::Admit, Some(verdict), None) => whole::<Admission>(verdict),
        _ => Err("expected a `verdict` or a `fault`, and not both".to_owned()),
    }
}

/// What is no verdict is not compared with one.
fn whole<T: DeserializeOwned + Serialize>(verdict: Value) -> Result<Value, String> {
    let verdict: T = read("verdict", verdict)?;
    serde_json::to_value(verdict).map_err(|error| error.to_string())
}

fn read<T: DeserializeOwned>(field: &str, value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("{field}: {error}"))
}

/// A policy's path has the form that the log gives it: it names a file to be opened.
fn check(policy: &str, kind: Kind) -> Result<(), String> {
    let folder = match kind {
        Kind::Retry => PolicyKind::Retry,
        Kind::Alert => PolicyKind::Alert,
        Kind::Admit => PolicyKind::Admit,
    }
    .folder();
    let within = policy.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
    let fine = |name: &str| {
        let ending = name.ends_with(".rhai") || name.ends_with(".wasm");
        ending && !name.starts_with('.') && !name.contains(['/', '\\', ':'])
    };
    if within.is_some_and(fine) || matches!(kind, Kind::Alert) && policy == RULES {
        return Ok(());
    }
    Err(format!("policy: expected a file such as \"{folder}/jd.rhai\", not {policy:?}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate::core::View;

    use super::*;

    fn refused(line: &str) -> String {
        Line::parse(line.as_bytes()).err().unwrap_or_else(|| panic!("{line} was taken"))
    }

    #[test]
    fn what_is_no_decision_is_refused_with_what_was_expected() {
        let verdict = r#""verdict":{"action":"default"}"#;
        let of = |policy: &str| format!(r#"{{"kind":"retry","policy":"{policy}","input":{{}},{verdict}}}"#);
        assert!(Line::parse(of("retry/jd.rhai").as_bytes()).is_ok());
        for policy in
            ["retry/../jd.rhai", "/etc/passwd", "retry/.rhai", "retry/a/b.rhai", "alerts.toml", "admit/jd.rhai"]
        {
            let expected = format!("policy: expected a file such as \"retry/jd.rhai\", not {policy:?}");
            assert_eq!(refused(&of(policy)), expected);
        }
        let rows = [
            ("{\"kind\":\"re", "EOF while parsing a string"),
            ("[]", "invalid"),
            (r#"{"kind":"retry","policy":"retry/jd.rhai","input":{}}"#, "expected a `verdict` or a `fault`"),
            (r#"{"kind":"alarm"}"#, "unknown variant `alarm`"),
            (&of("retry/jd.rhai").replace("{}", r#"{"cod":"7"}"#), "input: unknown field `cod`"),
            (&of("retry/jd.rhai").replace("default", "rety"), "verdict: unknown variant `rety`"),
            (
                &of("retry/jd.rhai").replace("\"input\"", r#""windows":{"soon":{}},"input""#),
                "windows: expected a duration",
            ),
        ];
        for (line, expected) in rows {
            assert!(refused(line).contains(expected), "{line}: {}", refused(line));
        }
    }

    #[test]
    fn a_policy_sees_what_was_seen_and_a_look_beyond_is_noted() {
        let line = r#"{"kind":"alert","policy":"alerts.toml","rule":"r","input":{"platform":"jd","count":5},
                       "windows":{"1h":{"count":9}},"limits":{"jd":{"available":1,"burst":2,"rate":1,"full_in_ms":3}},
                       "verdict":{"state":"quiet"}}"#;
        let view = Line::parse(line.as_bytes()).unwrap().view;
        let hour = |hours: u64| view.window("jd", None, Duration::from_secs(3_600 * hours)).count;
        assert_eq!((hour(1), view.limit("jd").map(|limit| limit.burst), view.was_beyond()), (9, Some(2), false));
        assert_eq!((hour(2), view.was_beyond()), (5, true), "as the rule's own window");
        assert_eq!(view.limit("pdd"), None);
    }
}
