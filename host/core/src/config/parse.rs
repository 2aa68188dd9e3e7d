//! Parses the text of `tidegate.toml` into a [`Config`], section by section.
//!
//! `base` has the values that a file may omit. Only the default configuration is parsed without a base, so it must
//! have every value.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::reader::{
    self, Diagnostic, Section, SpannedString, TomlValue, choice, integer, list, number, parsed, positive_duration,
    with_suggestion,
};
use super::secrets::{self, Env};
use super::{
    AlertingConfig, Config, LimitConfig, LimitScope, MetricsConfig, RetryConfig, ServerConfig, channels, decisions,
    policies, redis,
};
use crate::units::{format_duration, parse_duration};
use crate::{Backoff, OnRedisFailure, Quota, Rate};

pub(super) fn config(text: &str, env: &dyn Env, base: Option<&Config>) -> Result<Config, Vec<Diagnostic>> {
    reader::read(text, |top| {
        let limits = named_sections(top, "limits", base.map(limits_of).as_ref(), read_limit);
        let retry = section(top, "retry", base.map(|base| &base.retry), read_retry);
        let metrics = section(top, "metrics", base.map(|base| &base.metrics), read_metrics);
        let read_channel = |section: &mut Section<'_>| channels::read_channel(section, env);
        let channels = named_sections(top, "channels", base.map(|base| &base.channels), read_channel);
        let names = channels.iter().flat_map(BTreeMap::keys).map(String::as_str).collect::<Vec<_>>();
        let read_alerting = |section: &mut Section<'_>, base: Option<&_>| read_alerting(section, base, &names);
        let alerting = section(top, "alerting", base.map(|base| &base.alerting), read_alerting);
        let mut policies = section(top, "policies", base.map(|base| &base.policies), policies::read_policies);
        for (name, mut section) in top.tables("policy") {
            let Some(policies) = &mut policies else { continue };
            let policy = policies::read_policy(&name, &mut section, policies.limits);
            policies.overrides.extend(policy.map(|policy| (name.value, policy)));
        }
        let decisions = section(top, "decisions", base.map(|base| &base.decisions), decisions::read_decisions);
        // There is no default: processes share state only if the configuration says so.
        let redis = match top.table("redis") {
            Some(mut section) => redis::read_redis(&mut section, env).map(Some),
            None => Some(base.and_then(|base| base.redis.clone())),
        };
        let read_server = |section: &mut Section<'_>, base: Option<&_>| read_server(section, base, env);
        let server = section(top, "server", base.map(|base| &base.server), read_server);
        Some(Config {
            scopes: scopes_of(limits.as_ref()?),
            limits: limits?.into_iter().map(|(name, (limit, _))| (name, limit)).collect(),
            retry: retry?,
            metrics: metrics?,
            alerting: alerting?,
            channels: channels?,
            policies: policies?,
            decisions: decisions?,
            redis: redis?,
            server: server?,
        })
    })
}

/// Reads the section `[key]`, or returns the value of `base` if the file has no such section.
fn section<T: Clone>(
    top: &mut Section<'_>,
    key: &'static str,
    base: Option<&T>,
    read: impl FnOnce(&mut Section<'_>, Option<&T>) -> Option<T>,
) -> Option<T> {
    match (top.table(key), base) {
        (Some(mut section), base) => read(&mut section, base),
        (None, Some(base)) => Some(base.clone()),
        (None, None) => {
            top.reject(&format!("the section `[{key}]` is missing"));
            None
        }
    }
}

/// Reads the sections `[key.NAME]`. Each replaces the one with its name in `base`; the others keep their values.
fn named_sections<T: Clone>(
    top: &mut Section<'_>,
    key: &'static str,
    base: Option<&BTreeMap<String, T>>,
    mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let mut all = base.cloned().unwrap_or_default();
    for (name, mut section) in top.tables(key) {
        check_name(&name, &section);
        let value = read(&mut section);
        all.extend(value.map(|value| (name.value, value)));
    }
    Some(all)
}

/// Rejects a name that is not safe as a file name, a metrics label and a part of a URL.
fn check_name(name: &SpannedString, section: &Section<'_>) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.value.is_empty() || !name.value.chars().all(allowed) {
        section.reject("expected a name of the characters a-z, 0-9, _ and -");
    }
}

/// Reads the value of `key`, or returns `base` if the key is absent or its value is rejected. Without a base, the key
/// is required.
pub(super) fn or_base<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    base: Option<T>,
    read: impl FnOnce(&TomlValue<'a>) -> Option<T>,
) -> Option<T> {
    match base {
        Some(base) => section.optional(key, read).or(Some(base)),
        None => section.required(key, read),
    }
}

/// A limit, and its scope if it is an additional limit of a platform.
type ScopedLimit = (LimitConfig, Option<LimitScope>);

fn limits_of(config: &Config) -> BTreeMap<String, ScopedLimit> {
    let limits = config.limits.iter();
    limits.map(|(name, limit)| (name.clone(), (*limit, config.scopes.get(name).cloned()))).collect()
}

fn scopes_of(limits: &BTreeMap<String, ScopedLimit>) -> BTreeMap<String, LimitScope> {
    limits.iter().filter_map(|(name, (_, scope))| Some((name.clone(), scope.clone()?))).collect()
}

