//! The values of a configuration with their origins.

use std::fmt;

use toml::de::DeValue;

use super::{Layer, TomlValue};
use crate::secret::is_secret_name;

/// A value of the effective configuration, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EffectiveValue {
    /// The path of the key, such as `limits.taobao.rate`.
    pub key: String,
    /// The value in TOML syntax. A secret is `"***"`.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a value of the effective configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A line of the configuration file, from 1.
    Line(usize),
    /// A preset, by its name.
    Preset(&'static str),
    /// The built-in defaults.
    Default,
    /// An environment variable, by its name.
    Environment(String),
    /// A file to which the configuration refers, by its path.
    SecretFile(String),
}

impl TomlValue<'_> {
    /// Records the value as a value of the effective configuration.
    pub(super) fn record(&self) {
        let Some(values) = self.source.report.values else { return };
        // The settings of a policy have names that tidegate does not know.
        let is_secret = self.path.rsplit('.').next().is_some_and(is_secret_name);
        let value = match self.inner.get_ref() {
            DeValue::String(_) if is_secret => "\"***\"".to_owned(),
            value => to_toml(value),
        };
        values.borrow_mut().push(EffectiveValue { key: self.path.clone(), value, origin: self.origin() });
    }

    /// Returns where the value comes from.
    pub(crate) fn origin(&self) -> Origin {
        match self.source.layer {
            Layer::Document => Origin::Line(self.source.position(self.inner.span().start).line),
            Layer::Preset(name) => Origin::Preset(name),
            Layer::Defaults => Origin::Default,
        }
    }
}

/// Returns a value in TOML syntax, in one line.
fn to_toml(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| to_toml(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let pair = |(name, value): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
                format!("{} = {}", key(name.get_ref()), to_toml(value.get_ref()))
            };
            format!("{{ {} }}", table.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted(name) }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Preset(name) => write!(f, "preset {name}"),
            Self::Default => f.write_str("default"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::SecretFile(path) => write!(f, "file {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use crate::config::tests::kinds;
    use crate::config::{Env, Parser};

    struct FakeEnv;

    impl Env for FakeEnv {
        fn var(&self, _: &str) -> io::Result<String> {
            Ok("hunter2".to_owned())
        }

        fn read_file(&self, _: &Path) -> io::Result<String> {
            Ok("hunter2".to_owned())
        }
    }

    /// Returns the values of a text as `key = value (origin)`.
    fn values(text: Option<&str>) -> Vec<String> {
        let values = Parser::new().env(&FakeEnv).channel_kinds(&kinds()).effective_values(text).unwrap();
        values.iter().map(|value| format!("{} = {} ({})", value.key, value.value, value.origin)).collect()
    }

    #[test]
    fn every_value_has_its_origin() {
        let text = "presets = [\n 'platforms',\n]\n[limits]\njd = { rate = '7/s', burst = 7 }\n[retry]\n\
                    jitter = 0\n[platforms]\ntmall = false\njd.retry.max_attempts = 2\n\
                    jd.error = { at = '/err', when = { 'a b' = ['x', 5] } }\n\
                    [policy.'retry/jd']\nsettings = { wait_s = 5 }\n\
                    [alerting]\nchannels.policies_differ = ['ops']\n\
                    [channels]\nops.kind = 'log'\nlog.kind = 'log'";
        let values = values(Some(text));
        let present = [
            "presets = [\"platforms\"] (line 1)",
            "limits.jd.rate = \"7/s\" (line 5)",
            "limits.jd.burst = 7 (line 5)",
            "limits.pdd.rate = \"160/s\" (preset platforms)",
            "platforms.tmall = false (line 9)",
            "platforms.jd.retry.max_attempts = 2 (line 10)",
            "platforms.jd.error = { at = \"/err\", when = { \"a b\" = [\"x\", 5] } } (line 11)",
            "platforms.shopee.error = { code = \"error\", message = \"message\", success_codes = \"\" } (preset platforms)",
            "retry.jitter = 0 (line 7)",
            "retry.max_attempts = 5 (default)",
            "policy.retry/jd.settings.wait_s = 5 (line 13)",
            "server.listen = \"127.0.0.1:8700\" (default)",
            // What the code sets in place of a key that is absent is a value too.
            "limits.jd.on_redis_failure = \"local\" (default)",
            "alerting.channels.redis_unavailable = [\"log\", \"ops\"] (default)",
            "alerting.channels.policies_differ = [\"ops\"] (line 15)",
        ];
        for value in present {
            assert_eq!(values.iter().filter(|known| *known == value).count(), 1, "{value}: {values:#?}");
        }
        // What is removed, replaced, inherited or absent has no value.
        let mut keys: Vec<_> = values.iter().filter_map(|value| value.split_once(" = ")).map(|(key, _)| key).collect();
        let absent = ["limits.tmall", "platforms.tmall.", "platforms.jd.retry.jitter", "policy.retry/jd.max", "redis"];
        for start in absent {
            assert!(!keys.iter().any(|key| key.starts_with(start)), "{start}: {values:#?}");
        }
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "no key is listed twice");
    }

    #[test]
    fn secret_is_masked_and_has_the_origin_of_its_value() {
        let rows = [
            ("token = 'hunter2'", "server.token = \"***\" (line 2)"),
            ("token_env = 'TOKEN'", "server.token = \"***\" (environment variable TOKEN)"),
            ("token_file = 'run/token'", "server.token = \"***\" (file run/token)"),
        ];
        for (key, expected) in rows {
            let values = values(Some(&format!("[server]\n{key}\n[redis]\nurl = 'redis://:hunter2@host'")));
            assert!(values.contains(&expected.to_owned()), "{values:#?}");
            assert!(values.contains(&"redis.url = \"***\" (line 4)".to_owned()), "{values:#?}");
            assert!(values.contains(&"redis.prefix = \"tidegate:\" (default)".to_owned()), "{values:#?}");
            assert!(!values.concat().contains("hunter2"), "{values:#?}");
        }
    }

    #[test]
    fn settings_of_policies_with_the_name_of_a_secret_are_masked() {
        let text = "[policy.'retry/shop']\nsettings = { api_token = 'hunter2', max_wait_s = 60, region = 'cn' }";
        let values = values(Some(text)).join("\n");
        assert!(values.contains("api_token = \"***\" (line 2)") && values.contains("region = \"cn\""), "{values}");
        assert!(!values.contains("hunter2"), "{values}");
    }

    #[test]
    fn shipped_configuration_has_no_lines() {
        let values = values(None);
        assert!(values.contains(&"channels.log.kind = \"log\" (default)".to_owned()), "{values:#?}");
        assert!(values.iter().all(|value| !value.contains("(line ")), "{values:#?}");
    }
}
