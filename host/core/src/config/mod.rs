//! The configuration file `tidegate.toml`, parsed into validated types.
//!
//! ```
//! use tidegate_core::config::Config;
//! let text = "presets = ['platforms']\n[limits.taobao]\nrate = '10/s'\nburst = 10\n";
//! let config = Config::parse(text).unwrap();
//! assert_eq!(config.limits["taobao"].quota.to_string(), "10/s, burst 10");
//! assert_eq!(config.limits["jd"].quota.to_string(), "5/s, burst 5"); // a limit of the preset
//! assert_eq!(config.retry, Config::default().retry); // a section that the text omits has its defaults
//!
//! let invalid = "[limits.taobao]\nrate = \"10\"\nburst = 0\n";
//! let diagnostics = Config::parse(invalid).unwrap_err();
//! let burst = diagnostics.iter().nth(1).unwrap();
//! assert_eq!(burst.to_string(), "3:9: limits.taobao.burst: expected a whole number of at least 1, found 0");
//! ```

mod channels;
mod decisions;
mod defaults;
mod environment;
mod error_shape;
mod limits;
mod names;
mod parse;
mod parser;
mod platforms;
mod policies;
mod presets;
pub mod reader;
mod redis;
mod retry;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::{Backoff, BuiltinAlert, OnRedisFailure, Quota, Secret};
use reader::{Diagnostics, Layer};

pub use channels::{Channel, ChannelConfig, ChannelContext, ChannelError, ChannelKinds};
pub use decisions::DecisionsConfig;
pub use environment::{Env, NoEnv};
pub use error_shape::{ErrorShape, FieldPath, FieldValues, NamePattern, ParseNamePatternError};
pub use parser::Parser;
pub use platforms::PlatformConfig;
pub use policies::{Isolation, PoliciesConfig, PolicyConfig, PolicyLimits, ResolvedPolicyConfig, Setting, Settings};
pub use redis::{RedisConfig, RedisKind};
pub use validate::ConfigProblem;

/// The contents of `tidegate.toml`.
///
/// `Config::default()` has no limits, no platforms, no channels and no Redis; every other setting has its default.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The limits, by name. The limit of a platform has the name of the platform.
    pub limits: BTreeMap<String, LimitConfig>,
    /// The scope of each additional limit of a platform, by the name of the limit.
    pub scopes: BTreeMap<String, LimitScope>,
    /// What is special about a platform, by its name: where it puts errors, for example.
    pub platforms: BTreeMap<String, PlatformConfig>,
    /// How failed calls are retried. A platform can have values of its own; see [`Config::retry_for`].
    pub retry: RetryConfig,
    /// How calls are counted.
    pub metrics: MetricsConfig,
    /// How alert rules are evaluated.
    pub alerting: AlertingConfig,
    /// The notification channels, by the name that rules use. Their kinds are registered in [`ChannelKinds`].
    pub channels: BTreeMap<String, ChannelConfig>,
    /// The policy directory, and the limits and settings of policies.
    pub policies: PoliciesConfig,
    /// Whether and where the verdicts of policies are logged.
    pub decisions: DecisionsConfig,
    /// The Redis that processes share. Without it, state is kept in the memory of this process.
    pub redis: Option<RedisConfig>,
    /// The HTTP server.
    pub server: ServerConfig,
}

/// A section `[limits.NAME]`: one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitConfig {
    /// The rate and the burst.
    pub quota: Quota,
    /// What the limit does while Redis is unavailable.
    pub on_redis_failure: OnRedisFailure,
}

/// The requests to which an additional limit applies: the keys `platform` and `labels` of `[limits.NAME]`. The limit of
/// the platform applies to these requests too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitScope {
    /// The platform.
    pub platform: String,
    /// The labels that a request must have, all of them.
    pub labels: BTreeMap<String, String>,
}

impl LimitConfig {
    /// Creates a limit that enforces this process's share of the quota while Redis is unavailable.
    #[must_use]
    pub const fn new(quota: Quota) -> Self {
        Self { quota, on_redis_failure: OnRedisFailure::Local }
    }

    /// Sets what the limit does while Redis is unavailable.
    #[must_use]
    pub const fn with_on_redis_failure(mut self, mode: OnRedisFailure) -> Self {
        self.on_redis_failure = mode;
        self
    }
}

impl From<Quota> for LimitConfig {
    fn from(quota: Quota) -> Self {
        Self::new(quota)
    }
}

