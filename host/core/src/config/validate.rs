//! Checks a configuration that a program built or changed. The parser has the same rules.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error_shape::{check_names, check_shape};
use super::limits::LABELS_RULE;
use super::names::{NAME_RULE, is_name};
use super::parse::{FLUSH_INTERVALS, MAX_ENDPOINTS, TOKEN_CHARACTERS, TOKEN_RULE, is_header_token};
use super::platforms::{check_headers, no_limit};
use super::reader::{expected_integer, with_suggestion};
use super::retry::MAX_ATTEMPTS;
use super::{AlertingConfig, Config, ErrorShape, MetricsConfig, PlatformConfig, RetryConfig, ServerConfig};
use crate::units::format_duration;

/// What is wrong with a value of a [`Config`], displayed as `key: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct ConfigProblem {
    key: String,
    message: String,
}

impl ConfigProblem {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// Returns the path of the value, such as `alerting.interval`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns what was expected, and what was found.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The result of a check.
pub(super) type Check = Result<(), ConfigProblem>;

/// Checks a condition that a value must meet.
pub(super) fn require(is_met: bool, key: impl Into<String>, message: impl Into<String>) -> Check {
    if is_met { Ok(()) } else { Err(ConfigProblem::new(key, message)) }
}

/// Checks that a duration is above zero.
pub(super) fn above_zero(key: impl Into<String>, duration: Duration) -> Check {
    require(!duration.is_zero(), key, "expected a duration above zero, found 0s")
}

/// Checks that a number is within a range.
pub(super) fn within(key: impl Into<String>, number: u64, range: &RangeInclusive<u64>) -> Check {
    require(range.contains(&number), key, format!("expected {}, found {number}", expected_integer(range)))
}

impl Config {
    /// Checks the values of a configuration that was built or changed in code. A parsed configuration is valid.
    ///
    /// `HostBuilder::build` and `Host::apply_config` of the crate `tidegate` call it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_core::config::Config;
    /// let mut config = Config::with_platforms();
    /// assert!(config.validate().is_ok());
    /// config.alerting.interval = Duration::ZERO;
    /// let problem = config.validate().unwrap_err();
    /// assert_eq!(problem.to_string(), "alerting.interval: expected a duration above zero, found 0s");
    /// ```
    ///
    /// # Errors
    /// Returns an error about the first value that a configuration file could not contain.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        self.limits.keys().try_for_each(|name| require(is_name(name), format!("limits.{name}"), NAME_RULE))?;
        self.channels.keys().try_for_each(|name| require(is_name(name), format!("channels.{name}"), NAME_RULE))?;
        self.check_scopes()?;
        for (name, platform) in &self.platforms {
            require(self.is_platform(name), format!("platforms.{name}"), no_limit(name))?;
            check_platform(&format!("platforms.{name}"), platform)?;
        }
        check_retry("retry", &self.retry)?;
        check_metrics(&self.metrics)?;
        self.check_alerting(&self.alerting)?;
        self.policies.check()?;
        self.decisions.check()?;
        self.redis.as_ref().map_or(Ok(()), super::RedisConfig::validate)?;
        check_server(&self.server)
    }

    /// Returns whether there is a limit of a platform with this name.
    fn is_platform(&self, name: &str) -> bool {
        self.limits.contains_key(name) && !self.scopes.contains_key(name)
    }

    fn check_scopes(&self) -> Check {
        for (name, scope) in &self.scopes {
            let key = format!("scopes.{name}");
            require(self.limits.contains_key(name), &key, format!("the limit has no quota; add `{name}` to `limits`"))?;
            require(!scope.labels.is_empty(), &key, LABELS_RULE)?;
            if !self.is_platform(&scope.platform) {
                let known: Vec<_> =
                    self.limits.keys().map(String::as_str).filter(|name| self.is_platform(name)).collect();
                let unknown = format!("unknown platform `{}`", scope.platform);
                return Err(ConfigProblem::new(key + ".platform", with_suggestion(unknown, &scope.platform, &known)));
            }
        }
        Ok(())
    }

