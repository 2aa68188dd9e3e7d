//! Parses the text of `tidegate.toml` into a [`Config`], section by section.
//!
//! A key that the text does not have is read from the included presets, and then from the defaults.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::limits::read_limits;
use super::platforms::read_platforms;
use super::presets::{PRESETS, read_presets};
use super::reader::{
    self, Diagnostics, EffectiveValue, Layer, Section, SpannedString, integer, list, number, parsed, positive_duration,
    with_suggestion,
};
use super::{AlertingConfig, Config, MetricsConfig, Parser, RetryConfig, ServerConfig, decisions, policies, redis};
use crate::units::{format_duration, parse_duration};
use crate::{Backoff, BuiltinAlert};

/// The value of each key that a configuration may omit.
const DEFAULTS: &str = include_str!("defaults.toml");

/// The values of `max_attempts`.
pub(super) const MAX_ATTEMPTS: RangeInclusive<u64> = 1..=100;
/// The values of `max_endpoints`.
pub(super) const MAX_ENDPOINTS: RangeInclusive<u64> = 1..=10_000;
/// The values of `flush_interval`. A shorter interval has no benefit. With a longer one, a killed process would lose more
/// counts, and calls would be counted in a later minute.
pub(super) const FLUSH_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// What is expected of the name of a limit or a channel.
pub(super) const NAME_RULE: &str = "expected a name of the characters a-z, 0-9, _ and -";
/// What is expected of `[server]`.
pub(super) const TOKEN_RULE: &str = "listening beyond loopback requires a token; give `token_env`, `token_file` or \
                                     `token`, or listen on 127.0.0.1";

/// Parses a configuration. `values`, if given, receives each value with its origin.
pub(super) fn config(
    layer: Layer,
    text: &str,
    parser: &Parser<'_>,
    values: Option<&RefCell<Vec<EffectiveValue>>>,
) -> Result<Config, Diagnostics> {
    let presets = PRESETS.map(|(name, text)| (Layer::Preset(name), text));
    let texts = [&[(layer, text)], &presets[..], &[(Layer::Defaults, DEFAULTS)]].concat();
    reader::read_layers(&texts, parser.env, values, |top| {
        read_presets(top);
        let platforms = top.tables_or_false("platforms");
        let limits = read_limits(top, &platforms);
        let mut retry_section = top.required_table("retry")?;
        let retry = read_retry(&mut retry_section);
        let platforms = read_platforms(platforms, &limits, &retry_section);
        let metrics = read_metrics(&mut top.required_table("metrics")?);
        let channels = named_sections(top, "channels", |section| parser.channel_kinds.read(section));
        let names = channels.keys().map(String::as_str).collect::<Vec<_>>();
        let alerting = read_alerting(&mut top.required_table("alerting")?, &names);
        let policies = policies::read_policies(top);
        let decisions = decisions::read_decisions(&mut top.required_table("decisions")?);
        let mut redis_section = top.required_table("redis")?;
        // Processes share state only if the configuration says so, so the section as a whole has no default.
        let redis = if redis_section.is_in_document() {
            redis::read_redis(&mut redis_section).map(Some)
        } else {
            redis_section.allow_unknown_keys();
            Some(None)
        };
        let server = read_server(&mut top.required_table("server")?);
        Some(Config {
            limits: limits.limits,
            scopes: limits.scopes,
            platforms,
            retry: retry?,
            metrics: metrics?,
            alerting: alerting?,
            channels,
            policies: policies?,
            decisions: decisions?,
            redis: redis?,
            server: server?,
        })
    })
}

/// Reads the sections `[key.NAME]`.
fn named_sections<T>(
    top: &mut Section<'_>,
    key: &'static str,
    mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for (name, mut section) in top.tables(key) {
        check_name(&name, &section);
        let value = read(&mut section);
        all.extend(value.map(|value| (name.value, value)));
    }
    all
}

