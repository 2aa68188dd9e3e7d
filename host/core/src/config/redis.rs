//! `[redis]`: the Redis deployment in which processes share their state.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Section, parsed, positive_duration, string};
use super::validate::{ConfigProblem, above_zero, require};
use crate::Secret;

/// The kind of a Redis deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisKind {
    /// One server.
    #[default]
    Single,
    /// A server whose address Redis Sentinel provides.
    Sentinel,
    /// A cluster.
    Cluster,
}

crate::text_enum!(RedisKind { Single => "single", Sentinel => "sentinel", Cluster => "cluster" });

/// The section `[redis]`: the Redis deployment in which processes share their state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The kind of the deployment.
    pub kind: RedisKind,
    /// The URLs, such as `redis://user:password@host:6379/0` or `rediss://…`. They are secrets because they may contain
    /// a password.
    pub url: Vec<Secret>,
    /// The master name: the name under which Sentinels monitor the server. Empty if `kind` is not `sentinel`.
    pub master: String,
    /// The user. It replaces the user in the URL. With Sentinels, it is the user of the server, and the URL has the
    /// user of the Sentinels.
    pub username: Option<String>,
    /// The password of the user. It replaces the password in the URL in the same way.
    pub password: Option<Secret>,
    /// A PEM file with the certificates to trust instead of the public certificate authorities.
    pub tls_ca: Option<PathBuf>,
    /// The prefix of every key.
    pub prefix: String,
    /// The maximum time that a decision waits for Redis.
    pub decide_within: Duration,
}

impl RedisConfig {
    /// Returns the configuration of one server at `url`, with the defaults for everything else.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_core::config::RedisConfig;
    /// let redis = RedisConfig::single("redis://10.0.0.5:6379")
    ///     .with_password("hunter2")
    ///     .with_decide_within(Duration::from_millis(20));
    /// assert_eq!(redis.prefix, "tidegate:");
    /// ```
    #[must_use]
    pub fn single(url: impl Into<Secret>) -> Self {
        Self::new(RedisKind::Single, [url], "")
    }

    /// Returns the configuration of the server that these Sentinels monitor under the name `master`.
    #[must_use]
    pub fn sentinel(urls: impl IntoIterator<Item = impl Into<Secret>>, master: impl Into<String>) -> Self {
        Self::new(RedisKind::Sentinel, urls, master)
    }

    /// Returns the configuration of the cluster of these nodes. One node is enough; it reports the others.
    #[must_use]
    pub fn cluster(urls: impl IntoIterator<Item = impl Into<Secret>>) -> Self {
        Self::new(RedisKind::Cluster, urls, "")
    }

    fn new(kind: RedisKind, urls: impl IntoIterator<Item = impl Into<Secret>>, master: impl Into<String>) -> Self {
        Self {
            kind,
            url: urls.into_iter().map(Into::into).collect(),
            master: master.into(),
            username: None,
            password: None,
            tls_ca: None,
            prefix: PREFIX.to_owned(),
            decide_within: DECIDE_WITHIN,
        }
    }

    /// Checks the values. [`Config::validate`](super::Config::validate) calls it.
    ///
    /// # Errors
    /// Returns an error about the first value that a configuration file could not contain. The error does not contain
    /// the URLs.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        require(!self.url.is_empty(), "redis.url", URL_RULE)?;
        if let Some(problem) = url_problem(self.url.iter().map(Secret::expose), self.kind) {
            return Err(ConfigProblem::new("redis.url", problem));
        }
        let needs_master = self.kind == RedisKind::Sentinel;
        require(!needs_master || !self.master.is_empty(), "redis.master", MASTER_MISSING)?;
        require(needs_master || self.master.is_empty(), "redis.master", MASTER_UNUSED)?;
        require(is_prefix(&self.prefix), "redis.prefix", PREFIX_RULE)?;
        above_zero("redis.decide_within", self.decide_within)
    }

    /// Sets the user, which replaces the user in the URL.
    #[must_use]
    pub fn with_username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Sets the password, which replaces the password in the URL.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<Secret>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the PEM file with the certificates to trust instead of the public certificate authorities.
    #[must_use]
    pub fn with_tls_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_ca = Some(file.into());
        self
    }

    /// Sets the prefix of every key.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the maximum time that a decision waits for Redis.
    #[must_use]
    pub fn with_decide_within(mut self, timeout: Duration) -> Self {
        self.decide_within = timeout;
        self
    }
}

/// The default prefix of keys.
const PREFIX: &str = "tidegate:";

/// The default of `decide_within`. It is long enough for a round trip within a site and a short pause of a process, and
/// too short for a caller to notice.
const DECIDE_WITHIN: Duration = Duration::from_millis(50);

pub(super) fn read_redis(section: &mut Section<'_>) -> Option<RedisConfig> {
    let kind = section.required("kind", parsed(str::parse::<RedisKind>));
    let url = section.required_secret("url");
    let master = section.optional("master", parsed(parse_non_empty));
    let username = section.optional("username", string);
    let password = section.optional_secret("password");
    let tls_ca = section.optional("tls_ca", parsed(parse_non_empty)).map(PathBuf::from);
    let prefix = section.required("prefix", parsed(parse_prefix));
    let decide_within = section.required("decide_within", positive_duration);
    let kind = kind?;
    match (kind, &master) {
        (RedisKind::Sentinel, None) => section.reject(MASTER_MISSING),
        (RedisKind::Single | RedisKind::Cluster, Some(_)) => {
            section.reject_value("master", MASTER_UNUSED);
        }
        _ => {}
    }
    Some(RedisConfig {
        kind,
        url: parse_urls(section, &url?, kind)?,
        master: master.unwrap_or_default(),
        username,
        password: password?,
        tls_ca,
        prefix: prefix?,
        decide_within: decide_within?,
    })
}

