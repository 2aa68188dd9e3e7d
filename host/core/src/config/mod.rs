//! The configuration, as types that cannot hold nonsense.
//!
//! ```
//! use tidegate_core::config::{Config, SystemEnv};
//! let config = Config::parse("[limits.taobao]\nrate = \"10/s\"\nburst = 10\n", &SystemEnv::default()).unwrap();
//! assert_eq!(config.limits["taobao"].quota.to_string(), "10/s, burst 10");
//! assert_eq!(config.limits["jd"], Config::default().limits["jd"]); // what a file leaves out keeps its default
//!
//! let problems = Config::parse("[limits.taobao]\nrate = \"10\"\nburst = 0\n", &SystemEnv::default()).unwrap_err();
//! assert_eq!(problems[1].to_string(), "3:9: limits.taobao.burst: expected a whole number of at least 1, not 0");
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

use crate::{Backoff, OnFailure, Quota, Secret};
use reader::Problem;

pub use decisions::DecisionsConfig;
pub use policies::{Bounds, Isolation, PoliciesConfig, PolicyConfig, Setting, Settings, Terms};
pub use redis::{RedisConfig, RedisKind};
pub use secrets::{Env, SystemEnv};

/// The configuration that holds without a file; a link in the crate leads to the one at the top of the repository.
pub const SHIPPED: &str = include_str!("../../tidegate.toml");

/// Everything that `tidegate.toml` says; `Config::default()` is what holds without a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The limit of each platform, by name.
    pub limits: BTreeMap<String, LimitConfig>,
    /// Which of them are further limits of a platform, for what an admission policy gives their labels.
    pub scopes: BTreeMap<String, LimitScope>,
    /// How failed calls are repeated.
    pub retry: RetryConfig,
    /// What is kept of calls.
    pub metrics: MetricsConfig,
    /// How alert rules are evaluated.
    pub alerting: AlertingConfig,
    /// Where alerts go, by the name that rules use.
    pub channels: BTreeMap<String, ChannelConfig>,
    /// Where policies live and how far they may go.
    pub policies: PoliciesConfig,
    /// Whether and where the verdicts of policies are written down.
    pub decisions: DecisionsConfig,
    /// Where state lives that processes share; without it, state lives in this process alone.
    pub redis: Option<RedisConfig>,
    /// The HTTP server.
    pub server: ServerConfig,
}

/// `[limits.NAME]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitConfig {
    /// Rate and burst.
    pub quota: Quota,
    /// What holds while Redis is away.
    pub on_redis_failure: OnFailure,
}

/// `platform` and `labels` of `[limits.NAME]`: which requests pass this limit besides their platform's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitScope {
    /// The platform.
    pub platform: String,
    /// The labels that a request must have, all of them.
    pub labels: BTreeMap<String, String>,
}

impl Config {
    /// The further limits of a platform whose labels are all among these, by name.
    pub fn picked<'a>(
        &'a self,
        platform: &'a str,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a str> + 'a {
        let fits = move |scope: &LimitScope| {
            scope.platform == platform && scope.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        self.scopes.iter().filter(move |(_, scope)| fits(scope)).map(|(name, _)| name.as_str())
    }

    /// Reads a configuration; what it leaves out is as shipped.
    ///
    /// # Errors
    /// Every mistake at once, each with its place and how to mend it.
    pub fn parse(text: &str, env: &dyn Env) -> Result<Self, Vec<Problem>> {
        parse::config(text, env, Some(&Self::default()))
    }
}

impl Default for Config {
    #[expect(clippy::expect_used, reason = "the text is a constant, and the tests read it")]
    fn default() -> Self {
        parse::config(SHIPPED, &SystemEnv::default(), None).expect("the shipped configuration is whole")
    }
}

/// `[retry]`
#[derive(Clone, Debug, PartialEq)]
pub struct RetryConfig {
    /// Attempts for one call, the first included.
    pub max_attempts: u32,
    /// `base`, `cap` and `jitter`.
    pub backoff: Backoff,
    /// No retry begins later than this after the first attempt began.
    pub deadline: Duration,
}

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Endpoints counted apart for each platform; further ones are counted together as `other`.
    pub max_endpoints: usize,
    /// How often what this process counted is added to what all processes counted, where they share a Redis.
    pub flush: Duration,
}

/// `[alerting]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertingConfig {
    /// How often every rule is evaluated.
    pub interval: Duration,
    /// How long history is kept.
    pub history: Duration,
    /// The channels that are told when Redis is away; all where it is not said.
    pub redis_away_channels: Option<Vec<String>>,
    /// Who is told when a policy is set aside for its faults; all channels unless said.
    pub policy_channels: Option<Vec<String>>,
}

/// `[channels.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelConfig {
    /// The process's own log.
    Log,
    /// A DingTalk robot.
    DingTalk {
        /// The whole webhook address; it holds the access token.
        webhook: Secret,
        /// The signing secret, where the robot demands signatures.
        secret: Option<Secret>,
    },
    /// E-mail by SMTP.
    Email {
        /// The server's name.
        host: String,
        /// Its port.
        port: u16,
        /// Whether to demand STARTTLS (`tls = "starttls"`) or to speak plainly (`tls = "none"`).
        starttls: bool,
        /// User name and password, where the server demands them.
        credentials: Option<(String, Secret)>,
        /// The sender.
        from: String,
        /// The receivers.
        to: Vec<String>,
    },
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The address to bind.
    pub listen: SocketAddr,
    /// The bearer token that callers must show; demanded beyond loopback.
    pub token: Option<Secret>,
}
