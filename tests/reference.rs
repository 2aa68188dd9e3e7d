//! The reference of the configuration, `tidegate.toml` at the root of the repository: it has the defaults, its examples
//! are valid, and it mentions every key.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tidegate::Config;
use tidegate_core::config::reader::Diagnostics;
use tidegate_core::config::{Env, Parser};

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tidegate.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the reference with its commented examples as code.
fn with_examples() -> String {
    let reference = reference();
    let lines = reference.lines().map(|line| match line.strip_prefix("# ") {
        Some(code) if code.starts_with('[') || code.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
            code
        }
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The environment variables that the examples name.
struct ExampleEnv;

impl Env for ExampleEnv {
    fn var(&self, name: &str) -> io::Result<String> {
        let values = [
            ("DINGTALK_SECRET", "secret"),
            ("DINGTALK_WEBHOOK", "https://oapi.dingtalk.com/robot/send?access_token=x"),
            ("REDIS_PASSWORD", "secret"),
            ("REDIS_URL", "redis://127.0.0.1:6379"),
            ("SMTP_PASSWORD", "secret"),
        ];
        let value = values.into_iter().find(|(known, _)| *known == name);
        value.map(|(_, value)| value.to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn parse(text: &str) -> Result<Config, Diagnostics> {
    Parser::new().env(&ExampleEnv).channel_kinds(&tidegate_notify::channel_kinds()).parse(text)
}

#[test]
fn reference_is_the_configuration_without_a_file() {
    assert_eq!(parse(&reference()).unwrap(), tidegate_notify::shipped_config());
}

#[test]
fn commented_examples_are_valid() {
    let config = parse(&with_examples()).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert!(config.redis.is_some() && config.channels.len() == 3 && !config.limits.contains_key("tmall"));
    assert_eq!((config.retry_for("shop").max_attempts, config.error_shapes("shop").len()), (3, 1));
}

/// Returns the keys of a section: those that the error about an unknown key lists. `before` makes the rest of the
/// section complete enough to be read.
fn keys_of(before: &str, section: &str) -> Vec<String> {
    // No key is similar to this one, so the error lists all keys.
    let text = format!("{before}\n{section}\n\"?????????\" = 1\n");
    let errors = parse(&text).unwrap_err();
    let error = errors.iter().find(|error| error.message.contains("unknown key `?????????`"));
    let error = error.unwrap_or_else(|| panic!("{section}: {errors:?}"));
    let (_, keys) = error.message.split_once("; expected ").unwrap();
    keys.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_of_every_section_is_mentioned() {
    let shop = "limits.shop = { rate = '1/s', burst = 1 }";
    let sections = [
        ("", "", vec![]),
        ("", "[limits.shop]", vec!["limits"]),
        (shop, "[platforms.shop]", vec!["platforms"]),
        // The reference refers to [retry].
        (shop, "[platforms.shop.retry]", vec!["retry"]),
        (shop, "[platforms.shop.error]", vec!["platforms"]),
        ("", "[retry]", vec!["retry"]),
        ("", "[metrics]", vec!["metrics"]),
        ("", "[alerting]", vec!["alerting"]),
        ("", "[alerting.channels]", vec!["alerting"]),
        ("", "[channels.x]\nkind = 'log'", vec!["channels"]),
        ("", "[channels.x]\nkind = 'dingtalk'", vec!["channels"]),
        ("", "[channels.x]\nkind = 'email'", vec!["channels"]),
        ("", "[policies]", vec!["policies"]),
        // The reference refers to [policies].
        ("", "[policy.'retry/x']", vec!["policies", "policy"]),
        ("", "[decisions]", vec!["decisions"]),
        ("", "[redis]", vec!["redis"]),
        ("", "[server]", vec!["server"]),
    ];
    let reference = reference();
    let texts = text_by_table(&reference);
    let mut missing = vec![];
    for (before, section, tables) in sections {
        for key in keys_of(before, section) {
            // The head of the file describes the three forms of a secret.
            let name = key.trim_end_matches("_env").trim_end_matches("_file");
            let forms = [name.to_owned(), format!("{name}_env"), format!("{name}_file")];
            let mentions = |text: &str| {
                let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                words.any(|word| forms.iter().any(|form| form == word))
            };
            let is_mentioned = match tables[..] {
                [] => mentions(&reference),
                _ => tables.iter().any(|table| mentions(texts.get(*table).map_or("", String::as_str))),
            };
            if !is_mentioned {
                missing.push(format!("{section} {key}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Returns the lines under the headers `[NAME…]` and `# [NAME…]` by NAME, with the comments before the headers.
fn text_by_table(reference: &str) -> BTreeMap<&str, String> {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let mut table = "";
    for block in reference.split("\n\n") {
        for line in block.lines() {
            let header = line.trim_start_matches("# ").strip_prefix('[');
            if let Some((name, _)) = header.and_then(|header| header.split_once(['.', ']'])) {
                table = name;
            }
        }
        texts.entry(table).or_default().push_str(block);
    }
    texts
}
