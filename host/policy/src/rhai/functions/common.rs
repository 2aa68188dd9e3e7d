//! The functions that several kinds of scripts can call: metrics, limits, settings, the log and headers.

use rhai::{Engine, EvalAltResult};
use tidegate_core::clock::millis;
use tidegate_core::config::Setting;
use tidegate_core::units::parse_duration;
use tidegate_core::{LimitStatus, Stats};

use crate::rhai::contract::STATS;
use crate::rhai::run::{log, query_view, with_call};
use crate::rhai::values::{float, host_error, mismatch, string_or_empty};

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
        .register_get("rate", |limit: &mut LimitStatus| limit.rate.tokens_per_second())
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
            let value = with_call(|call| {
                call.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            });
            string_or_empty(value.as_deref())
        });
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
    let range = parse_duration(range).map_err(|error| mismatch("a duration", &error.to_string()))?;
    Ok(query_view(|view, platform, endpoint| view.window(platform, endpoint, range))?.unwrap_or_default())
}

fn limit(name: &str) -> Result<LimitStatus, Box<EvalAltResult>> {
    let unknown = || host_error(format!("unknown limit {name:?}"));
    query_view(|view, _, _| view.limit(name))?.flatten().ok_or_else(unknown)
}