    fn check_alerting(&self, alerting: &AlertingConfig) -> Check {
        above_zero("alerting.interval", alerting.interval)?;
        above_zero("alerting.history", alerting.history)?;
        let known: Vec<_> = self.channels.keys().map(String::as_str).collect();
        for (alert, channels) in &alerting.channels {
            if let Some(name) = channels.iter().find(|name| !known.contains(&name.as_str())) {
                let message = with_suggestion(format!("unknown channel `{name}`"), name, &known);
                return Err(ConfigProblem::new(format!("alerting.channels.{alert}"), message));
            }
        }
        Ok(())
    }
}

fn check_platform(key: &str, platform: &PlatformConfig) -> Check {
    platform.error.iter().try_for_each(|shape| check_error_shape(&format!("{key}.error"), shape))?;
    check_headers(&platform.headers).map_err(|message| ConfigProblem::new(format!("{key}.headers"), message))?;
    platform.retry.as_ref().map_or(Ok(()), |retry| check_retry(&format!("{key}.retry"), retry))
}

fn check_error_shape(key: &str, shape: &ErrorShape) -> Check {
    check_names(shape).map_err(|(name, message)| ConfigProblem::new(format!("{key}.{name}"), message))?;
    check_shape(shape).map_err(|(name, message)| {
        let name = name.map(|name| format!(".{name}")).unwrap_or_default();
        ConfigProblem::new(format!("{key}{name}"), message)
    })
}

fn check_retry(key: &str, retry: &RetryConfig) -> Check {
    within(format!("{key}.max_attempts"), retry.max_attempts.into(), &MAX_ATTEMPTS)?;
    above_zero(format!("{key}.base_delay"), retry.backoff.base_delay())?;
    above_zero(format!("{key}.deadline"), retry.deadline)
}

fn check_metrics(metrics: &MetricsConfig) -> Check {
    within("metrics.max_endpoints", metrics.max_endpoints as u64, &MAX_ENDPOINTS)?;
    let interval = metrics.flush_interval;
    let message = format!("expected a duration from 100ms to 1m, found {}", format_duration(interval));
    require(FLUSH_INTERVALS.contains(&interval), "metrics.flush_interval", message)
}

