//! The functions that several kinds of scripts can call: metrics, limits, settings, the log and headers.

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};
use tidegate_core::clock::millis;
use tidegate_core::config::Setting;
use tidegate_core::units::parse_duration;
use tidegate_core::{LimitStatus, Stats};

use super::contract::STATS;
use super::messages::host_error;
use super::run::{log, query_view, with_call};

/// The maximum size of an input string that a script receives, in bytes.
const MAX_INPUT_SIZE: usize = 8 * 1024;

/// Truncates a string to the size that a script receives, so that a response body of megabytes does not make the
/// script fail because of its size.
pub fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_INPUT_SIZE)]
}

/// Converts an integer to the number type of the script's inputs, which are all floating-point numbers.
#[allow(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
pub const fn float(integer: u64) -> f64 {
    integer as f64
}

/// Returns the name of a Rhai type as error messages show it.
pub fn type_label(type_name: &str) -> &str {
    match type_name {
        "()" => "no value",
        "string" => "a string",
        "bool" => "a boolean",
        "i64" | "f64" => "a number",
        "array" => "an array",
        other => other,
    }
}

/// Returns the error for a value that is not what was expected.
pub fn mismatch(expected: &str, found: &str) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorMismatchOutputType(expected.to_owned(), found.to_owned(), Position::NONE))
}

/// Registers the functions with an engine.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Stats>("a window").register_type_with_name::<LimitStatus>("a limit");
    for (name, read) in STATS {
        engine.register_get(name, move |stats: &mut Stats| read(stats));
    }
    #[allow(clippy::cast_precision_loss, reason = "the quota rejects a limit of more than 2^53 tokens")]
    engine
        .register_get("available", |limit: &mut LimitStatus| limit.available as f64)
        .register_get("burst", |limit: &mut LimitStatus| float(limit.burst))
        .register_get("rate", |limit: &mut LimitStatus| limit.rate.per_second())
        .register_get("full_in_ms", |limit: &mut LimitStatus| float(millis(limit.full_in)))
        .register_fn("window", window)
        .register_fn("limit", limit)
        .register_fn("log", |text: &str| log(text))
        .register_fn("setting", |name: &str, default: &str| match configured_setting(name) {
            Some(Setting::Text(text)) => text,
            _ => default.to_owned(),
        })
        .register_fn("setting", |name: &str, default: bool| match configured_setting(name) {
            Some(Setting::Flag(flag)) => flag,
            _ => default,
        })
        .register_fn("setting", number_setting)
        .register_fn("setting", |name: &str, default: i64| {
            #[allow(clippy::cast_precision_loss, reason = "a default is written by hand and stays far below 2^53")]
            number_setting(name, default as f64)
        })
        .register_fn("header", |name: &str| {
            string_or_empty(with_call(|call| {
                call.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            }))
        });
}

/// Converts a string that may be absent to a script value; an absent one becomes the empty string.
pub fn string_or_empty(text: Option<String>) -> Dynamic {
    string(text.as_deref().unwrap_or_default())
}

fn configured_setting(name: &str) -> Option<Setting> {
    with_call(|call| call.settings.get(name).cloned())
}

fn number_setting(name: &str, default: f64) -> f64 {
    match configured_setting(name) {
        Some(Setting::Number(number)) => number,
        _ => default,
    }
}

fn window(range: &str) -> Result<Stats, Box<EvalAltResult>> {
    // The load-time checks have accepted the same string.
    let range = parse_duration(range).map_err(|message| mismatch("a duration", &message))?;
    Ok(query_view(|view, platform, endpoint| view.window(platform, endpoint, range))?.unwrap_or_default())
}

fn limit(name: &str) -> Result<LimitStatus, Box<EvalAltResult>> {
    let unknown = || host_error(format!("unknown limit {name:?}"));
    query_view(|view, _, _| view.limit(name))?.flatten().ok_or_else(unknown)
}

/// Converts a string to a script value. Short strings need no allocation.
pub fn string(text: &str) -> Dynamic {
    ImmutableString::from(truncate(text)).into()
}
