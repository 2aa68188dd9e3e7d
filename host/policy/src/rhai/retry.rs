//! Retry classifiers: a failure as variables, a verdict as the last value.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult};
use tidegate_core::config::Terms;
use tidegate_core::config::reader::Problem;
use tidegate_core::{Class, Failure, FailureKind, Fault, RetryPolicy, Verdict, View};

use super::Tools;
use super::common::{clip, mismatch, named, number, text};
use super::dates::{day_ends_in_ms, epoch_ms};
use super::names::{CLASSES, Contract, KINDS};
use super::run::Call;
use super::script::{Misstep, SAMPLE_DEADLINE, Script};
use crate::origin::Origin;
use crate::samples;

type Answer = Result<Verdict, Box<EvalAltResult>>;

/// A retry classifier.
pub struct RetryScript(Script);

impl RetryScript {
    /// Reads a classifier and tries it on samples.
    ///
    /// # Errors
    /// Every problem, at its place in the script.
    pub fn load(tools: Tools<'_>, text: &str, origin: Origin, terms: &Terms) -> Result<Self, Vec<Problem>> {
        let loaded = Self(Script::parse(tools, text, origin, &Contract::retry(), terms)?);
        for (name, sample) in samples() {
            let answer = loaded.run(&sample, &samples::view(), Some(SAMPLE_DEADLINE));
            answer.map_err(|misstep| vec![misstep.on_sample(name)])?;
        }
        Ok(loaded)
    }

    fn run(&self, failure: &Failure, view: &Arc<dyn View>, deadline: Option<Duration>) -> Result<Verdict, Misstep> {
        let call = self.0.call(|needs| Call {
            headers: if needs.headers { failure.headers.clone() } else { vec![] },
            sight: needs.sight.then(|| (Arc::clone(view), failure.platform.clone(), None)),
            ..Call::default()
        });
        self.0.run(
            |at| input(failure, at),
            call,
            deadline,
            |value| {
                let found = value.type_name();
                value.try_cast::<Verdict>().ok_or_else(|| {
                    format!("expected retry(…), give_up(…) or abstain() as the last value, not {}", named(found))
                })
            },
        )
    }
}

impl RetryPolicy for RetryScript {
    fn classify(&self, failure: &Failure, view: &Arc<dyn View>) -> Result<Verdict, Fault> {
        self.run(failure, view, None).map_err(|misstep| self.0.fault(misstep))
    }
}

/// The input at a place of the contract.
fn input(failure: &Failure, at: usize) -> Dynamic {
    let given = |given: &Option<String>| text(given.as_deref().unwrap_or_default());
    let whole = |whole: u64| Dynamic::from_float(number(whole));
    match at {
        0 => text(&failure.platform),
        1 => text(&failure.endpoint),
        2 => text(match failure.kind {
            FailureKind::Timeout => KINDS[0],
            FailureKind::Connection => KINDS[1],
            FailureKind::Response => KINDS[2],
        }),
        3 => given(&failure.code),
        4 => given(&failure.sub_code),
        5 => given(&failure.message),
        6 => whole(failure.attempt.into()),
        7 => whole(failure.elapsed_ms),
        8 => whole(failure.at_ms),
        9 => whole(failure.status.unwrap_or(0).into()),
        _ => whole(failure.retry_after_ms.unwrap_or(0)),
    }
}

/// The functions that classifiers call.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Verdict>("a verdict");
    register_verdict(engine, "retry", Verdict::retry);
    register_verdict(engine, "give_up", Verdict::give_up);
    engine
        .register_fn("abstain", Verdict::abstain)
        .register_fn("abstain", |reason: &str| Verdict::abstain().because(clip(reason)))
        .register_fn("seconds_in", seconds_in)
        .register_fn("epoch_ms", epoch_ms)
        .register_fn("day_ends_in_ms", day_ends_in_ms);
}

fn register_verdict(engine: &mut Engine, name: &str, make: fn(Class) -> Verdict) {
    let of = move |class: &str| -> Answer { Ok(make(named_class(class)?)) };
    engine
        .register_fn(name, of)
        .register_fn(name, move |class: &str, reason: &str| -> Answer { Ok(of(class)?.because(clip(reason))) })
        .register_fn(name, move |class: &str, ms: f64| after(of(class)?, ms))
        .register_fn(name, move |class: &str, ms: i64| after(of(class)?, from_whole(ms)))
        .register_fn(name, move |class: &str, ms: f64, reason: &str| -> Answer {
            Ok(after(of(class)?, ms)?.because(clip(reason)))
        })
        .register_fn(name, move |class: &str, ms: i64, reason: &str| -> Answer {
            Ok(after(of(class)?, from_whole(ms))?.because(clip(reason)))
        });
}

fn named_class(name: &str) -> Result<Class, Box<EvalAltResult>> {
    let found = CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class);
    found.ok_or_else(|| mismatch("one of throttled, quota, transient, auth, permanent", &format!("{name:?}")))
}

/// The verdict with a least wait; 0, as an input without a value has it, asks for none.
fn after(verdict: Verdict, ms: f64) -> Answer {
    // Whole milliseconds stay exact: seconds as a float lose some beyond 2^53 ns.
    let rest = Duration::try_from_secs_f64(ms.fract() / 1_000.0);
    let wait = rest.ok().and_then(|rest| Duration::from_millis(whole(ms)?).checked_add(rest));
    let wait = wait.ok_or_else(|| mismatch("a wait in milliseconds of at least 0", &ms.to_string()))?;
    Ok(if wait.is_zero() { verdict } else { verdict.after(wait) })
}

/// The whole part, of what is 0 or more and no more than fits.
fn whole(ms: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is looked at first")]
    (0.0..=u64::MAX as f64).contains(&ms).then_some(ms as u64)
}

#[allow(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
const fn from_whole(ms: i64) -> f64 {
    ms as f64
}

/// The number before the first word that begins with `second`, as in "this ban will last for 41 more seconds"; 0
/// where there is none.
fn seconds_in(text: &str) -> f64 {
    const UNIT: &[u8] = b"second";
    let (bytes, mut from) = (text.as_bytes(), 0);
    // Most messages name no wait, and some are long: only what begins as the unit is looked at.
    while let Some(found) = memchr::memchr2(b's', b'S', &bytes[from..]) {
        let at = from + found;
        from = at + 1;
        let is_unit = bytes[at..].get(..UNIT.len()).is_some_and(|word| word.eq_ignore_ascii_case(UNIT));
        if is_unit
            && (at == 0 || !in_word(bytes[at - 1]))
            && let Some(seconds) = number_before(&text[..at])
        {
            return seconds;
        }
    }
    0.0
}

/// The number that is the last word, `more` aside.
fn number_before(text: &str) -> Option<f64> {
    let mut words = text.rsplit(|c: char| !c.is_ascii() || !in_word(c as u8)).filter(|word| !word.is_empty());
    let word = words.find(|word| !word.eq_ignore_ascii_case("more"))?;
    // `parse` knows "inf" and "nan" too.
    word.parse().ok().filter(|_| word.starts_with(|c: char| c.is_ascii_digit()))
}

const fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.'
}

/// Failures that every classifier must have an answer to.
fn samples() -> Vec<(&'static str, Failure)> {
    let answer = Failure {
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
