//! The commands `check`, `serve` and `eval` of the binary: output and exit status.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

struct TestDir(tempfile::TempDir);

impl TestDir {
    /// Creates a directory with these files.
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = dir.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    /// Runs the command in the directory. Returns exit status, standard output and standard error.
    fn run(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let output = run(self.0.path(), arguments, input);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn run(dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

const RULES: &str = "[rules.r]\ncondition = \"error_rate > 0.1\"\nchannels = [\"log\"]\n";

#[test]
fn check_returns_0_for_valid_files_and_1_for_a_rejected_policy() {
    let dir = TestDir::new(&[("policies/alerts.toml", RULES)]);
    let (code, out, _) = dir.run(&["check"], "");
    assert_eq!((code, out.lines().last()), (0, Some("alerts.toml: ok")));
    let dir = TestDir::new(&[("policies/alerts.toml", &RULES.replace("error_rate", "eror_rate"))]);
    let (code, out, _) = dir.run(&["check", "--json"], "");
    assert_eq!(code, 1);
    assert!(out.contains("policies/alerts.toml:2:14: unknown variable `eror_rate`"), "{out}");
}

#[test]
fn check_notes_an_unused_policy_and_fails_with_strict() {
    let limit = "[limits.shop]\nrate = \"1/s\"\nburst = 1\n";
    let script = "if status == 429 { retry(\"throttled\") } else { abstain() }";
    let files = |limits| [("tidegate.toml", limits), ("policies/retry/shop.rhai", script)];
    let (code, out, _) = TestDir::new(&files(limit)).run(&["check", "--strict"], "");
    assert!((code, out.contains("note")) == (0, false), "{out}");
    let (code, out, _) = TestDir::new(&files("")).run(&["check", "--strict"], "");
    assert!(code == 1 && out.contains("note: retry/shop.rhai is never used: there is no [limits.shop]"), "{out}");
    assert_eq!(TestDir::new(&files("")).run(&["check"], "").0, 0, "notes alone are not an error");
}

#[test]
fn check_notes_a_policy_that_reads_codes_which_the_host_does_not_find() {
    let limit = "[limits.shop]\nrate = \"1/s\"\nburst = 1\n";
    let with = |section: &str| format!("{limit}{section}");
    let rows = [
        (with(""), "if code == \"7\" { retry(\"auth\") } else { abstain() }", Some("code")),
        (with(""), "if message.contains(\"busy\") { retry(\"auth\") } else { abstain() }", Some("message")),
        (with(""), "if body.contains(\"busy\") { retry(\"auth\") } else { abstain() }", None),
        (with("[platforms.shop]\nerror = []"), "if code == \"7\" { retry(\"auth\") } else { abstain() }", None),
    ];
    for (config, script, variable) in rows {
        let files = [("tidegate.toml", config.as_str()), ("policies/retry/shop.rhai", script)];
        let (code, out, _) = TestDir::new(&files).run(&["check", "--strict"], "");
        let note = variable.map(|name| format!("retry/shop.rhai reads `{name}`, but [platforms.shop] has no `error`"));
        assert_eq!(code, i32::from(note.is_some()), "{config} {script} {out}");
        assert!(note.is_none_or(|note| out.contains(&note)), "{config} {script} {out}");
    }
}

#[test]
fn check_says_that_a_configuration_without_channels_sends_no_notifications() {
    let limit = "[limits.shop]\nrate = \"1/s\"\nburst = 1\n";
    for (channel, is_reported) in [("", true), ("[channels.log]\nkind = \"log\"\n", false)] {
        let dir =
            TestDir::new(&[("tidegate.toml", &format!("{limit}{channel}")), ("policies/alerts.toml", "# no rules\n")]);
        let (code, out, _) = dir.run(&["check", "--strict"], "");
        assert!(code == 0 && out.contains("no notifications are sent") == is_reported, "{channel} {out}");
    }
}

#[test]
fn only_check_and_serve_reject_the_channel_kinds_of_another_program() {
    let config = "presets = ['platforms']\n[channels.oncall]\nkind = 'pager'\nnumber = 7\n";
    let script = "if code == \"7\" { retry(\"throttled\") } else { abstain() }";
    let dir = TestDir::new(&[("tidegate.toml", config), ("policies/retry/jd.rhai", script)]);
    for arguments in [&["check"][..], &["serve"]] {
        let (code, _, err) = dir.run(arguments, "");
        assert!(code == 2 && err.contains("3:8: channels.oncall.kind: unknown channel kind `pager`"), "{err}");
    }
    for arguments in [&["eval", "policies/retry/jd.rhai"][..], &["config", "show"]] {
        let (code, _, err) = dir.run(arguments, "{\"code\": \"7\"}");
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn invalid_configuration_returns_2_and_reports_all_errors() {
    let dir = TestDir::new(&[("tidegate.toml", "[limits]\njd = { rate = \"0/s\", burst = 0 }\n[retri]\n")]);
    for command in [["check"], ["serve"]] {
        let (code, out, err) = dir.run(&command, "");
        assert_eq!((code, out.as_str()), (2, ""));
        for message in
            ["2:15: limits.jd.rate: ", "2:30: limits.jd.burst: ", "3:2: unknown key `retri` (did you mean `retry`?)"]
        {
            assert!(err.contains(&format!("error: tidegate.toml:{message}")), "{message} is not in {err}");
        }
    }
}

#[test]
fn redis_that_serve_rejects_is_rejected_by_check() {
    let rows = [
        ("url = 'redis://host:port'", "[redis] url: expected a URL such as"),
        ("url = 'rediss://host'\ntls_ca = 'ca.pem'", "[redis] tls_ca: cannot read ca.pem: No such file"),
        ("url = 'rediss://host'\ntls_ca = '.'", "[redis] tls_ca: cannot read .: expected a regular file"),
        ("url = 'redis://host'\nprefix = '{x}'", "3:10: redis.prefix: expected letters"),
        ("url_file = '/dev/zero'", "2:12: redis.url_file: the file /dev/zero cannot be read: expected a regular file"),
    ];
    for (text, expected) in rows {
        let dir = TestDir::new(&[("tidegate.toml", &format!("[redis]\n{text}")), ("policies/alerts.toml", RULES)]);
        for command in ["check", "serve"] {
            let (code, _, err) = dir.run(&[command], "");
            assert!(code == 2 && err.contains(expected), "{command} {text}: {code} {err}");
        }
    }
}

#[test]
fn eval_says_that_a_response_is_a_success() {
    let files = [("tidegate.toml", "presets = ['platforms']"), ("policies/retry/taobao.rhai", "retry(\"throttled\")")];
    let dir = TestDir::new(&files);
    let success = r#""{\"trade_get_response\": {}}""#;
    let error = r#""{\"error_response\": {\"code\": 7}}""#;
    let rows = [
        (format!(r#"{{"status": 200, "body": {success}}}"#), "success: true"),
        (format!(r#"{{"body": {success}}}"#), "success: true"),
        (format!(r#"{{"status": 206, "body": {error}}}"#), "success: true"),
        (format!(r#"{{"status": 503, "body": {success}}}"#), "action: retry"),
        (format!(r#"{{"status": 200, "body": {error}}}"#), "action: retry"),
        (format!(r#"{{"status": 200, "code": "7", "body": {success}}}"#), "action: retry"),
        (format!(r#"{{"kind": "timeout", "body": {success}}}"#), "action: retry"),
        (r#"{"status": 200}"#.to_owned(), "action: retry"),
    ];
    for (input, expected) in rows {
        let (code, out, err) = dir.run(&["eval", "policies/retry/taobao.rhai"], &input);
        assert!(code == 0 && out.contains(expected), "{input}: {out}{err}");
    }
    let (code, _, err) = dir.run(&["eval", "policies/retry/taobao.rhai"], r#"{"code": "1", "code": "2"}"#);
    assert!(code == 2 && err.starts_with("error: standard input:1:20: `code` occurs twice"), "{code} {err}");
}

#[test]
fn bench_measures_a_policy_whose_name_has_dots() {
    let dir = TestDir::new(&[("retry/shop-0.2.0.rhai", "if code == \"x\" { retry(\"quota\") } else { abstain() }")]);
    let (code, out, err) = dir.run(&["bench", "policy", "retry/shop-0.2.0.rhai", "--seconds", "1", "--json"], "");
    assert!(code == 0 && out.contains(r#""language":"rhai""#), "{code} {out}{err}");
}

#[test]
fn invalid_channel_returns_2_and_the_error_names_its_position() {
    let mail = "kind = \"email\"\nhost = \"h\"\nport = 25\ntls = \"none\"\nto = [\"a@b.c\"]\nfrom = \"a@b@c\"\n";
    let robot = "kind = \"dingtalk\"\nwebhook = \"https://\"\n";
    for (channel, message) in [
        (mail, "9:8: channels.ops.from: expected an address such as"),
        (robot, "5:11: channels.ops.webhook: expected the complete URL that DingTalk shows"),
        ("kind = \"dingtlak\"\n", "4:8: channels.ops.kind: unknown channel kind `dingtlak` (did you mean `dingtalk`?)"),
    ] {
        let config = format!("[channels.log]\nkind = \"log\"\n[channels.ops]\n{channel}");
        let dir = TestDir::new(&[("tidegate.toml", &config), ("policies/alerts.toml", RULES)]);
        for command in [["check"], ["serve"]] {
            let (code, out, err) = dir.run(&command, "");
            assert_eq!((code, out.as_str()), (2, ""), "{err}");
            assert!(err.contains(&format!("tidegate.toml:{message}")), "{err}");
        }
    }
}

#[test]
fn listening_beyond_loopback_requires_a_token() {
    let (code, _, err) = TestDir::new(&[]).run(&["serve", "--listen", "0.0.0.0:0"], "");
    assert_eq!(code, 2);
    assert!(err.contains("token"), "{err}");
}

#[test]
fn eval_returns_0_for_a_verdict_1_for_a_fault_and_2_for_invalid_input() {
    let dir = TestDir::new(&[
        ("retry/jd.rhai", "if code == \"2\" { give_up(\"quota\") } else { retry(\"transient\", 500) }"),
        ("retry/loops.rhai", "if code == \"9\" { while true { } } abstain()"),
        ("retry/body.rhai", "if body.contains(\"busy\") { retry(\"transient\") } else { abstain() }"),
        ("alerts/slow.rhai", "p95 > 100 && window(\"1h\").count > 10"),
    ]);
    let (code, out, _) = dir.run(&["eval", "retry/body.rhai", "--json"], r#"{"body": "<e>busy</e>"}"#);
    assert_eq!((code, out.trim()), (0, r#"{"action":"retry","class":"transient"}"#));
    let (code, out, _) = dir.run(&["eval", "retry/jd.rhai", "--json"], r#"{"code": "7"}"#);
    assert_eq!((code, out.trim()), (0, r#"{"action":"retry","after_ms":500,"class":"transient"}"#));
    let input = r#"{"platform": "jd", "p95": 200, "count": 5, "windows": {"1h": {"count": 11}}}"#;
    let (code, out, _) = dir.run(&["eval", "alerts/slow.rhai", "--json"], input);
    assert_eq!((code, out.trim()), (0, r#"{"state":"firing"}"#));
    let (code, out, _) = dir.run(&["eval", "retry/loops.rhai", "--json"], r#"{"code": "9"}"#);
    assert_eq!(code, 1);
    assert!(out.contains("\"fault\":"), "{out}");
    let rows = [
        ("retry/jd.rhai", "{", "standard input:1:1: "),
        ("retry/jd.rhai", r#"{"cod": "7"}"#, "standard input: unknown field `cod`"),
        ("retry/jd.rhai", r#"{"body": 7}"#, "standard input: body: expected a string, found 7"),
        ("retry/jd.rhai", "[]", "standard input: expected an object, found an array"),
        (
            "retry/jd.rhai",
            r#"{"attempt": "x"}"#,
            ": attempt: expected a whole number from 0 to 4294967295, found \"x\"",
        ),
        ("retry/jd.rhai", r#"{"kind": 1}"#, ": kind: expected one of `timeout`, `connection`, `response`, found 1"),
        ("alerts/slow.rhai", r#"{"count": -1}"#, ": count: expected a whole number of at least 0, found -1"),
        (
            "alerts/slow.rhai",
            r#"{"windows": {"1h": {"p95": null}}}"#,
            ": windows.1h.p95: expected a number, found null",
        ),
    ];
    for (policy, input, message) in rows {
        let (code, _, err) = dir.run(&["eval", policy], input);
        assert_eq!(code, 2);
        assert!(err.starts_with("error: standard input:") && err.contains(message), "{err}");
    }
    let (code, _, err) = dir.run(&["eval", "retry/none.rhai"], "{}");
    assert_eq!(code, 2);
    assert!(err.starts_with("error: retry/none.rhai: "), "{err}");
}

#[test]
fn own_platform_is_checked_tested_and_evaluated_with_its_error_shapes() {
    let config = "[limits.shop]\nrate = \"1/s\"\nburst = 1\n[platforms.shop]\n\
                  error = { at = \"/err\", code = \"no\", message = \"text\" }\n";
    let script = "if code == \"7\" { retry(\"throttled\") } else { give_up(\"permanent\", message) }";
    let cases = "[[case]]\nname = \"busy\"\nanswer = { status = 200, body = '{\"err\":{\"no\":7}}' }\n\
                 expect = { class = \"throttled\" }\n[[case]]\nname = \"fine\"\nanswer = { status = 200, body = '{}' }\n\
                 expect = { success = true }\n";
    let policy = ("policies/retry/shop.rhai", script);
    let dir = TestDir::new(&[("tidegate.toml", config), policy, ("policies/retry/shop.test.toml", cases)]);
    let (code, out, err) = dir.run(&["check", "--strict"], "");
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = dir.run(&["test"], "");
    assert!(code == 0 && out.ends_with("2 passed, 0 failed\n"), "{out}{err}");
    let input = r#"{"status": 200, "body": "{\"err\":{\"no\":8,\"text\":\"closed\"}}"}"#;
    let (code, out, _) = dir.run(&["eval", "policies/retry/shop.rhai", "--json"], input);
    assert_eq!((code, out.trim()), (0, r#"{"action":"give_up","class":"permanent","reason":"closed"}"#));
    let (code, _, err) = dir.run(&["eval", "policies/retry/shop.rhai"], r#"{"body": "{}", "cod": 1}"#);
    assert!(code == 2 && err.contains("unknown field `cod`"), "{err}");
    let dir = TestDir::new(&[("tidegate.toml", &config.replace("/err", "err")), policy]);
    let (code, _, err) = dir.run(&["check"], "");
    assert_eq!(code, 2);
    assert!(
        err.starts_with("error: tidegate.toml:5:16: platforms.shop.error.at: expected the path of an object"),
        "{err}"
    );
}

#[test]
fn config_show_prints_every_value_with_its_origin() {
    let config = "presets = [\"platforms\"]\n[retry]\njitter = 0.25\n[server]\ntoken_env = \"PATH\"\n";
    let dir = TestDir::new(&[("tidegate.toml", config)]);
    let (code, out, _) = dir.run(&["config", "show"], "");
    assert_eq!(code, 0);
    let rows: Vec<Vec<_>> =
        out.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    for row in [
        ["key", "origin", "value"],
        ["presets", "tidegate.toml:1", "[\"platforms\"]"],
        ["limits.jd.rate", "preset platforms", "\"5/s\""],
        ["retry.jitter", "tidegate.toml:3", "0.25"],
        ["retry.max_attempts", "default", "5"],
        ["server.token", "environment PATH", "\"***\""],
    ] {
        assert!(rows.iter().any(|known| known[..] == row), "{row:?}: {out}");
    }
    let (_, out, _) = dir.run(&["config", "show", "--json"], "");
    let values: serde_json::Value = serde_json::from_str(&out).unwrap();
    let value = |key: &str| values.as_array().unwrap().iter().find(|value| value["key"] == key).unwrap();
    let jitter = serde_json::json!({
        "key": "retry.jitter", "value": 0.25, "origin": { "kind": "file", "file": "tidegate.toml", "line": 3 }
    });
    assert_eq!(value("retry.jitter"), &jitter);
    assert_eq!(value("platforms.shopee.error")["value"]["success_codes"], "");
    // Without a file, the preset and the channel `log` are the configuration.
    let (code, out, _) = TestDir::new(&[]).run(&["config", "show"], "");
    assert!(code == 0 && out.contains("channels.log.kind") && out.contains("limits.taobao.rate"), "{out}");
    let (code, _, err) = TestDir::new(&[("tidegate.toml", "[retri]")]).run(&["config", "show"], "");
    assert!(code == 2 && err.contains("tidegate.toml:1:2: unknown key `retri`"), "{err}");
}