impl LimitScope {
    /// Creates the scope of the requests to a platform that have all of these labels.
    #[must_use]
    pub fn new(platform: impl Into<String>, labels: BTreeMap<String, String>) -> Self {
        Self { platform: platform.into(), labels }
    }
}

impl Config {
    /// Adds a limit, or replaces the limit of this name. The limit of a platform has the name of the platform.
    ///
    /// ```
    /// use tidegate_core::Quota;
    /// use tidegate_core::config::Config;
    /// let quota = Quota::new("40/s".parse()?, 40)?;
    /// let config = Config::default().with_limit("shop", quota);
    /// assert_eq!(config.limits["shop"].quota, quota);
    /// # Ok::<(), tidegate_core::QuotaError>(())
    /// ```
    #[must_use]
    pub fn with_limit(mut self, name: impl Into<String>, limit: impl Into<LimitConfig>) -> Self {
        self.limits.insert(name.into(), limit.into());
        self
    }

    /// Sets the policy directory, and the limits and settings of policies.
    #[must_use]
    pub fn with_policies(self, policies: PoliciesConfig) -> Self {
        Self { policies, ..self }
    }

    /// Sets the Redis that processes share.
    #[must_use]
    pub fn with_redis(self, redis: RedisConfig) -> Self {
        Self { redis: Some(redis), ..self }
    }

    /// Returns the names of the additional limits of `platform` that apply to a request with these labels.
    pub fn scoped_limits<'a>(
        &'a self,
        platform: &'a str,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a str> + 'a {
        let applies = move |scope: &LimitScope| {
            scope.platform == platform && scope.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        self.scopes.iter().filter(move |(_, scope)| applies(scope)).map(|(name, _)| name.as_str())
    }

    /// Returns how failed calls of a platform are retried: `[platforms.NAME.retry]`, or else `[retry]`.
    #[must_use]
    pub fn retry_for(&self, platform: &str) -> &RetryConfig {
        self.platforms.get(platform).and_then(|platform| platform.retry.as_ref()).unwrap_or(&self.retry)
    }

    /// Returns the error shapes of a platform, in order of precedence.
    #[must_use]
    pub fn error_shapes(&self, platform: &str) -> &[ErrorShape] {
        self.platforms.get(platform).map_or(&[], |platform| &platform.error)
    }

    /// Returns the default configuration with the preset `platforms`: the limits of 18 platforms, and where they put
    /// errors in their responses.
    ///
    /// ```
    /// use tidegate_core::config::Config;
    /// assert_eq!(Config::with_platforms().limits["jd"].quota.to_string(), "5/s, burst 5");
    /// ```
    #[must_use]
    pub fn with_platforms() -> Self {
        Self::built_in("presets = [\"platforms\"]")
    }

    /// Parses a configuration. Values that it omits have their defaults. It cannot refer to environment variables,
    /// files and channel kinds; for these, use a [`Parser`].
    ///
    /// # Errors
    /// Returns every mistake of the text, each with its position and how to fix it.
    pub fn parse(text: &str) -> Result<Self, Diagnostics> {
        Parser::new().parse(text)
    }

    #[expect(clippy::expect_used, reason = "the text is a constant, and tests parse it")]
    fn built_in(text: &str) -> Self {
        parse::config(Layer::Defaults, text, &Parser::new(), None).expect("a built-in configuration is valid")
    }
}

/// The section `[retry]`: how failed calls are retried.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryConfig {
    /// The maximum number of attempts of a call, including the first.
    pub max_attempts: u32,
    /// The backoff: `base_delay`, `max_delay` and `jitter`.
    pub backoff: Backoff,
    /// The maximum time from the start of the first attempt to the start of the last one.
    pub deadline: Duration,
}

/// The section `[metrics]`: how calls are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsConfig {
    /// The maximum number of endpoints of a platform that have their own metrics; the rest are counted as `other`.
    pub max_endpoints: usize,
    /// How often the process adds its counts to Redis, if processes share a Redis.
    pub flush_interval: Duration,
}

/// The section `[alerting]`: how alert rules are evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertingConfig {
    /// How often every rule is evaluated.
    pub interval: Duration,
    /// How long the notification history is kept.
    pub history: Duration,
    /// The channels of built-in alerts (`[alerting.channels]`). An alert that is missing here has all channels.
    pub channels: BTreeMap<BuiltinAlert, Vec<String>>,
}

/// The section `[server]`: the HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The bearer token that requests must carry. Listening on an address other than loopback requires one.
    pub token: Option<Secret>,
}
