//! Parses lines of the decision log.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_core::{Admission, AlertVerdict, FaultKind, LimitStatus, Snapshot, Stats, Verdict};
use tidegate_policy::PolicyKind;

use crate::cases::{AlertInput, CaseInput, FixedView};
use crate::json::{self, UniqueKeys, read_value};

/// The file that contains the alert rules.
pub const RULES_FILE: &str = "alerts.toml";

/// A recorded decision.
pub struct DecisionLine {
    /// The path of the policy in the policy directory, such as `retry/taobao.rhai`.
    pub policy: String,
    /// The name of the rule, for rules of `alerts.toml`.
    pub rule: Option<String>,
    /// The input of the policy.
    pub input: CaseInput,
    /// The same input as the JSON of the line.
    pub input_json: Value,
    /// The windows and limits that the policy read.
    pub view: Arc<FixedView>,
    /// The recorded verdict or fault, in the JSON form of test cases.
    pub verdict: Value,
}

/// The fields of a line that a replay needs.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct RawDecisionLine {
    kind: PolicyKind,
    policy: String,
    rule: Option<String>,
    input: Value,
    #[serde(default)]
    windows: BTreeMap<String, Stats>,
    #[serde(default)]
    limits: BTreeMap<String, LimitStatus>,
    verdict: Option<Value>,
    fault: Option<RecordedFault>,
}

#[derive(Deserialize)]
struct RecordedFault {
    kind: FaultKind,
    #[serde(default)]
    message: String,
}

/// Why a line is not a valid decision.
#[derive(Debug)]
pub struct LineError {
    /// The column of the error, if it is known.
    column: Option<usize>,
    message: String,
}

impl LineError {
    /// Returns `FILE:LINE:COLUMN: message`, or `FILE:LINE: message` if the column is not known.
    pub fn with_location(&self, file: &str, line: u64) -> String {
        let column = self.column.map(|column| format!(":{column}")).unwrap_or_default();
        format!("{file}:{line}{column}: {}", self.message)
    }
}

impl From<String> for LineError {
    fn from(message: String) -> Self {
        Self { column: None, message }
    }
}

impl From<serde_json::Error> for LineError {
    fn from(error: serde_json::Error) -> Self {
        Self { column: Some(error.column()), message: json::message(&error) }
    }
}

impl DecisionLine {
    /// Parses a line.
    ///
    /// # Errors
    /// Returns an error that says what was expected.
    pub fn parse(bytes: &[u8]) -> Result<Self, LineError> {
        let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or_default();
        if bytes.get(start) != Some(&b'{') {
            return Err(LineError { column: Some(start + 1), message: "expected a JSON object".to_owned() });
        }
        let UniqueKeys(line) = serde_json::from_slice(bytes)?;
        let raw: RawDecisionLine = read_value(line).map_err(|error| error.to_string())?;
        let input_json = raw.input.clone();
        let (input, default_window) = match raw.kind {
            PolicyKind::Retry => (CaseInput::Failure(from_json("input", raw.input)?), Stats::default()),
            PolicyKind::Admit => (CaseInput::Request(from_json("input", raw.input)?), Stats::default()),
            PolicyKind::Alert => {
                let snapshot: Snapshot = from_json("input", raw.input)?;
                let stats = snapshot.stats.clone();
                (CaseInput::Alert(AlertInput { snapshot, windows: BTreeMap::new() }), stats)
            }
        };
        let verdict = verdict_json(raw.kind, raw.verdict, raw.fault)?;
        let view = Arc::new(FixedView::new(raw.windows, raw.limits, default_window)?);
        check_policy_path(&raw.policy, raw.kind)?;
        Ok(Self { policy: raw.policy, rule: raw.rule, input, input_json, view, verdict })
    }
}

/// Returns the verdict or fault in the JSON form of test cases.
fn verdict_json(kind: PolicyKind, verdict: Option<Value>, fault: Option<RecordedFault>) -> Result<Value, String> {
    match (kind, verdict, fault) {
        (_, None, Some(fault)) => Ok(json!({ "fault": fault.kind, "message": fault.message })),
        (PolicyKind::Retry, Some(verdict), None) => validated::<Verdict>(verdict),
        (PolicyKind::Alert, Some(verdict), None) => validated::<AlertVerdict>(verdict),
        (PolicyKind::Admit, Some(verdict), None) => validated::<Admission>(verdict),
        _ => Err("expected either `verdict` or `fault`".to_owned()),
    }
}