fn check_server(server: &ServerConfig) -> Check {
    require(server.token.as_ref().is_none_or(is_header_token), "server.token", TOKEN_CHARACTERS)?;
    require(server.listen.ip().is_loopback() || server.token.is_some(), "server.listen", TOKEN_RULE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DecisionsConfig, FieldValues, LimitScope, PolicyConfig, RedisConfig};
    use crate::{Backoff, BuiltinAlert, Quota, Secret};

    /// A configuration with every section.
    const VALID: &str = "presets = ['platforms']\n[limits.orders]\nrate = '1/s'\nburst = 1\nplatform = 'jd'\n\
                         labels = { api = 'orders' }\n[policy.'retry/jd']\ndeadline = '1ms'\n[decisions]\n\
                         file = 'log'\n[redis]\nurl = 'redis://h'\n[platforms.jd.retry]\nmax_attempts = 2";

    fn valid() -> Config {
        Config::parse(VALID).unwrap()
    }

    #[test]
    fn parsed_and_built_configurations_are_valid() {
        let sentinel = RedisConfig::sentinel(["redis://a", "rediss://b"], "main");
        let mut silent = valid().with_redis(sentinel);
        silent.decisions = DecisionsConfig::off();
        set_headers(&mut silent, &["x-b", "x-a"]);
        shape(&mut silent).code_header = Some("x-code".to_owned());
        shape(&mut silent).when.push(FieldValues::new(["a", "b"], ["x"]));
        let quota = Quota::new("1/s".parse().unwrap(), 1).unwrap();
        let configs =
            [Config::default(), Config::with_platforms(), valid(), silent, valid().with_limit("a-b_1", quota)];
        for config in configs {
            assert_eq!(config.validate(), Ok(()));
        }
    }

    /// A change, and the key and message of the resulting problem.
    type Row = (fn(&mut Config), &'static str, &'static str);

    const ZERO: &str = "expected a duration above zero, found 0s";
    const NO_TOKEN: &str = "listening on an address other than loopback requires a token; set `token`, `token_env` or \
                            `token_file` in [server], or listen on 127.0.0.1";
    const NAME: &str = "expected a name of the characters a-z, 0-9, _ and -";
    const LABELS: &str =
        "give both `platform` and `labels`, or neither; together they define an additional limit of the platform";
    const FIELD: &str = "expected a field of the object at `at`, such as \"code\" or \"detail/code\", found ";

    /// Returns the first error shape of `jd`.
    fn shape(config: &mut Config) -> &mut ErrorShape {
        &mut config.platforms.get_mut("jd").unwrap().error[0]
    }

    /// Sets the headers of `jd`.
    fn set_headers(config: &mut Config, names: &[&str]) {
        config.platforms.get_mut("jd").unwrap().headers = names.iter().map(|name| (*name).to_owned()).collect();
    }

    const ROWS: &[Row] = &[
        (|c| c.limits.extend([("a b".to_owned(), c.limits["jd"])]), "limits.a b", NAME),
        (|c| c.limits.extend([(String::new(), c.limits["jd"])]), "limits.", NAME),
        (|c| _ = c.limits.remove("orders"), "scopes.orders", "the limit has no quota; add `orders` to `limits`"),
        (|c| c.scopes.get_mut("orders").unwrap().labels.clear(), "scopes.orders", LABELS),
        (
            |c| c.scopes.get_mut("orders").unwrap().platform = "jdd".to_owned(),
            "scopes.orders.platform",
            "unknown platform `jdd` (did you mean `jd`?)",
        ),
        (
            |c| c.scopes.extend([("jd".to_owned(), LimitScope::new("pdd", c.scopes["orders"].labels.clone()))]),
            "scopes.orders.platform",
            "unknown platform `jd`",
        ),
        (|c| _ = c.limits.remove("pdd"), "platforms.pdd", "the platform has no limit; add [limits.pdd]"),
        (
            |c| c.platforms.get_mut("jd").unwrap().error.push(ErrorShape::default()),
            "platforms.jd.error",
            "every response would be an error",
        ),
        (|c| shape(c).code.push(vec![]), "platforms.jd.error.code", FIELD),
        (|c| shape(c).sub_code = vec![vec!["a".to_owned(), String::new()]], "platforms.jd.error.sub_code", FIELD),
        (|c| shape(c).message[0].clear(), "platforms.jd.error.message", FIELD),
        (|c| shape(c).when.push(FieldValues::new([""], ["x"])), "platforms.jd.error.when", FIELD),
        (|c| shape(c).unless.push(FieldValues::new([""; 0], ["x"])), "platforms.jd.error.unless", FIELD),
        (
            |c| shape(c).code_header = Some("X-Code".to_owned()),
            "platforms.jd.error.code_header",
            "expected \"x-code\", in lower case, found \"X-Code\"",
        ),
        (
            |c| shape(c).sub_code_header = Some(String::new()),
            "platforms.jd.error.sub_code_header",
            "expected a valid header name such as `x-error-code`, found ``",
        ),
        (
            |c| shape(c).message_header = Some("x y".to_owned()),
            "platforms.jd.error.message_header",
            "expected a valid header name such as `x-error-code`, found `x y`",
        ),
        (
            |c| set_headers(c, &["x-b", "x a"]),
            "platforms.jd.headers",
            "expected a valid header name such as `x-error-code`, found `x a`",
        ),
        (|c| set_headers(c, &["X-A"]), "platforms.jd.headers", "expected \"x-a\", in lower case, found \"X-A\""),
        (|c| set_headers(c, &["x-a", "x-b", "x-a"]), "platforms.jd.headers", "`x-a` occurs twice"),
        (
            |c| c.platforms.get_mut("jd").unwrap().retry.as_mut().unwrap().max_attempts = 0,
            "platforms.jd.retry.max_attempts",
            "expected a whole number from 1 to 100, found 0",
        ),
        (|c| c.retry.max_attempts = 101, "retry.max_attempts", "expected a whole number from 1 to 100, found 101"),
        (|c| c.retry.backoff = Backoff::new(Duration::ZERO, Duration::MAX), "retry.base_delay", ZERO),
        (|c| c.retry.deadline = Duration::ZERO, "retry.deadline", ZERO),
        (|c| c.metrics.max_endpoints = 0, "metrics.max_endpoints", "expected a whole number from 1 to 10000, found 0"),
        (
            |c| c.metrics.flush_interval = Duration::ZERO,
            "metrics.flush_interval",
            "expected a duration from 100ms to 1m, found 0s",
        ),
        (
            |c| c.metrics.flush_interval = Duration::from_secs(61),
            "metrics.flush_interval",
            "expected a duration from 100ms to 1m, found 61s",
        ),
        (|c| c.alerting.interval = Duration::ZERO, "alerting.interval", ZERO),
        (|c| c.alerting.history = Duration::ZERO, "alerting.history", ZERO),
        (
            |c| _ = c.alerting.channels.insert(BuiltinAlert::RedisUnavailable, vec!["ops".to_owned()]),
            "alerting.channels.redis_unavailable",
            "unknown channel `ops`",
        ),
        (|c| c.policies.dir = "".into(), "policies.dir", "expected a directory path"),
        (|c| c.policies.admit_deadline = Duration::ZERO, "policies.admit_deadline", ZERO),
        (
            |c| c.policies.limits.max_memory = 1,
            "policies.max_memory",
            "expected a size from 64KiB to 4GiB, found 1 bytes",
        ),
        (|c| c.policies.limits.max_instances = 257, "policies.max_instances", "expected a whole number from 1 to 256"),
        (|c| c.policies.max_faults = 0, "policies.max_faults", "expected a whole number of at least 1, found 0"),
        (|c| c.policies.fault_window = Duration::ZERO, "policies.fault_window", ZERO),
        (|c| c.policies.cache = Some("".into()), "policies.cache", "expected a directory path"),
        (|c| c.policies.cache_size = 0, "policies.cache_size", "expected a size above zero"),
        (
            |c| _ = c.policies.overrides.insert("jd".to_owned(), PolicyConfig::new(c.policies.limits)),
            "policy.\"jd\"",
            "expected the path of a policy without its extension",
        ),
        (
            |c| c.policies.overrides.get_mut("retry/jd").unwrap().deadline = Some(Duration::ZERO),
            "policy.\"retry/jd\".deadline",
            ZERO,
        ),
        (|c| c.decisions.sample_rate = 7.0, "decisions.sample_rate", "expected a number from 0 to 1, found 7"),
        (|c| c.decisions.sample_rate = f64::NAN, "decisions.sample_rate", "expected a number from 0 to 1, found NaN"),
        (|c| c.decisions.file = Some("..".into()), "decisions.file", "expected a file path"),
        (|c| c.decisions.file = Some("logs/".into()), "decisions.file", "expected a file path"),
        (|c| c.decisions.max_size = 0, "decisions.max_size", "expected a size above zero"),
        (|c| c.redis.as_mut().unwrap().url.clear(), "redis.url", "expected a URL that starts with redis://"),
        (|c| c.redis.as_mut().unwrap().url = vec![Secret::new("http://h")], "redis.url", "expected a URL that starts"),
        (
            |c| c.redis.as_mut().unwrap().url.push(Secret::new("redis://b")),
            "redis.url",
            "several URLs require kind = \"sentinel\" or \"cluster\"",
        ),
        (|c| c.redis = Some(RedisConfig::sentinel(["redis://a"], "")), "redis.master", "`master` is missing"),
        (|c| c.redis.as_mut().unwrap().master = "m".to_owned(), "redis.master", "`master` requires kind"),
        (|c| c.redis.as_mut().unwrap().prefix = "{x}".to_owned(), "redis.prefix", "expected letters, digits"),
        (|c| c.redis.as_mut().unwrap().decide_within = Duration::ZERO, "redis.decide_within", ZERO),
        (|c| c.server.listen = ([0, 0, 0, 0], 80).into(), "server.listen", NO_TOKEN),
        (|c| c.server.token = Some(Secret::new("a b")), "server.token", "expected visible ASCII characters"),
    ];

    #[test]
    fn values_that_no_file_can_have_are_rejected() {
        for (change, key, message) in ROWS {
            let mut config = valid();
            change(&mut config);
            let problem = config.validate().expect_err(key);
            assert_eq!(problem.key(), *key, "{problem}");
            assert!(problem.message().starts_with(message), "{problem}");
        }
    }
}
