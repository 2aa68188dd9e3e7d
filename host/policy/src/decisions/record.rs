//! A decision and its line in the log.

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tidegate_core::{Admission, AlertVerdict, Failure, Fault, FaultKind, Request, Snapshot, Verdict};

use super::mask::Masker;
use super::recording_view::ViewReads;

/// The policy version that made a decision.
#[derive(Clone, Debug)]
pub struct PolicyId {
    /// The file's path within the directory.
    pub path: Arc<str>,
    /// The rule, if its condition is inline in `alerts.toml`.
    pub rule: Option<Arc<str>>,
    /// The generation in which this version became active.
    pub generation: u64,
}

/// The input of a policy and its result.
#[derive(Debug)]
pub enum LoggedDecision {
    Retry(Failure, Result<Verdict, Fault>),
    Alert(Snapshot, Result<AlertVerdict, Fault>),
    Admit(Request, Result<Admission, Fault>),
}

/// A decision that waits for the writer.
#[derive(Debug)]
pub struct DecisionRecord {
    pub at_ms: u64,
    pub id: PolicyId,
    pub decision: LoggedDecision,
    pub reads: ViewReads,
    pub took_ns: u64,
}

/// A line of the log. Its fields have the same names as in case files.
#[derive(Serialize)]
struct LogLine<'a> {
    at_ms: u64,
    kind: &'static str,
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    generation: u64,
    input: Value,
    #[serde(flatten)]
    reads: &'a ViewReads,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<LoggedFault>,
    took_ns: u64,
}

#[derive(Serialize)]
struct LoggedFault {
    kind: FaultKind,
    message: String,
}

impl DecisionRecord {
    /// Writes the decision as a line of JSON without secrets.
    ///
    /// # Errors
    /// Returns an error if a value has no JSON form.
    pub fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let (kind, input, result) = match &self.decision {
            LoggedDecision::Retry(failure, result) => {
                ("retry", with_header_table(failure, &failure.headers)?, result_json(result)?)
            }
            LoggedDecision::Alert(snapshot, result) => ("alert", serde_json::to_value(snapshot)?, result_json(result)?),
            LoggedDecision::Admit(request, result) => {
                ("admit", with_header_table(request, &request.headers)?, result_json(result)?)
            }
        };
        // A policy can repeat a part of its input, such as the value of a header, in its reason.
        let mut masker = Masker::default();
        let mut input = clean(input, &mut masker);
        masker.mask_repeated(&mut input);
        let (verdict, fault) = match result {
            Ok(verdict) => {
                let mut verdict = clean(verdict, &mut masker);
                masker.mask_repeated(&mut verdict);
                (Some(verdict), None)
            }
            Err(fault) => {
                let message = masker.without_repeated(&fault.message);
                (None, Some(LoggedFault { kind: fault.kind, message }))
            }
        };
        let line = LogLine {
            at_ms: self.at_ms,
            kind,
            policy: &self.id.path,
            rule: self.id.rule.as_deref(),
            generation: self.id.generation,
            input,
            reads: &self.reads,
            verdict,
            fault,
            took_ns: self.took_ns,
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n").map_err(serde_json::Error::io)
    }
}

fn result_json<T: Serialize>(result: &Result<T, Fault>) -> serde_json::Result<Result<Value, &Fault>> {
    result.as_ref().map_or_else(|fault| Ok(Err(fault)), |verdict| serde_json::to_value(verdict).map(Ok))
}

/// Returns an input with its headers as a table, as in case files. If a name occurs twice, the table has the first
/// value, which is the one that policies receive.
fn with_header_table(input: &impl Serialize, headers: &[(String, String)]) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(input)?;
    let table = headers.iter().rev().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    value["headers"] = table.collect();
    Ok(value)
}

