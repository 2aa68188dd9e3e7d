use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::Notifier;

/// Environment variables and files of a test.
#[derive(Default)]
pub(super) struct FakeEnv(BTreeMap<&'static str, &'static str>);

impl Env for FakeEnv {
    fn var(&self, name: &str) -> io::Result<String> {
        match self.0.get(name) {
            Some(&"\u{fffd}") => Err(io::Error::new(io::ErrorKind::InvalidData, "not valid UTF-8")),
            Some(text) => Ok((*text).to_owned()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        let contents = self.0.get(path.to_str().unwrap_or_default());
        contents.map(|text| (*text).to_owned()).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }
}

pub(super) fn env() -> FakeEnv {
    FakeEnv(BTreeMap::from([("TOKEN", "hunter2"), ("EMPTY", ""), ("BINARY", "\u{fffd}"), ("run/secret", "hunter2\n")]))
}

/// A channel without settings.
#[derive(Debug, PartialEq)]
struct NoSettings;

impl Channel for NoSettings {
    fn open(&self, _: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        Err(ChannelError::new("this channel is never opened"))
    }
}

pub(super) fn kinds() -> ChannelKinds {
    ChannelKinds::new().register("log", |_| Some(NoSettings))
}

fn parse(text: &str) -> Config {
    Parser::new().env(&env()).channel_kinds(&kinds()).parse(text).unwrap()
}

fn diagnostics(text: &str) -> Vec<String> {
    let diagnostics = Parser::new().env(&env()).channel_kinds(&kinds()).parse(text).unwrap_err();
    diagnostics.iter().map(ToString::to_string).collect()
}

/// Checks that a text is rejected with `expected` as its only diagnostic.
#[track_caller]
fn assert_rejected(text: &str, expected: &str) {
    assert_eq!(diagnostics(text), [expected], "{text}");
}

#[test]
fn default_configuration_has_no_limits_platforms_channels_and_redis() {
    let config = Config::default();
    assert!(config.limits.is_empty() && config.platforms.is_empty() && config.channels.is_empty());
    assert_eq!((config.redis, config.server.token, config.decisions.file), (None, None, None));
    assert!(config.server.listen.ip().is_loopback());
}

#[test]
fn shipped_configuration_has_eighteen_platforms_and_a_log_channel() {
    let config = Parser::new().channel_kinds(&kinds()).shipped().unwrap();
    let names: Vec<_> = config.limits.keys().map(String::as_str).collect();
    let expected = "alibaba_1688 alibaba_intl aliexpress amazon douyin ebay jd kuaishou lazada pdd shopee suning taobao \
                    tiktok_shop tmall vipshop walmart xiaohongshu";
    assert_eq!(names.join(" "), expected);
    assert!(config.platforms.keys().eq(config.limits.keys()), "every platform has error shapes");
    assert_eq!(config.channels, BTreeMap::from([("log".to_owned(), ChannelConfig::new("log", NoSettings))]));
    assert_eq!(Config { channels: BTreeMap::new(), ..config }, Config::with_platforms());
    assert!(Parser::new().shipped().is_err(), "there is no channel kind `log`");
}

#[test]
fn empty_file_is_the_default_configuration() {
    assert_eq!(parse(""), Config::default());
}

#[test]
fn file_replaces_only_the_values_that_it_has() {
    let config = parse(
        "presets = ['platforms']\n[limits.taobao]\nrate = '7/s'\nburst = 9\n[retry]\nmax_attempts = 2\n\
         [limits.mine]\nrate = '1/m'\nburst = 1",
    );
    let preset = Config::with_platforms();
    assert_eq!(config.limits["taobao"].quota.to_string(), "7/s, burst 9");
    assert_eq!(config.limits["mine"].quota.to_string(), "1/m, burst 1");
    assert_eq!(config.limits.len(), preset.limits.len() + 1);
    assert_eq!(config.retry, RetryConfig { max_attempts: 2, ..preset.retry });
    assert_eq!((config.platforms, config.policies, config.server), (preset.platforms, preset.policies, preset.server));
}

#[test]
fn every_key_sets_its_field() {
    let config = parse(
        "[retry]\nmax_attempts = 1\nbase_delay = '2s'\nmax_delay = '2s'\njitter = 0\ndeadline = '1h'\n\
         [metrics]\nmax_endpoints = 3\nflush_interval = '100ms'\n\
         [alerting]\ninterval = '1s'\nhistory = '1d'\n\
         channels = { redis_unavailable = ['log'], policies_differ = [] }\n\
         [channels.log]\nkind = 'log'\n\
         [policies]\ndir = 'p'\nretry_deadline = '1ms'\nalert_deadline = '2ms'\n\
         max_memory = '64KiB'\nmax_operations = 1\n\
         admit_deadline = '3ms'\nmax_table_elements = 2\nmax_instances = 3\nisolation = 'fresh'\n\
         max_call_depth = 4\nmax_string_size = '1KiB'\n\
         max_collection_size = 5\nmax_faults = 2\nfault_window = '5s'\ncache = 'c'\ncache_size = '1MiB'\n\
         [policy.'retry/x']\ndeadline = '9ms'\nisolation = 'reuse'\nsettings = { a = 1, b = true, c = 'x' }\n\
         [decisions]\nfile = 'd'\nsample_rate = 0.5\nmax_size = '1KiB'\n\
         [server]\nlisten = '0.0.0.0:80'\ntoken = 'hunter2'",
    );
    let seconds = Duration::from_secs;
    let backoff = Backoff::new(seconds(2), seconds(2));
    assert_eq!(config.retry, RetryConfig { max_attempts: 1, backoff, deadline: seconds(3600) });
    assert_eq!(config.metrics, MetricsConfig { max_endpoints: 3, flush_interval: Duration::from_millis(100) });
    let channels =
        [(BuiltinAlert::RedisUnavailable, vec!["log".to_owned()]), (BuiltinAlert::PoliciesDiffer, vec![])].into();
    let alerting = AlertingConfig { interval: seconds(1), history: seconds(86_400), channels };
    assert_eq!(config.alerting, alerting);
    let limits = PolicyLimits {
        max_memory: 65_536,
        max_table_elements: 2,
        max_instances: 3,
        isolation: Isolation::Fresh,
        max_operations: 1,
        max_call_depth: 4,
        max_string_size: 1_024,
        max_collection_size: 5,
    };
    let settings = [("a", Setting::Number(1.0)), ("b", Setting::Flag(true)), ("c", Setting::Text("x".to_owned()))];
    let own = PolicyConfig {
        deadline: Some(Duration::from_millis(9)),
        limits: PolicyLimits { isolation: Isolation::Reuse, ..limits },
        settings: settings.map(|(name, setting)| (name.to_owned(), setting)).into(),
    };
    let policies = PoliciesConfig {
        dir: "p".into(),
        retry_deadline: Duration::from_millis(1),
        alert_deadline: Duration::from_millis(2),
        admit_deadline: Duration::from_millis(3),
        limits,
        max_faults: 2,
        fault_window: seconds(5),
        cache: Some("c".into()),
        cache_size: 1 << 20,
        overrides: [("retry/x".to_owned(), own)].into(),
    };
    assert_eq!(config.policies, policies);
    let decisions = DecisionsConfig { file: Some("d".into()), sample_rate: 0.5, max_size: 1_024 };
    assert_eq!(config.decisions, decisions);
    let token = Some(Secret::new("hunter2"));
    assert_eq!(config.server, ServerConfig { listen: "0.0.0.0:80".parse().unwrap(), token });
}

#[test]
fn all_mistakes_of_a_file_are_reported_in_order_of_position() {
    let text = r#"[limits]
taobao = { rate = "0/s", burst = 10 }
jd = { rate = "5/fortnight", burst = 0 }
pdd = { rate = "5 a second" }
ebay = { rate = "1/365d", burst = 1000000 }
Walmart = { rate = "1/s", burst = 1 }
[retry]
max_attempts = 0
base_delay = "5"
max_delay = 30
jitter = 1.5
deadline = "0s"
dedline = "2m"
[metrics]
max_endpoints = "many"
flush_interval = "61s"
[alerting]
interval = "15 s"
histroy = "7d"
channels.redis_unavailable = ["log", "pager", 5]
channels.redis_unavailabel = ["log"]
[policies]
max_memory = "16MB"
max_operations = 0
[server]
listen = "localhost"
[cache]
size = 5
[channels.log]
kind = "log"
"#;
    let expected = r#"2:19: limits.taobao.rate: a rate must be above zero; a rate of zero would refuse every call
3:15: limits.jd.rate: expected tokens and a period such as "40/s", "300/m" or "10000/60s", found "5/fortnight"
3:38: limits.jd.burst: expected a whole number of at least 1, found 0
4:1: limits.pdd: `burst` is missing
4:16: limits.pdd.rate: expected tokens and a period such as "40/s", "300/m" or "10000/60s", found "5 a second"
5:35: limits.ebay.burst: a rate of 1/365d with a burst of 1000000 cannot be counted exactly; use a smaller burst or a shorter period
6:1: limits.Walmart: expected a name of the characters a-z, 0-9, _ and -
8:16: retry.max_attempts: expected a whole number from 1 to 100, found 0
9:14: retry.base_delay: expected a duration such as "250ms", "5s", "5m", "1h" or "7d", found "5"
10:13: retry.max_delay: expected a duration in quotes such as "250ms", "5s", "5m", "1h" or "7d", found an integer
11:10: retry.jitter: expected a number from 0 to 1, found 1.5
12:12: retry.deadline: expected a duration above zero, found "0s"
13:1: retry: unknown key `dedline` (did you mean `deadline`?)
15:17: metrics.max_endpoints: expected a whole number from 1 to 10000, found a string
16:18: metrics.flush_interval: expected a duration from 100ms to 1m such as "5s", found "61s"
18:12: alerting.interval: expected a duration such as "250ms", "5s", "5m", "1h" or "7d", found "15 s"
19:1: alerting: unknown key `histroy` (did you mean `history`?)
20:38: alerting.channels.redis_unavailable: unknown channel `pager`; expected `log`
20:47: alerting.channels.redis_unavailable: expected a string in quotes, found an integer
21:10: alerting.channels: unknown key `redis_unavailabel` (did you mean `redis_unavailable`?)
23:14: policies.max_memory: expected a size from "64KiB" to "4GiB" such as "16MiB", found "16MB"
24:18: policies.max_operations: expected a whole number of at least 1, found 0
26:10: server.listen: expected an address and a port such as "127.0.0.1:8700", found "localhost"
27:2: unknown key `cache`; expected one of `presets`, `platforms`, `limits`, `retry`, `metrics`, `channels`, `alerting`, `policies`, `policy`, `decisions`, `redis`, `server`"#;
    assert_eq!(diagnostics(text).join("\n"), expected);
}

#[test]
fn max_delay_below_base_delay_is_rejected_at_the_key_that_the_file_has() {
    let fix = "raise `max_delay` or lower `base_delay`";
    let message = format!("1:20: retry.base_delay: the maximum delay (30s) is below the base delay (31s); {fix}");
    assert_rejected("retry.base_delay = '31s'", &message);
    let message = format!("1:19: retry.max_delay: the maximum delay (999ms) is below the base delay (1s); {fix}");
    assert_rejected("retry.max_delay = '999ms'", &message);
    assert_eq!(parse("retry.max_delay = '1s'").retry.backoff.max_delay(), Duration::from_secs(1));
}

#[test]
fn memory_size_outside_its_range_is_rejected() {
    assert_eq!(parse("policies.max_memory = '4GiB'").policies.limits.max_memory, 4 << 30);
    for size in ["63KiB", "5GiB", "0MiB", "-1MiB", "16 MiB", "99999999999999999999GiB"] {
        let expected = format!(
            "1:23: policies.max_memory: expected a size from \"64KiB\" to \"4GiB\" such as \"16MiB\", found {size:?}"
        );
        assert_rejected(&format!("policies.max_memory = '{size}'"), &expected);
    }
}

#[test]
fn invalid_sample_and_file_of_the_decision_log_are_rejected() {
    assert_eq!(Config::default().decisions.file, None, "by default, nothing is logged");
    for sample in ["0", "0.0", "1", "1.0"] {
        assert!(parse(&format!("decisions.sample_rate = {sample}")).decisions.sample_rate.fract().abs() < f64::EPSILON);
    }
    for sample in ["-0.1", "1.01", "nan"] {
        let expected = format!("1:25: decisions.sample_rate: expected a number from 0 to 1, found {sample}");
        assert_rejected(&format!("decisions.sample_rate = {sample}"), &expected);
    }
    for file in ["", "/", "logs/", ".."] {
        let text = format!("decisions.file = '{file}'");
        assert_rejected(&text, "1:18: decisions.file: expected a file path");
    }
}

#[test]
fn listening_beyond_loopback_requires_a_token() {
    let problem = "listening on an address other than loopback requires a token; set `token`, `token_env` or \
                   `token_file` in [server], or listen on 127.0.0.1";
    for listen in ["0.0.0.0:8700", "[::]:8700", "192.168.1.5:8700"] {
        let text = format!("[server]\nlisten = '{listen}'");
        assert_rejected(&text, &format!("2:10: server.listen: {problem}"));
        assert!(parse(&format!("{text}\ntoken_env = 'TOKEN'")).server.token.is_some());
    }
    for listen in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:8700"] {
        assert_eq!(parse(&format!("server.listen = '{listen}'")).server.token, None);
    }
}

#[test]
fn secret_has_exactly_one_source_and_is_never_shown() {
    let token = Some(Secret::new("hunter2"));
    for source in ["token = 'hunter2'", "token_env = 'TOKEN'", "token_file = 'run/secret'"] {
        let config = parse(&format!("[server]\n{source}"));
        assert_eq!(config.server.token, token, "{source}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
    let cases = [
        (
            "token = 'pässword'",
            "2:9: server.token: expected visible ASCII characters without spaces, because a header carries the token",
        ),
        (
            "token = \"a\\nb\"",
            "2:9: server.token: expected visible ASCII characters without spaces, because a header carries the token",
        ),
        ("token_env = 'NOT_THERE'", "2:13: server.token_env: the environment variable NOT_THERE is not set"),
        (
            "token_env = 'BINARY'",
            "2:13: server.token_env: the environment variable BINARY cannot be read: not valid UTF-8",
        ),
        ("token_env = 'EMPTY'", "2:13: server.token_env: the environment variable EMPTY is empty"),
        ("token_file = 'gone'", "2:14: server.token_file: the file gone cannot be read: no such file"),
        ("token = ' '", "2:9: server.token: the value is empty"),
        ("token = 5", "2:9: server.token: expected a string in quotes, found an integer"),
        (
            "token = 'hunter2'\ntoken_env = 'TOKEN'",
            "3:13: server.token_env: give only one of `token`, `token_env` and `token_file`",
        ),
    ];
    for (source, expected) in cases {
        assert_rejected(&format!("[server]\n{source}"), expected);
    }
}

#[test]
fn without_an_environment_a_reference_to_a_variable_or_file_is_rejected() {
    let no_access = "cannot be read: this program does not give access to";
    for (text, expected) in [
        (
            "server.token_env = 'TOKEN'",
            format!("1:20: server.token_env: the environment variable TOKEN {no_access} environment variables"),
        ),
        ("server.token_file = 'run/secret'", format!("1:21: server.token_file: the file run/secret {no_access} files")),
    ] {
        let diagnostics = Config::parse(text).unwrap_err();
        assert_eq!(diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn additional_limit_applies_to_requests_with_all_of_its_labels() {
    let limit = |name: &str, labels: &str| {
        format!("[limits.{name}]\nrate = '1/s'\nburst = 1\nplatform = 'pdd'\nlabels = {{ {labels} }}\n")
    };
    let text = "limits.pdd = { rate = '1/s', burst = 1 }\n".to_owned()
        + &limit("orders", "api = 'orders'")
        + &limit("vip", "api = 'orders', seller = '7'");
    let config = Config::parse(&text).unwrap();
    let scoped = |platform: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config.scoped_limits(platform, &labels).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(scoped("pdd", &[("api", "orders")]), "orders");
    assert_eq!(scoped("pdd", &[("api", "orders"), ("seller", "7"), ("x", "y")]), "orders vip");
    assert_eq!(scoped("pdd", &[("api", "goods"), ("seller", "7")]), "");
    assert_eq!(scoped("pdd", &[]), "");
    assert_eq!(scoped("jd", &[("api", "orders")]), "");
}