/// Returns an error if the value is not a valid verdict.
fn validated<T: DeserializeOwned + Serialize>(verdict: Value) -> Result<Value, String> {
    let verdict: T = from_json("verdict", verdict)?;
    serde_json::to_value(verdict).map_err(|error| error.to_string())
}

fn from_json<T: DeserializeOwned>(field: &str, value: Value) -> Result<T, String> {
    read_value(value).map_err(|error| error.within(field.to_owned()).to_string())
}

/// Returns an error unless the path has the form that the log writes. The path names a file that a replay opens, so it
/// must not lead out of the policy directory.
fn check_policy_path(policy: &str, kind: PolicyKind) -> Result<(), String> {
    let folder = kind.folder();
    let name = policy.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
    let is_valid = |name: &str| {
        let is_policy = name.ends_with(".rhai") || name.ends_with(".wasm");
        is_policy && !name.starts_with('.') && !name.contains(['/', '\\', ':'])
    };
    if name.is_some_and(is_valid) || matches!(kind, PolicyKind::Alert) && policy == RULES_FILE {
        return Ok(());
    }
    Err(format!("policy: expected a file such as \"{folder}/jd.rhai\", found {policy:?}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_core::HostView;

    use super::*;

    fn parse_error(line: &str) -> String {
        let error = DecisionLine::parse(line.as_bytes()).err().unwrap_or_else(|| panic!("{line} was accepted"));
        error.with_location("log", 7)
    }

    #[test]
    fn invalid_lines_are_rejected_with_what_was_expected() {
        let verdict = r#""verdict":{"action":"default"}"#;
        let of = |policy: &str| format!(r#"{{"kind":"retry","policy":"{policy}","input":{{}},{verdict}}}"#);
        assert!(DecisionLine::parse(of("retry/jd.rhai").as_bytes()).is_ok());
        for policy in
            ["retry/../jd.rhai", "/etc/passwd", "retry/.rhai", "retry/a/b.rhai", "alerts.toml", "admit/jd.rhai"]
        {
            let expected = format!("log:7: policy: expected a file such as \"retry/jd.rhai\", found {policy:?}");
            assert_eq!(parse_error(&of(policy)), expected);
        }
        let rows = [
            ("{\"kind\":\"re", "log:7:11: EOF while parsing a string"),
            ("[]", "log:7:1: expected a JSON object"),
            (" x", "log:7:2: expected a JSON object"),
            (r#"{"kind":x}"#, "log:7:9: expected a JSON value"),
            (r#"{"kind":"retry","policy":"retry/jd.rhai","input":{}}"#, "expected either `verdict` or `fault`"),
            (r#"{"kind":"alarm"}"#, "log:7: kind: unknown value `alarm`, expected one of `retry`, "),
            (r#"{"kind":"retry","kind":"alert"}"#, "log:7:22: `kind` occurs twice"),
            (r#"{"kind":"retry"}"#, "log:7: missing field `policy`"),
            (&of("retry/jd.rhai").replace("{}", r#"{"cod":"7"}"#), "input: unknown field `cod`"),
            (&of("retry/jd.rhai").replace("default", "rety"), "verdict.action: unknown value `rety`"),
            (
                &of("retry/jd.rhai").replace("\"input\"", r#""windows":{"soon":{}},"input""#),
                "windows: expected a duration",
            ),
        ];
        for (line, expected) in rows {
            assert!(parse_error(line).contains(expected), "{line}: {}", parse_error(line));
        }
    }

    #[test]
    fn policy_reads_recorded_windows_and_a_missing_window_is_noted() {
        let line = r#"{"kind":"alert","policy":"alerts.toml","rule":"r","input":{"platform":"jd","count":5},
                       "windows":{"1h":{"count":9}},"limits":{"jd":{"available":1,"burst":2,"rate":"1/s","full_in_ms":3}},
                       "verdict":{"state":"quiet"}}"#;
        let view = DecisionLine::parse(line.as_bytes()).unwrap().view;
        let hour = |hours: u64| view.window("jd", None, Duration::from_secs(3_600 * hours)).count;
        assert_eq!((hour(1), view.limit("jd").map(|limit| limit.burst), view.has_missing_read()), (9, Some(2), false));
        assert_eq!((hour(2), view.has_missing_read()), (5, true), "other windows equal the rule's own window");
        assert_eq!(view.limit("pdd"), None);
    }
}
