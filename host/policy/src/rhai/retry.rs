//! Retry classifiers: a failure as variables, a verdict as the last value.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, Position, Scope};
use tidegate_core::config::reader::Problem;
use tidegate_core::{Class, Failure, FailureKind, Fault, RetryPolicy, Verdict};

use super::Shared;
use super::engine::{Call, with_call};
use super::names::{CLASSES, Contract, KINDS};
use super::script::{Misstep, SAMPLE_DEADLINE, Script};
use crate::origin::Origin;

type Answer = Result<Verdict, Box<EvalAltResult>>;

/// The longest text of a failure that a script gets to see, in bytes.
const MAX_INPUT: usize = 8 * 1024;

/// A retry classifier.
pub struct RetryScript {
    script: Script,
    deadline: Duration,
}

impl RetryScript {
    /// Reads a classifier and tries it on samples.
    ///
    /// # Errors
    /// Every problem, at its place in the script.
    pub fn load(shared: Arc<Shared>, text: &str, origin: Origin) -> Result<Self, Vec<Problem>> {
        let deadline = shared.config.retry_deadline;
        let script = Script::parse(shared, text, origin, &Contract::retry())?;
        let loaded = Self { script, deadline };
        for (name, sample) in samples() {
            loaded.run(&sample, SAMPLE_DEADLINE).map_err(|misstep| vec![misstep.on_sample(name)])?;
        }
        Ok(loaded)
    }

    fn run(&self, failure: &Failure, deadline: Duration) -> Result<Verdict, Misstep> {
        let call = Call { headers: failure.headers.clone(), windows: vec![] };
        self.script.run(scope(failure), call, deadline, |value| {
            let found = value.type_name();
            value.try_cast::<Verdict>().ok_or_else(|| {
                format!("expected retry(…), give_up(…) or abstain() as the last value, not {}", named(found))
            })
        })
    }
}

impl RetryPolicy for RetryScript {
    fn classify(&self, failure: &Failure) -> Result<Verdict, Fault> {
        self.run(failure, self.deadline).map_err(|misstep| self.script.fault(misstep))
    }
}

/// How a value that is none of ours is called.
pub fn named(type_name: &str) -> &str {
    match type_name {
        "()" => "nothing",
        "string" => "a text",
        "bool" => "true or false",
        "i64" | "f64" => "a number",
        "array" => "a list",
        other => other,
    }
}

fn scope(failure: &Failure) -> Scope<'static> {
    let text = |text: &Option<String>| Dynamic::from(clip(text.as_deref().unwrap_or_default()).to_owned());
    let kind = match failure.kind {
        FailureKind::Timeout => KINDS[0],
        FailureKind::Connection => KINDS[1],
        FailureKind::Response => KINDS[2],
    };
    let mut scope = Scope::new();
    scope
        .push("platform", failure.platform.clone())
        .push("endpoint", clip(&failure.endpoint).to_owned())
        .push("kind", kind.to_owned())
        .push("attempt", f64::from(failure.attempt))
        .push("elapsed_ms", millis(failure.elapsed_ms))
        .push("status", f64::from(failure.status.unwrap_or(0)))
        .push_dynamic("code", text(&failure.code))
        .push_dynamic("sub_code", text(&failure.sub_code))
        .push_dynamic("message", text(&failure.message))
        .push("retry_after_ms", millis(failure.retry_after_ms.unwrap_or(0)));
    scope
}

#[allow(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
const fn millis(millis: u64) -> f64 {
    millis as f64
}

/// As much of a text as a script gets to see: a body of megabytes must not become a fault for its size.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_INPUT)]
}

/// The functions that classifiers call.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Verdict>("a verdict");
    register_verdict(engine, "retry", Verdict::retry);
    register_verdict(engine, "give_up", Verdict::give_up);
    engine
        .register_fn("retry", |class: &str, ms: f64| after(Verdict::retry(named_class(class)?), ms))
        .register_fn("retry", |class: &str, ms: i64| after(Verdict::retry(named_class(class)?), from_whole(ms)))
        .register_fn("retry", |class: &str, ms: f64, reason: &str| -> Answer {
            Ok(after(Verdict::retry(named_class(class)?), ms)?.because(clip(reason)))
        })
        .register_fn("retry", |class: &str, ms: i64, reason: &str| -> Answer {
            Ok(after(Verdict::retry(named_class(class)?), from_whole(ms))?.because(clip(reason)))
        })
        .register_fn("abstain", Verdict::abstain)
        .register_fn("abstain", |reason: &str| Verdict::abstain().because(clip(reason)))
        .register_fn("header", header)
        .register_fn("seconds_in", seconds_in);
}

