//! `tidegate test`: output and exit status.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Creates a directory with two policies. One of them has these cases.
fn policy_dir(cases: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("retry")).unwrap();
    fs::write(dir.path().join("retry/jd.rhai"), "if code == \"2\" { give_up(\"quota\", 60) } else { abstain() }")
        .unwrap();
    fs::write(dir.path().join("retry/pdd.rhai"), "abstain()").unwrap();
    fs::write(dir.path().join("retry/jd.test.toml"), cases).unwrap();
    dir
}

/// Runs `tidegate test` in a directory. Returns exit status, standard output and standard error.
fn run_tests(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.arg("test").args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const PASSING_CASE: &str =
    "[[case]]\nname = 'the day'\ninput = { code = '2' }\nexpect = { action = 'give_up', after_ms = 60 }\n";
const FAILING_CASE: &str =
    "[[case]]\nname = 'the day'\ninput = { code = '2' }\nexpect = { action = 'retry', after_ms = 61 }\n";

#[test]
fn passed_cases_are_counted_and_policies_without_cases_are_listed() {
    let dir = policy_dir(PASSING_CASE);
    let (code, text, _) = run_tests(dir.path(), &["."]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("retry/jd.rhai                      1 passed   0 failed"), "{text}");
    assert!(text.contains("note: retry/pdd.rhai has no cases"), "{text}");
    assert!(text.ends_with("1 passed, 0 failed\n"), "{text}");
}

#[test]
fn failed_cases_are_reported_with_expected_and_actual_values() {
    let dir = policy_dir(&format!("{PASSING_CASE}{FAILING_CASE}"));
    let (code, text, _) = run_tests(dir.path(), &["retry/jd.rhai"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("jd.test.toml:6: the day"), "{text}");
    assert!(text.contains("action     expected retry, found give_up"), "{text}");
    assert!(text.contains("after_ms   expected 61, found 60"), "{text}");
    let (code, text, _) = run_tests(dir.path(), &[".", "--json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &value["passed"], &value["failed"]), (1, &json!(1), &json!(1)));
    assert_eq!(value["policies"][0]["cases"][1]["differences"][0], json!(["action", "retry", "give_up"]));
    assert_eq!(value["without_cases"], json!(["retry/pdd.rhai"]));
}

#[test]
fn policies_of_platforms_that_the_configuration_does_not_have_are_skipped() {
    let dir = policy_dir(FAILING_CASE);
    fs::create_dir(dir.path().join("admit")).unwrap();
    fs::write(dir.path().join("admit/jd.rhai"), "allow(2)").unwrap();
    fs::write(dir.path().join("admit/jd.test.toml"), "[[case]]\nname = 'a'\ninput = {}\nexpect = { cost = 3 }\n")
        .unwrap();
    let run = |config: &str, arguments: &[&str]| {
        fs::write(dir.path().join("tidegate.toml"), config).unwrap();
        let (code, text, error) = run_tests(dir.path(), arguments);
        (code, format!("{text}{error}"))
    };
    let shop = "[limits.shop]\nrate = '1/s'\nburst = 1\n";
    let rows = [
        (shop, ".", 0, "0 passed, 0 failed, 2 policies skipped\n"),
        ("presets = ['platforms']\nplatforms.jd = false", ".", 0, "0 passed, 0 failed, 2 policies skipped\n"),
        ("presets = ['platforms']", ".", 1, "0 passed, 2 failed\n"),
        // A policy or a case file that is named is tested.
        (shop, "retry/jd.rhai", 1, "0 passed, 1 failed\n"),
        (shop, "admit/jd.test.toml", 1, "0 passed, 1 failed\n"),
    ];
    for (config, path, code, end) in rows {
        let (actual, text) = run(config, &[path]);
        assert!(actual == code && text.ends_with(end), "{config} {path}: {actual} {text}");
    }
    let (_, text) = run(shop, &["."]);
    assert!(text.contains("retry/jd.rhai                    skipped: tidegate.toml has no [limits.jd]"), "{text}");
    let (_, text) = run(shop, &[".", "--json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["skipped_policies"], 2);
    assert_eq!(value["policies"][0]["skipped"], "tidegate.toml has no [limits.jd]");
    // Without a configuration file, the cases of an own platform are run.
    fs::remove_file(dir.path().join("tidegate.toml")).unwrap();
    for (from, to) in [("retry/jd.rhai", "retry/shop.rhai"), ("retry/jd.test.toml", "retry/shop.test.toml")] {
        fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    let (code, text, _) = run_tests(dir.path(), &["."]);
    assert!(code == 1 && text.ends_with("0 passed, 2 failed\n"), "{text}");
}

#[test]
fn policies_for_all_platforms_are_never_skipped() {
    let dir = policy_dir(PASSING_CASE);
    for (from, to) in [("retry/jd.rhai", "retry/default.rhai"), ("retry/jd.test.toml", "retry/default.test.toml")] {
        fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    fs::write(dir.path().join("tidegate.toml"), "[channels.oncall]\nkind = 'pager'\nnumber = 7\n").unwrap();
    let (code, text, error) = run_tests(dir.path(), &["."]);
    assert!(code == 0 && text.ends_with("1 passed, 0 failed\n"), "{text}{error}");
}

#[test]
fn failed_cases_of_a_platform_without_error_shape_say_so() {
    let answer = "[[case]]\nname = 'a'\nanswer = { status = 200, body = '{\"err\":{\"no\":2}}' }\n\
                  expect = { action = 'give_up' }\n";
    let dir = policy_dir(answer);
    let limit = "[limits.jd]\nrate = '1/s'\nburst = 1\n";
    let hint = "note: without `error` in [platforms.jd], only the HTTP status of an `answer` reports an error";
    fs::write(dir.path().join("tidegate.toml"), limit).unwrap();
    let (code, text, _) = run_tests(dir.path(), &["."]);
    assert!(code == 1 && text.contains(hint), "{text}");
    let shape = format!("{limit}[platforms.jd]\nerror = {{ at = '/err', code = 'no' }}\n");
    fs::write(dir.path().join("tidegate.toml"), shape).unwrap();
    let (code, text, _) = run_tests(dir.path(), &["."]);
    assert!(code == 0 && !text.contains("note: without"), "{text}");
}

#[test]
fn errors_in_a_case_file_are_reported_with_their_positions() {
    let dir = policy_dir("[[case]]\nname = 'a'\ninput = { cod = '2' }\nexpect = { class = 'quotas' }\n");
    let (code, text, _) = run_tests(dir.path(), &["."]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("jd.test.toml:3:11: case.input: unknown key `cod` (did you mean `code`?)"), "{text}");
    assert!(text.contains("jd.test.toml:4:20: case.expect.class: expected \"throttled\""), "{text}");
}

#[test]
fn path_without_policies_is_a_usage_error() {
    let dir = policy_dir(PASSING_CASE);
    for path in ["missing", "retry/pdd.rhai", "retry"] {
        let (code, _, error) = run_tests(dir.path(), &[path]);
        assert_eq!(code, 2, "{path}: {error}");
        assert!(!error.is_empty(), "{path}");
    }
}

#[test]
fn case_can_define_the_windows_and_limits_that_a_policy_reads() {
    let policy = "if limit(\"jd\").available < 1 { retry(\"throttled\") }
        else if window(\"1h\").error_rate > 0.5 { give_up(\"transient\") } else { abstain() }";
    let case = |view: &str, action: &str| {
        format!("[[case]]\nname = '{action}'\ninput = {{}}\n{view}\nexpect = {{ action = '{action}' }}\n")
    };
    let cases = [
        case("limits = { jd = { available = 0, burst = 9 } }", "retry"),
        case("windows = { '1h' = { count = 9, error_rate = 0.6 } }\nlimits = { jd = { available = 5 } }", "give_up"),
        case("windows = { '1h' = { count = 9, error_rate = 0.5 } }\nlimits = { jd = { available = 1 } }", "default"),
    ];
    let dir = policy_dir(&cases.concat());
    fs::write(dir.path().join("retry/jd.rhai"), policy).unwrap();
    let (code, text, error) = run_tests(dir.path(), &["retry/jd.rhai"]);
    assert!(code == 0 && text.contains("3 passed   0 failed"), "{text}{error}");
}

#[test]
fn case_can_define_the_body_that_a_policy_reads() {
    let policy = r#"if body.contains("SYSTEM_BUSY") { retry("transient") } else { abstain() }"#;
    let cases = [
        "[[case]]\nname = 'a'\ninput = { body = '<e>SYSTEM_BUSY</e>' }\nexpect = { action = 'retry' }\n",
        "[[case]]\nname = 'b'\nanswer = { status = 500, body = '<e>SYSTEM_BUSY</e>' }\nexpect = { action = 'retry' }\n",
        "[[case]]\nname = 'c'\nanswer = { status = 500, body = '' }\nexpect = { action = 'default' }\n",
        "[[case]]\nname = 'd'\ninput = {}\nexpect = { action = 'default' }\n",
    ];
    let dir = policy_dir(&cases.concat());
    fs::write(dir.path().join("retry/jd.rhai"), policy).unwrap();
    let (code, text, error) = run_tests(dir.path(), &["retry/jd.rhai"]);
    assert!(code == 0 && text.contains("4 passed   0 failed"), "{text}{error}");
}

#[test]
fn cases_without_a_policy_fail_and_a_fault_is_shown_instead_of_a_verdict() {
    let dir = policy_dir(PASSING_CASE);
    fs::write(dir.path().join("retry/zz.test.toml"), PASSING_CASE).unwrap();
    let (code, text, _) = run_tests(dir.path(), &["."]);
    assert!(code == 1 && text.contains("found neither ./retry/zz.rhai nor ./retry/zz.wasm"), "{text}");
    fs::remove_file(dir.path().join("retry/zz.test.toml")).unwrap();
    fs::write(dir.path().join("retry/jd.rhai"), "if code == \"2\" { throw \"no idea\" } abstain()").unwrap();
    let (code, text, _) = run_tests(dir.path(), &["retry/jd.rhai"]);
    assert!(code == 1 && text.contains("fault") && text.contains("no idea"), "{text}");
}
