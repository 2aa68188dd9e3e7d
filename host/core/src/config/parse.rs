//! From the text of `tidegate.toml` to a [`Config`], section by section.
//!
//! `base` is what holds where the file says nothing; only the shipped file is read without one and must be whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::reader::{self, Problem, Section, Text, Value, choice, integer, list, number, parsed, time};
use super::secrets::{self, Env};
use super::{
    AlertingConfig, Config, LimitConfig, LimitScope, MetricsConfig, RetryConfig, ServerConfig, channels, decisions,
    policies, redis,
};
use crate::units::{parse_duration, show_duration};
use crate::{Backoff, OnFailure, Quota, Rate};

pub(super) fn config(text: &str, env: &dyn Env, base: Option<&Config>) -> Result<Config, Vec<Problem>> {
    reader::read(text, |top| {
        let limits = named(top, "limits", base.map(limits_of).as_ref(), limit);
        let retry = section(top, "retry", base.map(|base| &base.retry), retry);
        let metrics = section(top, "metrics", base.map(|base| &base.metrics), metrics);
        let channels =
            named(top, "channels", base.map(|base| &base.channels), |section| channels::channel(section, env));
        let names = channels.iter().flat_map(BTreeMap::keys).map(String::as_str).collect::<Vec<_>>();
        let alerting = section(top, "alerting", base.map(|base| &base.alerting), |s, base| alerting(s, base, &names));
        let mut policies = section(top, "policies", base.map(|base| &base.policies), policies::policies);
        for (name, mut own) in top.tables("policy") {
            let Some(all) = &mut policies else { continue };
            let read = policies::policy(&name, &mut own, all.bounds);
            all.each.extend(read.map(|read| (name.value, read)));
        }
        let decisions = section(top, "decisions", base.map(|base| &base.decisions), decisions::decisions);
        // There is none unless a file says so: to share state is a decision.
        let redis = match top.table("redis") {
            Some(mut section) => redis::redis(&mut section, env).map(Some),
            None => Some(base.and_then(|base| base.redis.clone())),
        };
        let server = section(top, "server", base.map(|base| &base.server), |s, base| server(s, base, env));
        Some(Config {
            scopes: scopes(limits.as_ref()?),
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

/// The section `[key]`, or what `base` has in its place.
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
            top.refuse(&format!("the section `[{key}]` is missing"));
            None
        }
    }
}

/// The sections `[key.NAME]`; each replaces the one of its name in `base`, and the others stay.
fn named<T: Clone>(
    top: &mut Section<'_>,
    key: &'static str,
    base: Option<&BTreeMap<String, T>>,
    mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let mut all = base.cloned().unwrap_or_default();
    for (name, mut section) in top.tables(key) {
        refuse_odd_name(&name, &section);
        let value = read(&mut section);
        all.extend(value.map(|value| (name.value, value)));
    }
    Some(all)
}

/// Names become file names, labels of metrics and parts of addresses.
fn refuse_odd_name(name: &Text, section: &Section<'_>) {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.value.is_empty() || !name.value.chars().all(fine) {
        section.refuse("expected a name of the characters a-z, 0-9, _ and -");
    }
}

/// The value of `key`, or what `base` has in its place.
pub(super) fn or<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    base: Option<T>,
    kind: impl FnOnce(&Value<'a>) -> Option<T>,
) -> Option<T> {
    match base {
        Some(base) => section.optional(key, kind).or(Some(base)),
        None => section.required(key, kind),
    }
}

/// A limit, and what it is a further limit of.
type Limit = (LimitConfig, Option<LimitScope>);

fn limits_of(config: &Config) -> BTreeMap<String, Limit> {
    let limits = config.limits.iter();
    limits.map(|(name, limit)| (name.clone(), (*limit, config.scopes.get(name).cloned()))).collect()
}

fn scopes(limits: &BTreeMap<String, Limit>) -> BTreeMap<String, LimitScope> {
    limits.iter().filter_map(|(name, (_, scope))| Some((name.clone(), scope.clone()?))).collect()
}

/// Rate and burst belong together: a burst that fits one rate seldom fits another.
fn limit(section: &mut Section<'_>) -> Option<Limit> {
    let rate = section.required("rate", parsed(Rate::parse));
    let burst = section.required("burst", integer(1..=u64::MAX));
    let names = [OnFailure::Open, OnFailure::Closed, OnFailure::Local].map(|one| (one.name(), one));
    let on_redis_failure = section.optional("on_redis_failure", choice(&names)).unwrap_or_default();
    let platform = section.optional("platform", reader::string);
    let labels = section.values("labels", reader::string);
    if platform.is_some() == labels.is_empty() {
        section.refuse("`platform` and `labels` belong together: they make it a further limit of that platform");
    }
    let scope = platform.map(|platform| LimitScope { platform, labels });
    match Quota::new(rate?, burst?) {
        Ok(quota) => Some((LimitConfig { quota, on_redis_failure }, scope)),
        Err(error) => {
            section.refuse_value("burst", &error.to_string());
            None
        }
    }
}

fn retry(section: &mut Section<'_>, base: Option<&RetryConfig>) -> Option<RetryConfig> {
    let attempts = base.map(|base| base.max_attempts.into());
    let attempts = or(section, "max_attempts", attempts, integer(1..=100));
    let first = or(section, "base", base.map(|base| base.backoff.base), time);
    let cap = or(section, "cap", base.map(|base| base.backoff.cap), time);
    let jitter = or(section, "jitter", base.map(|base| base.backoff.jitter), number(0.0..=1.0));
    let deadline = or(section, "deadline", base.map(|base| base.deadline), time);
    let backoff = Backoff { base: first?, cap: cap?, jitter: jitter? };
    if backoff.cap < backoff.base {
        let key = if section.has("cap") { "cap" } else { "base" };
        let (cap, base) = (show_duration(backoff.cap), show_duration(backoff.base));
        section.refuse_value(key, &format!("the cap ({cap}) is below the base ({base}); raise `cap` or lower `base`"));
    }
    Some(RetryConfig { max_attempts: u32::try_from(attempts?).ok()?, backoff, deadline: deadline? })
}

fn metrics(section: &mut Section<'_>, base: Option<&MetricsConfig>) -> Option<MetricsConfig> {
    let most = base.and_then(|base| u64::try_from(base.max_endpoints).ok());
    let max_endpoints = or(section, "max_endpoints", most, integer(1..=10_000));
    let flush = or(section, "flush", base.map(|base| base.flush), parsed(flush));
    Some(MetricsConfig { max_endpoints: usize::try_from(max_endpoints?).ok()?, flush: flush? })
}

/// The name of a configured channel.
fn configured(channels: &[&str]) -> impl Fn(&str) -> Result<String, String> {
    move |name| {
        let known = || format!("no [channels.{name}] in this file; known: {}", channels.join(", "));
        channels.iter().find(|known| **known == name).map(|name| (*name).to_owned()).ok_or_else(known)
    }
}

/// More often would be work for nothing; more seldom would lose more at a kill, and a minute's calls would count late.
fn flush(text: &str) -> Result<Duration, String> {
    let flush = parse_duration(text)?;
    let fine = (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&flush);
    if fine { Ok(flush) } else { Err(format!("expected a duration from 100ms to 1m such as \"5s\", not {text:?}")) }
}

fn alerting(section: &mut Section<'_>, base: Option<&AlertingConfig>, channels: &[&str]) -> Option<AlertingConfig> {
    let interval = or(section, "interval", base.map(|base| base.interval), time);
    let history = or(section, "history", base.map(|base| base.history), time);
    let channel = configured(channels);
    let away = section.optional("redis_away_channels", list(|value| parsed(&channel)(value)));
    let redis_away_channels = away.or_else(|| base.and_then(|base| base.redis_away_channels.clone()));
    let aside = section.optional("policy_channels", list(|value| parsed(&channel)(value)));
    let policy_channels = aside.or_else(|| base.and_then(|base| base.policy_channels.clone()));
    Some(AlertingConfig { interval: interval?, history: history?, redis_away_channels, policy_channels })
}

fn server(section: &mut Section<'_>, base: Option<&ServerConfig>, env: &dyn Env) -> Option<ServerConfig> {
    let listen = or(section, "listen", base.map(|base| base.listen), parsed(address));
    let token = secrets::optional(section, ["token", "token_env", "token_file"], env);
    let (listen, token) = (listen?, token?);
    if !listen.ip().is_loopback() && token.is_none() {
        let mend = "give `token_env`, `token_file` or `token`, or listen on 127.0.0.1";
        section.refuse_value("listen", &format!("beyond loopback a token is demanded; {mend}"));
    }
    Some(ServerConfig { listen, token })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an address and a port such as \"127.0.0.1:8700\", not {text:?}"))
}
