//! The functions that scripts of every kind call: metrics, limits, settings, the log.

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};
use tidegate_core::config::Setting;
use tidegate_core::units::parse_duration;
use tidegate_core::{LimitState, Stats};

use super::names::FIGURES;
use super::run::{log, look, with_call};

/// The longest text of an input that a script gets to see, in bytes.
const MAX_INPUT: usize = 8 * 1024;

/// As much of a text as a script gets to see: a body of megabytes must not become a fault for its size.
pub fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_INPUT)]
}

/// A number that scripts see: all of theirs have fractions.
#[allow(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
pub const fn number(whole: u64) -> f64 {
    whole as f64
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

/// A value that is not what was expected.
pub fn mismatch(expected: &str, found: &str) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorMismatchOutputType(expected.to_owned(), found.to_owned(), Position::NONE))
}

/// The functions themselves.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Stats>("a window").register_type_with_name::<LimitState>("a limit");
    for (name, read) in FIGURES {
        engine.register_get(name, move |stats: &mut Stats| read(stats));
    }
    #[allow(clippy::cast_precision_loss, reason = "a level beyond 2^53 tokens is refused by the quota")]
    engine
        .register_get("available", |limit: &mut LimitState| limit.available as f64)
        .register_get("burst", |limit: &mut LimitState| number(limit.burst))
        .register_get("rate", |limit: &mut LimitState| limit.rate)
        .register_get("full_in_ms", |limit: &mut LimitState| number(limit.full_in_ms))
        .register_fn("window", window)
        .register_fn("limit", limit)
        .register_fn("log", |text: &str| log(text))
        .register_fn("setting", |name: &str, default: &str| match set(name) {
            Some(Setting::Text(text)) => text,
            _ => default.to_owned(),
        })
        .register_fn("setting", |name: &str, default: bool| match set(name) {
            Some(Setting::Flag(flag)) => flag,
            _ => default,
        })
        .register_fn("setting", setting_number)
        .register_fn("setting", |name: &str, default: i64| {
            #[allow(clippy::cast_precision_loss, reason = "a default that someone wrote down")]
            setting_number(name, default as f64)
        })
        .register_fn("header", |name: &str| {
            found(with_call(|call| {
                call.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            }))
        });
}

/// A text that may be absent; then it is empty.
pub fn found(text: Option<String>) -> Dynamic {
    self::text(text.as_deref().unwrap_or_default())
}

fn set(name: &str) -> Option<Setting> {
    with_call(|call| call.settings.get(name).cloned())
}

fn setting_number(name: &str, default: f64) -> f64 {
    match set(name) {
        Some(Setting::Number(number)) => number,
        _ => default,
    }
}

fn window(range: &str) -> Result<Stats, Box<EvalAltResult>> {
    // The check at load has read the same text.
    let range = parse_duration(range).map_err(|message| mismatch("a duration", &message))?;
    Ok(look(|view, platform, endpoint| view.window(platform, endpoint, range))?.unwrap_or_default())
}

fn limit(name: &str) -> Result<LimitState, Box<EvalAltResult>> {
    let unknown = || {
        let message = format!("no limit is called {name:?}");
        Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE))
    };
    look(|view, _, _| view.limit(name))?.flatten().ok_or_else(unknown)
}

/// A text as scripts have it; most are so short that they need no memory of their own.
pub fn text(text: &str) -> Dynamic {
    ImmutableString::from(clip(text)).into()
}
