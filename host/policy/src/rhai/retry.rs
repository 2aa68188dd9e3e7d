//! Retry policies: the variables describe a failure; the last value of the script is the verdict.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult};
use tidegate_core::config::ResolvedPolicyConfig;
use tidegate_core::config::reader::Diagnostic;
use tidegate_core::{Class, Failure, FailureKind, Fault, HostView, RetryPolicy, Verdict};

use super::EngineParts;
use super::common::{float, mismatch, string, truncate, type_label};
use super::contract::{CLASSES, Contract, FAILURE_KINDS};
use super::dates::{day_ends_in_ms, epoch_ms};
use super::run::CallContext;
use super::script::{SAMPLE_DEADLINE, Script, ScriptError};
use crate::origin::Origin;
use crate::samples;

type VerdictResult = Result<Verdict, Box<EvalAltResult>>;

/// A retry policy.
pub struct RetryScript(Script);

impl RetryScript {
    /// Parses and checks a retry policy, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load(
        parts: EngineParts<'_>,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<Self, Vec<Diagnostic>> {
        let loaded = Self(Script::parse(parts, text, origin, &Contract::retry(), config)?);
        for (name, sample) in samples() {
            let result = loaded.run(&sample, &samples::view(), Some(SAMPLE_DEADLINE));
            result.map_err(|error| vec![error.on_sample(name)])?;
        }
        Ok(loaded)
    }

    fn run(
        &self,
        failure: &Failure,
        view: &Arc<dyn HostView>,
        deadline: Option<Duration>,
    ) -> Result<Verdict, ScriptError> {
        let call = self.0.call_context(|needs| CallContext {
            headers: if needs.headers { failure.headers.clone() } else { vec![] },
            view: needs.view.then(|| (Arc::clone(view), failure.platform.clone(), None)),
            ..CallContext::default()
        });
        self.0.run(|index| input(failure, index), call, deadline, to_verdict)
    }
}

impl RetryPolicy for RetryScript {
    fn classify(&self, failure: &Failure, view: &Arc<dyn HostView>) -> Result<Verdict, Fault> {
        self.run(failure, view, None).map_err(|error| self.0.fault(error))
    }
}

/// Returns the value of the input at an index of the contract.
fn input(failure: &Failure, index: usize) -> Dynamic {
    let optional = |text: &Option<String>| string(text.as_deref().unwrap_or_default());
    let number = |integer: u64| Dynamic::from_float(float(integer));
    match index {
        0 => string(&failure.platform),
        1 => string(&failure.endpoint),
        2 => string(match failure.kind {
            FailureKind::Timeout => FAILURE_KINDS[0],
            FailureKind::Connection => FAILURE_KINDS[1],
            FailureKind::Response => FAILURE_KINDS[2],
        }),
        3 => optional(&failure.code),
        4 => optional(&failure.sub_code),
        5 => optional(&failure.message),
        6 => number(failure.attempt.into()),
        7 => number(failure.elapsed_ms),
        8 => number(failure.at_ms),
        9 => number(failure.status.unwrap_or(0).into()),
        _ => number(failure.retry_after_ms.unwrap_or(0)),
    }
}

/// Converts the last value of the script.
fn to_verdict(value: Dynamic) -> Result<Verdict, String> {
    let type_name = value.type_name();
    value.try_cast::<Verdict>().ok_or_else(|| {
        format!("expected retry(…), give_up(…) or abstain() as the last value, found {}", type_label(type_name))
    })
}

/// Registers the functions of retry policies with an engine.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Verdict>("a verdict");
    register_verdict(engine, "retry", Verdict::retry);
    register_verdict(engine, "give_up", Verdict::give_up);
    engine
        .register_fn("abstain", Verdict::abstain)
        .register_fn("abstain", |reason: &str| Verdict::abstain().with_reason(truncate(reason)))
        .register_fn("seconds_in", seconds_in)
        .register_fn("epoch_ms", epoch_ms)
        .register_fn("day_ends_in_ms", day_ends_in_ms);
}