/// Returns whether a name is safe as a file name, a metrics label and a part of a URL.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(allowed)
}

/// Rejects a name that is not safe as a file name, a metrics label and a part of a URL.
pub(super) fn check_name(name: &SpannedString, section: &Section<'_>) {
    if !is_name(&name.value) {
        section.reject(NAME_RULE);
    }
}

/// Reads `[retry]`, or a table `retry` that inherits from it.
pub(super) fn read_retry(section: &mut Section<'_>) -> Option<RetryConfig> {
    let max_attempts = section.required("max_attempts", integer(MAX_ATTEMPTS));
    let base_delay = section.required("base_delay", positive_duration);
    let max_delay = section.required("max_delay", positive_duration);
    let jitter = section.required("jitter", number(0.0..=1.0));
    let deadline = section.required("deadline", positive_duration);
    let (base_delay, max_delay, jitter) = (base_delay?, max_delay?, jitter?);
    if max_delay < base_delay {
        let key = if section.document_contains("max_delay") { "max_delay" } else { "base_delay" };
        let (max, base) = (format_duration(max_delay), format_duration(base_delay));
        let fix = "raise `max_delay` or lower `base_delay`";
        section.reject_value(key, &format!("the maximum delay ({max}) is below the base delay ({base}); {fix}"));
    }
    let backoff = Backoff::new(base_delay, max_delay).with_jitter(jitter);
    Some(RetryConfig { max_attempts: u32::try_from(max_attempts?).ok()?, backoff, deadline: deadline? })
}

fn read_metrics(section: &mut Section<'_>) -> Option<MetricsConfig> {
    let max_endpoints = section.required("max_endpoints", integer(MAX_ENDPOINTS));
    let flush_interval = section.required("flush_interval", parsed(parse_flush_interval));
    Some(MetricsConfig { max_endpoints: usize::try_from(max_endpoints?).ok()?, flush_interval: flush_interval? })
}

/// Returns a parser of the name of a configured channel.
fn parse_channel(channels: &[&str]) -> impl Fn(&str) -> Result<String, String> {
    move |name| match channels.iter().find(|known| **known == name) {
        Some(name) => Ok((*name).to_owned()),
        None => Err(with_suggestion(format!("unknown channel `{name}`"), name, channels)),
    }
}

/// Parses `flush_interval`.
fn parse_flush_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    let mismatch = || format!("expected a duration from 100ms to 1m such as \"5s\", found {text:?}");
    if FLUSH_INTERVALS.contains(&interval) { Ok(interval) } else { Err(mismatch()) }
}

fn read_alerting(section: &mut Section<'_>, channels: &[&str]) -> Option<AlertingConfig> {
    let interval = section.required("interval", positive_duration);
    let history = section.required("history", positive_duration);
    let builtin = section.table("channels").map(|mut section| read_builtin_channels(&mut section, channels));
    Some(AlertingConfig { interval: interval?, history: history?, channels: builtin.unwrap_or_default() })
}

/// Reads `[alerting.channels]`: the names of channels for each built-in alert.
fn read_builtin_channels(section: &mut Section<'_>, channels: &[&str]) -> BTreeMap<BuiltinAlert, Vec<String>> {
    let channel = parse_channel(channels);
    let mut read = |alert: BuiltinAlert| section.optional(alert.as_str(), list(|value| parsed(&channel)(value)));
    BuiltinAlert::ALL.iter().filter_map(|alert| Some((*alert, read(*alert)?))).collect()
}

fn read_server(section: &mut Section<'_>) -> Option<ServerConfig> {
    let listen = section.required("listen", parsed(parse_address));
    let token = section.optional_secret("token");
    let (listen, token) = (listen?, token?);
    if !listen.ip().is_loopback() && token.is_none() {
        section.reject_value("listen", TOKEN_RULE);
    }
    Some(ServerConfig { listen, token })
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an address and a port such as \"127.0.0.1:8700\", found {text:?}"))
}