/// Removes null and empty fields, and masks secrets.
fn clean(mut value: Value, masker: &mut Masker) -> Value {
    if let Value::Object(fields) = &mut value {
        let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        fields.retain(|_, value| !is_empty(value));
    }
    masker.mask(&mut value);
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(decision: LoggedDecision) -> Value {
        let id = PolicyId { path: "retry/jd.rhai".into(), rule: None, generation: 3 };
        let record = DecisionRecord { at_ms: 5, id, decision, reads: ViewReads::default(), took_ns: 7 };
        let mut out = Vec::new();
        record.write(&mut out).unwrap();
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1, "one decision is one line");
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn failure_has_the_form_of_case_files() {
        let headers = [("x-b", "1\n"), ("x-a", "2"), ("x-b", "3")];
        let failure = Failure::default().with_platform("jd").with_code("7").with_headers(headers);
        let verdict = Verdict::retry(tidegate_core::Class::Quota).with_reason("the day");
        let expected = json!({
            "at_ms": 5, "kind": "retry", "policy": "retry/jd.rhai", "generation": 3,
            "input": {
                "platform": "jd", "endpoint": "", "kind": "response", "attempt": 1, "elapsed_ms": 0, "at_ms": 0,
                "code": "7", "headers": { "x-a": "2", "x-b": "1\n" },
            },
            "verdict": { "action": "retry", "class": "quota", "reason": "the day" },
            "took_ns": 7,
        });
        assert_eq!(line(LoggedDecision::Retry(failure, Ok(verdict))), expected);
    }

    #[test]
    fn body_is_logged_with_masked_secrets() {
        let body = |text: &str| {
            let failure = Failure::default().with_body(text.as_bytes());
            line(LoggedDecision::Retry(failure, Ok(Verdict::abstain())))["input"]["body"].clone()
        };
        assert_eq!(body("{ \"code\": 7 }\n"), json!("{ \"code\": 7 }\n"));
        assert_eq!(body(r#"{"code":7,"token":"s3"}"#), json!(r#"{"code":7,"token":"***"}"#));
        assert_eq!(body("no JSON"), json!("no JSON"));
    }

    #[test]
    fn fault_replaces_the_verdict() {
        let fault = Fault::new(FaultKind::Trap, "on purpose");
        let line = line(LoggedDecision::Alert(Snapshot::default(), Err(fault)));
        assert_eq!(line["fault"], json!({ "kind": "trap", "message": "on purpose" }));
        assert_eq!((&line["kind"], line.get("verdict")), (&json!("alert"), None));
    }

    #[test]
    fn secrets_in_requests_and_verdicts_are_masked() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![pair("authorization", "Bearer hunter2"), pair("x-shop", "7")];
        let labels = [pair("seller", "7"), pair("access_token", "hunter2")];
        let scope = [pair("app_secret", "hunter2")].into();
        let request = Request::default().with_headers(headers).with_labels(labels);
        let line = line(LoggedDecision::Admit(request, Ok(Admission::Allow { cost: 2, scope })));
        assert_eq!(line["input"]["headers"], json!({ "authorization": "***", "x-shop": "7" }));
        assert_eq!(line["input"]["labels"], json!({ "seller": "7", "access_token": "***" }));
        assert_eq!(line["verdict"], json!({ "action": "allow", "cost": 2, "scope": { "app_secret": "***" } }));
    }

    #[test]
    fn secrets_that_a_policy_repeats_are_masked() {
        let headers = || vec![("Authorization".to_owned(), "Bearer hunter2".to_owned()), ("x-shop".into(), "7".into())];
        let mut request = Request::default();
        (request.platform, request.headers) = ("hunter2".to_owned(), headers());
        let denied = Admission::deny("unknown: Bearer hunter2, hunter2, 7", 403);
        let denied = line(LoggedDecision::Admit(request, Ok(denied)));
        assert_eq!(denied["verdict"]["reason"], json!("unknown: Bearer ***, ***, 7"));
        assert_eq!(denied["input"]["platform"], json!("hunter2"), "a replay needs identifiers as they are");
        let failure = || {
            let mut failure = Failure::default();
            (failure.headers, failure.message) = (headers(), Some("no user hunter2".to_owned()));
            failure
        };
        let verdict = Verdict::retry(tidegate_core::Class::Quota).with_reason("for hunter2");
        let retried = line(LoggedDecision::Retry(failure(), Ok(verdict)));
        assert_eq!(retried["verdict"], json!({ "action": "retry", "class": "quota", "reason": "for ***" }));
        assert_eq!(retried["input"]["message"], json!("no user ***"));
        let fault = Fault::new(FaultKind::Trap, "cannot parse hunter2");
        let faulted = line(LoggedDecision::Retry(failure(), Err(fault)));
        assert_eq!(faulted["fault"]["message"], json!("cannot parse ***"));
    }
}