fn register_verdict(engine: &mut Engine, name: &str, create: fn(Class) -> Verdict) {
    let of = move |class: &str| -> VerdictResult { Ok(create(parse_class(class)?)) };
    engine
        .register_fn(name, of)
        .register_fn(name, move |class: &str, reason: &str| -> VerdictResult {
            Ok(of(class)?.with_reason(truncate(reason)))
        })
        .register_fn(name, move |class: &str, ms: f64| with_wait(of(class)?, ms))
        .register_fn(name, move |class: &str, ms: i64| with_wait(of(class)?, signed_float(ms)))
        .register_fn(name, move |class: &str, ms: f64, reason: &str| -> VerdictResult {
            Ok(with_wait(of(class)?, ms)?.with_reason(truncate(reason)))
        })
        .register_fn(name, move |class: &str, ms: i64, reason: &str| -> VerdictResult {
            Ok(with_wait(of(class)?, signed_float(ms))?.with_reason(truncate(reason)))
        });
}

fn parse_class(name: &str) -> Result<Class, Box<EvalAltResult>> {
    let class = CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class);
    class.ok_or_else(|| mismatch("one of throttled, quota, transient, auth, permanent", &format!("{name:?}")))
}

/// Adds a minimum wait to the verdict. 0 adds none, because an input without a value is 0.
fn with_wait(verdict: Verdict, ms: f64) -> VerdictResult {
    // Whole milliseconds are converted exactly: a float of seconds loses precision beyond 2^53 ns.
    let fraction = Duration::try_from_secs_f64(ms.fract() / 1_000.0);
    let wait = fraction.ok().and_then(|fraction| Duration::from_millis(integer_part(ms)?).checked_add(fraction));
    let wait = wait.ok_or_else(|| mismatch("a wait of at least 0 milliseconds", &ms.to_string()))?;
    Ok(if wait.is_zero() { verdict } else { verdict.with_delay(wait) })
}

/// Returns the integer part of a number from 0 to `u64::MAX`.
fn integer_part(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked before the cast")]
    (0.0..=u64::MAX as f64).contains(&number).then_some(number as u64)
}

#[allow(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
const fn signed_float(integer: i64) -> f64 {
    integer as f64
}

/// Returns the first number before a word that starts with `second`, as in "this ban will last for 41 more seconds"; 0
/// if there is none.
fn seconds_in(text: &str) -> f64 {
    const UNIT: &[u8] = b"second";
    let (bytes, mut start) = (text.as_bytes(), 0);
    // Most messages contain no wait, and some are long, so the search skips to the next `s`.
    while let Some(offset) = memchr::memchr2(b's', b'S', &bytes[start..]) {
        let at = start + offset;
        start = at + 1;
        let is_unit = bytes[at..].get(..UNIT.len()).is_some_and(|word| word.eq_ignore_ascii_case(UNIT));
        if is_unit
            && (at == 0 || !is_word_byte(bytes[at - 1]))
            && let Some(seconds) = number_before(&text[..at])
        {
            return seconds;
        }
    }
    0.0
}

/// Returns the number that is the last word of the text, not counting the word `more`.
fn number_before(text: &str) -> Option<f64> {
    let mut words = text.rsplit(|c: char| !c.is_ascii() || !is_word_byte(c as u8)).filter(|word| !word.is_empty());
    let word = words.find(|word| !word.eq_ignore_ascii_case("more"))?;
    // `parse` also accepts "inf" and "nan".
    word.parse().ok().filter(|_| word.starts_with(|c: char| c.is_ascii_digit()))
}

const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.'
}

/// Returns the failures for which every retry policy must return a verdict.
fn samples() -> Vec<(&'static str, Failure)> {
    let full = Failure {
        platform: "sample".into(),
        endpoint: "orders".into(),
        elapsed_ms: 120,
        at_ms: 1_763_913_600_000,
        status: Some(200),
        code: Some("7".into()),
        sub_code: Some("isv.sample".into()),
        message: Some("This ban will last for 3 more seconds".into()),
        headers: vec![("x-request-id".into(), "1".into())],
        retry_after_ms: Some(3_000),
        ..Failure::default()
    };
    let with_status = |status| Failure { status: Some(status), attempt: 2, ..full.clone() };
    vec![
        ("an empty failure", Failure::default()),
        ("a timeout", Failure { kind: FailureKind::Timeout, ..Failure::default() }),
        ("a broken connection", Failure { kind: FailureKind::Connection, ..Failure::default() }),
        ("a failure with status 503", with_status(503)),
        ("a failure with status 401", with_status(401)),
        ("a failure with every field", full),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_in_seconds_is_found_in_a_message() {
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