fn register_verdict(engine: &mut Engine, name: &str, make: fn(Class) -> Verdict) {
    engine
        .register_fn(name, move |class: &str| -> Answer { Ok(make(named_class(class)?)) })
        .register_fn(name, move |class: &str, reason: &str| -> Answer {
            Ok(make(named_class(class)?).because(clip(reason)))
        });
}

fn named_class(name: &str) -> Result<Class, Box<EvalAltResult>> {
    let found = CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class);
    found.ok_or_else(|| mismatch("one of throttled, quota, transient, auth, permanent", &format!("{name:?}")))
}

/// The verdict with a least wait; 0, as an input without a value has it, asks for none.
fn after(verdict: Verdict, ms: f64) -> Answer {
    let wait = Duration::try_from_secs_f64(ms / 1_000.0);
    let wait = wait.map_err(|_| mismatch("a wait in milliseconds of at least 0", &ms.to_string()))?;
    Ok(if wait.is_zero() { verdict } else { verdict.after(wait) })
}

#[allow(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
const fn from_whole(ms: i64) -> f64 {
    ms as f64
}

fn mismatch(expected: &str, found: &str) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorMismatchOutputType(expected.to_owned(), found.to_owned(), Position::NONE))
}

/// The header of that name, whatever its case; empty where the answer had none.
fn header(name: &str) -> String {
    with_call(|call| {
        let found = call.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| clip(value).to_owned()).unwrap_or_default()
    })
}

/// The number before the first word that begins with `second`, as in "this ban will last for 41 more seconds"; 0
/// where there is none.
fn seconds_in(text: &str) -> f64 {
    let mut number = None;
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(|word| !word.is_empty()) {
        if let Some(seconds) = number.filter(|_| word.to_ascii_lowercase().starts_with("second")) {
            return seconds;
        }
        if !word.eq_ignore_ascii_case("more") {
            // `parse` knows "inf" and "nan" too.
            number = word.parse::<f64>().ok().filter(|_| word.starts_with(|c: char| c.is_ascii_digit()));
        }
    }
    0.0
}

/// Failures that every classifier must have an answer to.
fn samples() -> Vec<(&'static str, Failure)> {
    let answer = Failure {
        platform: "sample".into(),
        endpoint: "orders".into(),
        elapsed_ms: 120,
        status: Some(200),
        code: Some("7".into()),
        sub_code: Some("isv.sample".into()),
        message: Some("This ban will last for 3 more seconds".into()),
        headers: vec![("x-request-id".into(), "1".into())],
        retry_after_ms: Some(3_000),
        ..Failure::default()
    };
    let bare = |kind, status| Failure { kind, status, attempt: 2, ..answer.clone() };
    vec![
        ("an empty failure", Failure::default()),
        ("a timeout", Failure { kind: FailureKind::Timeout, ..Failure::default() }),
        ("a broken connection", Failure { kind: FailureKind::Connection, ..Failure::default() }),
        ("a failure of status 503", bare(FailureKind::Response, Some(503))),
        ("a failure of status 401", bare(FailureKind::Response, Some(401))),
        ("a failure with every field", answer),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_found_in_prose() {
        let rows = [
            ("This ban will last for 41 more seconds", 41.0),
            ("Api access frequency exceeds the limit. this ban will last 1 seconds", 1.0),
            ("retry in 2.5 seconds.", 2.5),
            ("wait 1 second", 1.0),
            ("code 7: wait 30 Seconds, not 60 seconds", 30.0),
            ("App Call Limited", 0.0),
            ("a second 5", 0.0),
            ("5 minutes and some seconds", 0.0),
            ("inf seconds", 0.0),
            ("-3 seconds", 3.0),
            ("", 0.0),
        ];
        for (text, expected) in rows {
            assert!((seconds_in(text) - expected).abs() < f64::EPSILON, "{text}: {}", seconds_in(text));
        }
    }
}