/// What is expected of `url`.
const URL_RULE: &str = "expected a URL that starts with redis:// or rediss://; separate several URLs with commas";
/// What is expected of `prefix`.
const PREFIX_RULE: &str = "expected letters, digits and _ - . : / such as \"tidegate:\"";
const MASTER_MISSING: &str = "`master` is missing; give the name under which the Sentinels monitor the master";
const MASTER_UNUSED: &str = "`master` requires kind = \"sentinel\"";

/// Returns what is wrong with the URLs of a deployment of this kind.
fn url_problem<'a>(mut urls: impl Iterator<Item = &'a str> + Clone, kind: RedisKind) -> Option<&'static str> {
    let several = urls.clone().nth(1).is_some();
    if !urls.all(|url| ["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme))) {
        return Some(URL_RULE);
    }
    let message = "several URLs require kind = \"sentinel\" or \"cluster\"; set it, or give one URL";
    (kind == RedisKind::Single && several).then_some(message)
}

/// Splits a list of URLs at its commas. Messages do not show the URLs, which may contain a password.
fn parse_urls(section: &Section<'_>, url: &Secret, kind: RedisKind) -> Option<Vec<Secret>> {
    let urls: Vec<&str> = url.expose().split(',').map(str::trim).collect();
    if let Some(problem) = url_problem(urls.iter().copied(), kind) {
        section.reject_secret("url", problem);
        return None;
    }
    Some(urls.into_iter().map(Secret::new).collect())
}

fn parse_non_empty(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("expected a string that is not empty") } else { Ok(text.to_owned()) }
}

fn parse_prefix(text: &str) -> Result<String, &'static str> {
    if is_prefix(text) { Ok(text.to_owned()) } else { Err(PREFIX_RULE) }
}

/// Returns whether a text is a key prefix. Braces are not allowed, because Redis would use the text in them as the hash
/// tag instead of the platform.
fn is_prefix(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:/".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OnRedisFailure;
    use crate::config::{Config, Parser, tests::env};

    fn parse(text: &str) -> Result<Config, Vec<String>> {
        let config = Parser::new().env(&env()).parse(text);
        config.map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn redis_is_configured_only_with_a_redis_section() {
        assert_eq!(Config::default().redis, None);
        let config = parse("redis.url = 'redis://127.0.0.1:6379'").unwrap();
        assert_eq!(config.redis, Some(RedisConfig::single("redis://127.0.0.1:6379")));
    }

    #[test]
    fn every_key_is_read() {
        let text = "[redis]\nkind = 'sentinel'\nurl = 'rediss://a:1, rediss://b:2'\nmaster = 'main'\nusername = 'u'\n\
                    password = 'hunter2'\ntls_ca = 'ca.pem'\nprefix = 'shop:'\ndecide_within = '20ms'\n\
                    [limits]\njd = { rate = '1/s', burst = 1, on_redis_failure = 'closed' }\n\
                    pdd = { rate = '1/s', burst = 1 }";
        let config = parse(text).unwrap();
        let expected = RedisConfig {
            kind: RedisKind::Sentinel,
            url: vec![Secret::new("rediss://a:1"), Secret::new("rediss://b:2")],
            master: "main".to_owned(),
            username: Some("u".to_owned()),
            password: Some(Secret::new("hunter2")),
            tls_ca: Some("ca.pem".into()),
            prefix: "shop:".to_owned(),
            decide_within: Duration::from_millis(20),
        };
        assert_eq!(config.redis, Some(expected));
        assert_eq!(config.limits["jd"].on_redis_failure, OnRedisFailure::Closed);
        assert_eq!(config.limits["pdd"].on_redis_failure, OnRedisFailure::Local);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn mistakes_are_reported_with_their_position_and_without_the_url() {
        let cases = [
            ("kind = 'single'", "1:2: redis: `url` is missing; give `url`, `url_env` or `url_file`"),
            (
                "url = 'http://u:hunter2@h'",
                "2:7: redis.url: expected a URL that starts with redis:// or rediss://; \
                 separate several URLs with commas",
            ),
            (
                "kind = 'single'\nurl_file = 'run/secret'",
                "3:12: redis.url_file: expected a URL that starts with redis:// or rediss://; \
                 separate several URLs with commas",
            ),
            (
                "url = 'redis://a,redis://b'",
                "2:7: redis.url: several URLs require kind = \"sentinel\" or \"cluster\"; set it, or give one URL",
            ),
            (
                "url = 'redis://a'\nkind = 'sentinel'",
                "1:2: redis: `master` is missing; give the name under which the Sentinels monitor the master",
            ),
            ("url = 'redis://a'\nmaster = 'main'", "3:10: redis.master: `master` requires kind = \"sentinel\""),
            (
                "url = 'redis://a'\nprefix = '{x}'",
                "3:10: redis.prefix: expected letters, digits and _ - . : / such as \"tidegate:\"",
            ),
            (
                "url = 'redis://a'\ndecide_within = '0s'",
                "3:17: redis.decide_within: expected a duration above zero, found \"0s\"",
            ),
            (
                "url = 'redis://a'\nkind = 'cloud'",
                "3:8: redis.kind: expected \"single\", \"sentinel\" or \"cluster\", found \"cloud\"",
            ),
        ];
        for (text, expected) in cases {
            let diagnostics = parse(&format!("[redis]\n{text}")).unwrap_err();
            assert_eq!(diagnostics, [expected], "{text}");
        }
    }
}