/// Reads `[limits.NAME]`. Rate and burst have no defaults, because a burst that fits one rate seldom fits another.
fn read_limit(section: &mut Section<'_>) -> Option<ScopedLimit> {
    let rate = section.required("rate", parsed(str::parse::<Rate>));
    let burst = section.required("burst", integer(1..=u64::MAX));
    let modes = [OnRedisFailure::Open, OnRedisFailure::Closed, OnRedisFailure::Local].map(|mode| (mode.name(), mode));
    let on_redis_failure = section.optional("on_redis_failure", choice(&modes)).unwrap_or_default();
    let platform = section.optional("platform", reader::string);
    let labels = section.values("labels", reader::string);
    if platform.is_some() == labels.is_empty() {
        section.reject(
            "give both `platform` and `labels`, or neither; together they define an additional limit of the platform",
        );
    }
    let scope = platform.map(|platform| LimitScope { platform, labels });
    match Quota::new(rate?, burst?) {
        Ok(quota) => Some((LimitConfig { quota, on_redis_failure }, scope)),
        Err(error) => {
            section.reject_value("burst", &error.to_string());
            None
        }
    }
}

fn read_retry(section: &mut Section<'_>, base: Option<&RetryConfig>) -> Option<RetryConfig> {
    let max_attempts = base.map(|base| base.max_attempts.into());
    let max_attempts = or_base(section, "max_attempts", max_attempts, integer(1..=100));
    let base_delay = or_base(section, "base_delay", base.map(|base| base.backoff.base_delay), positive_duration);
    let max_delay = or_base(section, "max_delay", base.map(|base| base.backoff.max_delay), positive_duration);
    let jitter = or_base(section, "jitter", base.map(|base| base.backoff.jitter), number(0.0..=1.0));
    let deadline = or_base(section, "deadline", base.map(|base| base.deadline), positive_duration);
    let backoff = Backoff { base_delay: base_delay?, max_delay: max_delay?, jitter: jitter? };
    if backoff.max_delay < backoff.base_delay {
        let key = if section.contains_key("max_delay") { "max_delay" } else { "base_delay" };
        let (max, base) = (format_duration(backoff.max_delay), format_duration(backoff.base_delay));
        let fix = "raise `max_delay` or lower `base_delay`";
        section.reject_value(key, &format!("the maximum delay ({max}) is below the base delay ({base}); {fix}"));
    }
    Some(RetryConfig { max_attempts: u32::try_from(max_attempts?).ok()?, backoff, deadline: deadline? })
}

fn read_metrics(section: &mut Section<'_>, base: Option<&MetricsConfig>) -> Option<MetricsConfig> {
    let max_endpoints = base.and_then(|base| u64::try_from(base.max_endpoints).ok());
    let max_endpoints = or_base(section, "max_endpoints", max_endpoints, integer(1..=10_000));
    let interval = base.map(|base| base.flush_interval);
    let flush_interval = or_base(section, "flush_interval", interval, parsed(parse_flush_interval));
    Some(MetricsConfig { max_endpoints: usize::try_from(max_endpoints?).ok()?, flush_interval: flush_interval? })
}

/// Returns a parser of the name of a configured channel.
fn parse_channel(channels: &[&str]) -> impl Fn(&str) -> Result<String, String> {
    move |name| match channels.iter().find(|known| **known == name) {
        Some(name) => Ok((*name).to_owned()),
        None => Err(with_suggestion(format!("unknown channel `{name}`"), name, channels)),
    }
}

/// Parses `flush_interval`, from 100 ms to 1 minute. A shorter interval has no benefit. With a longer one, a killed
/// process would lose more counts, and calls would be counted in a later minute.
fn parse_flush_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    let in_range = (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&interval);
    let mismatch = || format!("expected a duration from 100ms to 1m such as \"5s\", found {text:?}");
    if in_range { Ok(interval) } else { Err(mismatch()) }
}

fn read_alerting(
    section: &mut Section<'_>,
    base: Option<&AlertingConfig>,
    channels: &[&str],
) -> Option<AlertingConfig> {
    let interval = or_base(section, "interval", base.map(|base| base.interval), positive_duration);
    let history = or_base(section, "history", base.map(|base| base.history), positive_duration);
    let channel = parse_channel(channels);
    let unavailable = section.optional("redis_unavailable_channels", list(|value| parsed(&channel)(value)));
    let redis_unavailable_channels =
        unavailable.or_else(|| base.and_then(|base| base.redis_unavailable_channels.clone()));
    let quarantined = section.optional("policy_quarantined_channels", list(|value| parsed(&channel)(value)));
    let policy_quarantined_channels =
        quarantined.or_else(|| base.and_then(|base| base.policy_quarantined_channels.clone()));
    Some(AlertingConfig {
        interval: interval?,
        history: history?,
        redis_unavailable_channels,
        policy_quarantined_channels,
    })
}

fn read_server(section: &mut Section<'_>, base: Option<&ServerConfig>, env: &dyn Env) -> Option<ServerConfig> {
    let listen = or_base(section, "listen", base.map(|base| base.listen), parsed(parse_address));
    let token = secrets::optional(section, ["token", "token_env", "token_file"], env);
    let (listen, token) = (listen?, token?);
    if !listen.ip().is_loopback() && token.is_none() {
        let fix = "give `token_env`, `token_file` or `token`, or listen on 127.0.0.1";
        section.reject_value("listen", &format!("listening beyond loopback requires a token; {fix}"));
    }
    Some(ServerConfig { listen, token })
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an address and a port such as \"127.0.0.1:8700\", found {text:?}"))
}
