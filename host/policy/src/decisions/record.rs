//! One decision, and the line that it becomes.

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tidegate_core::{Admission, AlertVerdict, Failure, Fault, Request, Snapshot, Verdict};

use super::mask::mask;
use super::witness::Looked;

/// Who decided.
#[derive(Clone, Debug)]
pub struct Author {
    /// The file, within the directory.
    pub path: Arc<str>,
    /// The rule, where its condition stands in `alerts.toml` itself.
    pub rule: Option<Arc<str>>,
    /// The generation in which this version came.
    pub generation: u64,
}

/// What was asked and what was answered.
#[derive(Debug)]
pub enum Decision {
    Retry(Failure, Result<Verdict, Fault>),
    Alert(Snapshot, Result<AlertVerdict, Fault>),
    Admit(Request, Result<Admission, Fault>),
}

/// One decision as it waits for the writer.
#[derive(Debug)]
pub struct Record {
    pub at_ms: u64,
    pub author: Author,
    pub decision: Decision,
    pub looked: Looked,
    pub took_ns: u64,
}

/// The line; its fields are what cases name so.
#[derive(Serialize)]
struct Line<'a> {
    at_ms: u64,
    kind: &'static str,
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    generation: u64,
    input: Value,
    #[serde(flatten)]
    looked: &'a Looked,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Misbehaviour<'a>>,
    took_ns: u64,
}

#[derive(Serialize)]
struct Misbehaviour<'a> {
    kind: &'static str,
    message: &'a str,
}

impl Record {
    /// Writes it as a line of JSON, without secrets.
    ///
    /// # Errors
    /// Where a value cannot be told in JSON.
    pub fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let (kind, input, answer) = match &self.decision {
            Decision::Retry(failure, answer) => ("retry", tabled(failure, &failure.headers)?, told(answer)?),
            Decision::Alert(snapshot, answer) => ("alert", serde_json::to_value(snapshot)?, told(answer)?),
            Decision::Admit(request, answer) => ("admit", tabled(request, &request.headers)?, told(answer)?),
        };
        let (verdict, fault) = match answer {
            Ok(verdict) => (Some(clean(verdict)), None),
            Err(fault) => (None, Some(Misbehaviour { kind: fault.kind.name(), message: &fault.message })),
        };
        let line = Line {
            at_ms: self.at_ms,
            kind,
            policy: &self.author.path,
            rule: self.author.rule.as_deref(),
            generation: self.author.generation,
            input: clean(input),
            looked: &self.looked,
            verdict,
            fault,
            took_ns: self.took_ns,
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n").map_err(serde_json::Error::io)
    }
}

fn told<T: Serialize>(answer: &Result<T, Fault>) -> serde_json::Result<Result<Value, &Fault>> {
    answer.as_ref().map_or_else(|fault| Ok(Err(fault)), |verdict| serde_json::to_value(verdict).map(Ok))
}

/// An input whose headers are a table, as in cases; of a name that comes twice policies see the first.
fn tabled(input: &impl Serialize, headers: &[(String, String)]) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(input)?;
    let table = headers.iter().rev().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    value["headers"] = table.collect();
    Ok(value)
}

/// Without secrets, and without what says nothing.
fn clean(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        fields.retain(|_, value| !empty(value));
    }
    mask(&mut value);
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_core::FaultKind;

    use super::*;

    fn line(decision: Decision) -> Value {
        let author = Author { path: "retry/jd.rhai".into(), rule: None, generation: 3 };
        let record = Record { at_ms: 5, author, decision, looked: Looked::default(), took_ns: 7 };
        let mut out = Vec::new();
        record.write(&mut out).unwrap();
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1, "a line is one line");
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_failure_is_told_as_cases_tell_it() {
        let headers = [("x-b", "1\n"), ("x-a", "2"), ("x-b", "3")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let failure = Failure { platform: "jd".into(), code: Some("7".into()), headers, ..Failure::default() };
        let verdict = Verdict::retry(tidegate_core::Class::Quota).because("the day");
        let expected = json!({
            "at_ms": 5, "kind": "retry", "policy": "retry/jd.rhai", "generation": 3,
            "input": {
                "platform": "jd", "endpoint": "", "kind": "response", "attempt": 1, "elapsed_ms": 0, "at_ms": 0,
                "code": "7", "headers": { "x-a": "2", "x-b": "1\n" },
            },
            "verdict": { "action": "retry", "class": "quota", "reason": "the day" },
            "took_ns": 7,
        });
        assert_eq!(line(Decision::Retry(failure, Ok(verdict))), expected);
    }

    #[test]
    fn a_fault_stands_in_the_place_of_a_verdict() {
        let fault = Fault::new(FaultKind::Trap, "on purpose");
        let told = line(Decision::Alert(Snapshot::default(), Err(fault)));
        assert_eq!(told["fault"], json!({ "kind": "trap", "message": "on purpose" }));
        assert_eq!((&told["kind"], told.get("verdict")), (&json!("alert"), None));
    }

    #[test]
    fn what_a_caller_should_not_have_sent_is_not_written() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![pair("authorization", "Bearer hunter2"), pair("x-shop", "7")];
        let labels = [pair("seller", "7"), pair("access_token", "hunter2")].into();
        let scope = [pair("app_secret", "hunter2")].into();
        let request = Request { headers, labels, ..Request::default() };
        let told = line(Decision::Admit(request, Ok(Admission::Allow { cost: 2, scope })));
        assert_eq!(told["input"]["headers"], json!({ "authorization": "***", "x-shop": "7" }));
        assert_eq!(told["input"]["labels"], json!({ "seller": "7", "access_token": "***" }));
        assert_eq!(told["verdict"], json!({ "action": "allow", "cost": 2, "scope": { "app_secret": "***" } }));
    }
}
