//! The functions of retry policies.

use std::time::Duration;

use rhai::{Engine, EvalAltResult};
use tidegate_core::{Class, Verdict};

use super::dates::{day_ends_in_ms, epoch_ms};
use crate::rhai::values::{mismatch, truncate};

type VerdictResult = Result<Verdict, Box<EvalAltResult>>;

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
    name.parse().map_err(|_| mismatch(&format!("one of {}", Class::NAMES.join(", ")), &format!("{name:?}")))
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
/// if there is none. A larger number than a verdict can have becomes the largest one: the message of a platform must
/// not cause a fault.
fn seconds_in(text: &str) -> f64 {
    /// 300 million years.
    const MAX: f64 = 1e16;
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
            return f64::min(seconds, MAX);
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
            ("99999999999999999999999999999999999999999 more seconds", 1e16),
            ("-3 seconds", 3.0),
            ("", 0.0),
        ];
        for (text, expected) in rows {
            assert!((seconds_in(text) - expected).abs() < f64::EPSILON, "{text}: {}", seconds_in(text));
            assert!(with_wait(Verdict::retry(Class::Throttled), seconds_in(text) * 1_000.0).is_ok(), "{text}");
        }
    }
}
