//! `[redis]`: where state lives that processes share.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Section, choice, parsed, string, time};
use super::secrets::{self, Env};
use crate::Secret;

/// What stands behind the addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedisKind {
    /// One server.
    #[default]
    Single,
    /// Sentinels that know where the server is.
    Sentinel,
    /// Nodes of a cluster.
    Cluster,
}

/// `[redis]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// What stands behind the addresses.
    pub kind: RedisKind,
    /// Addresses such as `redis://user:password@host:6379/0` or `rediss://…`, each a secret for its password's sake.
    pub url: Vec<Secret>,
    /// The name under which Sentinels know the server.
    pub master: String,
    /// The user, where not in the address; of the server that Sentinels lead to in any case.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file of certificates to trust, instead of the public authorities.
    pub tls_ca: Option<PathBuf>,
    /// What every key begins with.
    pub prefix: String,
    /// The longest that a decision waits for Redis.
    pub decide_within: Duration,
}

impl RedisConfig {
    /// One server at an address; everything else as it is where a configuration does not say.
    #[must_use]
    pub fn single(url: &str) -> Self {
        Self {
            kind: RedisKind::Single,
            url: vec![Secret::new(url)],
            master: String::new(),
            username: None,
            password: None,
            tls_ca: None,
            prefix: PREFIX.to_owned(),
            decide_within: DECIDE_WITHIN,
        }
    }
}

/// What keys begin with unless said.
const PREFIX: &str = "tidegate:";

/// Long enough for a round trip within a site and a pause of a process, short enough to be noticed by nobody.
const DECIDE_WITHIN: Duration = Duration::from_millis(50);

const KINDS: [(&str, RedisKind); 3] =
    [("single", RedisKind::Single), ("sentinel", RedisKind::Sentinel), ("cluster", RedisKind::Cluster)];

pub(super) fn redis(section: &mut Section<'_>, env: &dyn Env) -> Option<RedisConfig> {
    let kind = section.optional("kind", choice(&KINDS));
    let url = secrets::required(section, ["url", "url_env", "url_file"], env);
    let master = section.optional("master", parsed(filled));
    let username = section.optional("username", string);
    let password = secrets::optional(section, ["password", "password_env", "password_file"], env);
    let tls_ca = section.optional("tls_ca", parsed(filled)).map(PathBuf::from);
    let prefix = section.optional("prefix", parsed(plain));
    let decide_within = section.optional("decide_within", time);
    let kind = kind.unwrap_or_default();
    match (kind, &master) {
        (RedisKind::Sentinel, None) => section.refuse("`master` is missing: the name under which Sentinels know it"),
        (RedisKind::Single | RedisKind::Cluster, Some(_)) => {
            section.refuse_value("master", "only Sentinels know names of servers; set kind = \"sentinel\"");
        }
        _ => {}
    }
    Some(RedisConfig {
        kind,
        url: addresses(section, &url?, kind)?,
        master: master.unwrap_or_default(),
        username,
        password: password?,
        tls_ca,
        prefix: prefix.unwrap_or_else(|| PREFIX.to_owned()),
        decide_within: decide_within.unwrap_or(DECIDE_WITHIN),
    })
}

/// Addresses stand apart by commas; they are never shown.
fn addresses(section: &Section<'_>, url: &Secret, kind: RedisKind) -> Option<Vec<Secret>> {
    let all: Vec<&str> = url.expose().split(',').map(str::trim).collect();
    if !all.iter().all(|one| ["redis://", "rediss://"].iter().any(|scheme| one.starts_with(scheme))) {
        section.refuse("`url` must begin with redis:// or rediss://; several addresses stand apart by commas");
        return None;
    }
    if kind == RedisKind::Single && all.len() > 1 {
        section.refuse("`url` names several servers; set `kind` to \"sentinel\" or \"cluster\", or give one address");
        return None;
    }
    Some(all.into_iter().map(Secret::new).collect())
}

fn filled(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("expected a text that is not empty") } else { Ok(text.to_owned()) }
}

/// A brace in front would take the place of the platform's own hash tag.
fn plain(text: &str) -> Result<String, &'static str> {
    let fine = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:/".contains(c));
    if fine { Ok(text.to_owned()) } else { Err("expected letters, digits and _ - . : / such as \"tidegate:\"") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OnFailure;
    use crate::config::{Config, SystemEnv};

    fn parse(text: &str) -> Result<Config, Vec<String>> {
        let problems = Config::parse(text, &SystemEnv::default());
        problems.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn state_is_shared_only_where_a_file_says_so() {
        assert_eq!(Config::default().redis, None);
        let config = parse("redis.url = 'redis://127.0.0.1:6379'").unwrap();
        assert_eq!(config.redis, Some(RedisConfig::single("redis://127.0.0.1:6379")));
    }

    #[test]
    fn every_key_is_read() {
        let text = "[redis]\nkind = 'sentinel'\nurl = 'rediss://a:1, rediss://b:2'\nmaster = 'main'\nusername = 'u'\n\
                    password = 'hunter2'\ntls_ca = 'ca.pem'\nprefix = 'shop:'\ndecide_within = '20ms'\n\
                    [limits.jd]\nrate = '1/s'\nburst = 1\non_redis_failure = 'closed'";
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
        assert_eq!(config.limits["jd"].on_redis_failure, OnFailure::Closed);
        assert_eq!(config.limits["pdd"].on_redis_failure, OnFailure::Local);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_without_the_address() {
        let rows = [
            ("kind = 'single'", "1:2: redis: `url` is missing; give `url`, `url_env` or `url_file`"),
            (
                "url = 'http://u:hunter2@h'",
                "1:2: redis: `url` must begin with redis:// or rediss://; several addresses stand apart by commas",
            ),
            (
                "url = 'redis://a,redis://b'",
                "1:2: redis: `url` names several servers; set `kind` to \"sentinel\" or \"cluster\", or give one address",
            ),
            (
                "url = 'redis://a'\nkind = 'sentinel'",
                "1:2: redis: `master` is missing: the name under which Sentinels know it",
            ),
            (
                "url = 'redis://a'\nmaster = 'main'",
                "3:10: redis.master: only Sentinels know names of servers; set kind = \"sentinel\"",
            ),
            (
                "url = 'redis://a'\nprefix = '{x}'",
                "3:10: redis.prefix: expected letters, digits and _ - . : / such as \"tidegate:\"",
            ),
            (
                "url = 'redis://a'\ndecide_within = '0s'",
                "3:17: redis.decide_within: expected a duration above zero, not \"0s\"",
            ),
            (
                "url = 'redis://a'\nkind = 'cloud'",
                "3:8: redis.kind: expected \"single\" or \"sentinel\" or \"cluster\", not \"cloud\"",
            ),
        ];
        for (text, expected) in rows {
            let problems = parse(&format!("[redis]\n{text}")).unwrap_err();
            assert_eq!(problems, [expected], "{text}");
        }
    }
}
