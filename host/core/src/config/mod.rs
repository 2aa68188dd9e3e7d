//! The configuration file `tidegate.toml`, parsed into validated types.
//!
//! ```
//! use tidegate_core::config::{Config, SystemEnv};
//! let config = Config::parse("[limits.taobao]\nrate = \"10/s\"\nburst = 10\n", &SystemEnv::default()).unwrap();
//! assert_eq!(config.limits["taobao"].quota.to_string(), "10/s, burst 10");
//! assert_eq!(config.limits["jd"], Config::default().limits["jd"]); // a limit that the file omits keeps its default
//!
//! let invalid = "[limits.taobao]\nrate = \"10\"\nburst = 0\n";
//! let diagnostics = Config::parse(invalid, &SystemEnv::default()).unwrap_err();
//! assert_eq!(diagnostics[1].to_string(), "3:9: limits.taobao.burst: expected a whole number of at least 1, found 0");
//! ```

mod channels;
mod decisions;
mod parse;
mod policies;
pub mod reader;
mod redis;
mod secrets;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::{Backoff, OnRedisFailure, Quota, Secret};
use reader::Diagnostic;

pub use decisions::DecisionsConfig;
pub use policies::{Isolation, PoliciesConfig, PolicyConfig, PolicyLimits, ResolvedPolicyConfig, Setting, Settings};
pub use redis::{RedisConfig, RedisKind};
pub use secrets::{Env, SystemEnv};

/// The text of the default configuration. The file in the crate is a symbolic link to the one at the repository root.
pub const DEFAULT_TOML: &str = include_str!("../../tidegate.toml");

/// The contents of `tidegate.toml`. `Config::default()` is the configuration that is used without a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The limits, by name. The limit of a platform has the name of the platform.
    pub limits: BTreeMap<String, LimitConfig>,
    /// The scope of each additional limit of a platform, by the name of the limit.
    pub scopes: BTreeMap<String, LimitScope>,
    /// How failed calls are retried.
    pub retry: RetryConfig,
    /// How calls are counted.
    pub metrics: MetricsConfig,
    /// How alert rules are evaluated.
    pub alerting: AlertingConfig,
    /// The notification channels, by the name that rules use.
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
pub struct LimitConfig {
    /// The rate and the burst.
    pub quota: Quota,
    /// What the limit does while Redis is unavailable.
    pub on_redis_failure: OnRedisFailure,
}

/// The requests to which an additional limit applies: the keys `platform` and `labels` of `[limits.NAME]`. The limit of
/// the platform applies to these requests too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitScope {
    /// The platform.
    pub platform: String,
    /// The labels that a request must have, all of them.
    pub labels: BTreeMap<String, String>,
}

impl Config {
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

    /// Parses a configuration. Values that it omits keep their defaults.
    ///
    /// # Errors
    /// Returns every mistake of the text, each with its position and how to fix it.
    pub fn parse(text: &str, env: &dyn Env) -> Result<Self, Vec<Diagnostic>> {
        parse::config(text, env, Some(&Self::default()))
    }
}

impl Default for Config {
    #[expect(clippy::expect_used, reason = "the text is a constant, and tests parse it")]
    fn default() -> Self {
        parse::config(DEFAULT_TOML, &SystemEnv::default(), None).expect("the default configuration is valid")
    }
}

/// The section `[retry]`: how failed calls are retried.
#[derive(Clone, Debug, PartialEq)]
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
pub struct MetricsConfig {
    /// The maximum number of endpoints of a platform that have their own metrics; the rest are counted as `other`.
    pub max_endpoints: usize,
    /// How often the process adds its counts to Redis, if processes share a Redis.
    pub flush_interval: Duration,
}

/// The section `[alerting]`: how alert rules are evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertingConfig {
    /// How often every rule is evaluated.
    pub interval: Duration,
    /// How long the notification history is kept.
    pub history: Duration,
    /// The channels that are notified when Redis is unavailable; `None` means all channels.
    pub redis_unavailable_channels: Option<Vec<String>>,
    /// The channels that are notified when a policy is quarantined; `None` means all channels.
    pub policy_quarantined_channels: Option<Vec<String>>,
}

/// A section `[channels.NAME]`: one notification channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelConfig {
    /// The log of the process.
    Log,
    /// A DingTalk robot.
    DingTalk {
        /// The complete webhook URL. It contains the access token.
        webhook: Secret,
        /// The signing secret, if the robot requires signatures.
        secret: Option<Secret>,
    },
    /// Email over SMTP.
    Email {
        /// The host name of the mail server.
        host: String,
        /// The port of the mail server.
        port: u16,
        /// Whether to require STARTTLS (`tls = "starttls"`) or to send without encryption (`tls = "none"`).
        starttls: bool,
        /// The user name and the password, if the server requires authentication.
        credentials: Option<(String, Secret)>,
        /// The address of the sender.
        from: String,
        /// The addresses of the recipients.
        to: Vec<String>,
    },
}

/// The section `[server]`: the HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The bearer token that requests must carry. Listening beyond loopback requires one.
    pub token: Option<Secret>,
}
