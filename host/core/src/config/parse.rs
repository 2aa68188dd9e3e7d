//! Parses the text of `tidegate.toml` into a [`Config`], section by section.
//!
//! A key that the text does not have is read from the included presets, and then from the defaults.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::limits::read_limits;
use super::names::check_name;
use super::platforms::read_platforms;
use super::presets::{PRESETS, read_presets};
use super::reader::{
    self, Diagnostics, EffectiveValue, Layer, Origin, Section, integer, list, parsed, positive_duration,
    with_suggestion,
};
use super::retry::read_retry;
use super::{AlertingConfig, Config, MetricsConfig, Parser, ServerConfig, decisions, policies, redis};
use crate::units::parse_duration;
use crate::{BuiltinAlert, Secret};

/// The value of each key that a configuration may omit.
const DEFAULTS: &str = include_str!("defaults.toml");

/// The valid values of `max_endpoints`.
pub(super) const MAX_ENDPOINTS: RangeInclusive<u64> = 1..=10_000;
/// The valid values of `flush_interval`. A shorter interval has no benefit. With a longer one, a killed process would
/// lose more counts, and calls would be counted in a later minute.
pub(super) const FLUSH_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// The rule about the address and the token in `[server]`.
pub(super) const TOKEN_RULE: &str = "listening on an address other than loopback requires a token; set `token`, \
                                     `token_env` or `token_file` in [server], or listen on 127.0.0.1";

/// What is expected of the characters of a token.
pub(super) const TOKEN_CHARACTERS: &str =
    "expected visible ASCII characters without spaces, because a header carries the token";

/// Returns whether a header can carry the token.
pub(super) fn is_header_token(token: &Secret) -> bool {
    token.expose().bytes().all(|byte| byte.is_ascii_graphic())
}

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
    let mut own = section.table("channels");
    for alert in BuiltinAlert::ALL {
        if own.as_mut().is_none_or(|own| !own.contains_key(alert.as_str())) {
            section.record(&format!("channels.{}", alert.as_str()), &format!("{channels:?}"), Origin::Default);
        }
    }
    let builtin = own.map(|mut section| read_builtin_channels(&mut section, channels));
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
    if token.as_ref().is_some_and(|token| !is_header_token(token)) {
        section.reject_secret("token", TOKEN_CHARACTERS);
    }
    if !listen.ip().is_loopback() && token.is_none() {
        section.reject_value("listen", TOKEN_RULE);
    }
    Some(ServerConfig { listen, token })
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an address and a port such as \"127.0.0.1:8700\", found {text:?}"))
}
