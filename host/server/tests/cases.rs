//! `tidegate test`: what people and programs are told, and the exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// A directory with two policies, of which one has these cases.
fn policies(cases: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("retry")).unwrap();
    fs::write(dir.path().join("retry/jd.rhai"), "if code == \"2\" { give_up(\"quota\", 60) } else { abstain() }")
        .unwrap();
    fs::write(dir.path().join("retry/pdd.rhai"), "abstain()").unwrap();
    fs::write(dir.path().join("retry/jd.test.toml"), cases).unwrap();
    dir
}

/// Exit code, standard output and standard error of `tidegate test` in a directory.
fn tested(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.arg("test").args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const GOOD: &str =
    "[[case]]\nname = 'the day'\ninput = { code = '2' }\nexpect = { action = 'give_up', after_ms = 60 }\n";
const WRONG: &str =
    "[[case]]\nname = 'the day'\ninput = { code = '2' }\nexpect = { action = 'retry', after_ms = 61 }\n";

#[test]
fn what_passes_is_counted_and_what_has_no_cases_is_named() {
    let dir = policies(GOOD);
    let (code, text, _) = tested(dir.path(), &["."]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("retry/jd.rhai                      1 passed   0 failed"), "{text}");
    assert!(text.contains("note: retry/pdd.rhai has no cases"), "{text}");
    assert!(text.ends_with("1 passed, 0 failed\n"), "{text}");
}

#[test]
fn what_fails_is_told_with_what_was_expected_and_given() {
    let dir = policies(&format!("{GOOD}{WRONG}"));
    let (code, text, _) = tested(dir.path(), &["retry/jd.rhai"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("jd.test.toml:6: the day"), "{text}");
    assert!(text.contains("action     expected retry, given give_up"), "{text}");
    assert!(text.contains("after_ms   expected 61, given 60"), "{text}");
    let (code, text, _) = tested(dir.path(), &[".", "--json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &value["passed"], &value["failed"]), (1, &json!(1), &json!(1)));
    assert_eq!(value["policies"][0]["cases"][1]["differences"][0], json!(["action", "retry", "give_up"]));
    assert_eq!(value["without_cases"], json!(["retry/pdd.rhai"]));
}

#[test]
fn mistakes_of_a_case_file_are_a_failure_with_their_places() {
    let dir = policies("[[case]]\nname = 'a'\ninput = { cod = '2' }\nexpect = { class = 'quotas' }\n");
    let (code, text, _) = tested(dir.path(), &["."]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("jd.test.toml:3:11: case.input.cod: no such key; did you mean `code`?"), "{text}");
    assert!(text.contains("jd.test.toml:4:20: case.expect.class: expected \"throttled\""), "{text}");
}

#[test]
fn a_path_without_policies_is_wrong_usage() {
    let dir = policies(GOOD);
    for path in ["nowhere", "retry/pdd.rhai", "retry"] {
        let (code, _, error) = tested(dir.path(), &[path]);
        assert_eq!(code, 2, "{path}: {error}");
        assert!(!error.is_empty(), "{path}");
    }
}

#[test]
fn a_case_may_say_what_a_policy_finds_where_it_looks() {
    let policy = "if limit(\"jd\").available < 1 { retry(\"throttled\") }
        else if window(\"1h\").error_rate > 0.5 { give_up(\"transient\") } else { abstain() }";
    let case = |given: &str, action: &str| {
        format!("[[case]]\nname = '{action}'\ninput = {{}}\n{given}\nexpect = {{ action = '{action}' }}\n")
    };
    let cases = [
        case("limits = { jd = { available = 0, burst = 9 } }", "retry"),
        case("windows = { '1h' = { count = 9, error_rate = 0.6 } }\nlimits = { jd = { available = 5 } }", "give_up"),
        case("windows = { '1h' = { count = 9, error_rate = 0.5 } }\nlimits = { jd = { available = 1 } }", "default"),
    ];
    let dir = policies(&cases.concat());
    fs::write(dir.path().join("retry/jd.rhai"), policy).unwrap();
    let (code, text, error) = tested(dir.path(), &["retry/jd.rhai"]);
    assert!(code == 0 && text.contains("3 passed   0 failed"), "{text}{error}");
}

#[test]
fn cases_without_a_policy_fail_and_a_fault_says_why_there_is_no_verdict() {
    let dir = policies(GOOD);
    fs::write(dir.path().join("retry/zz.test.toml"), GOOD).unwrap();
    let (code, text, _) = tested(dir.path(), &["."]);
    assert!(code == 1 && text.contains("there is no ./retry/zz.rhai or ./retry/zz.wasm"), "{text}");
    fs::remove_file(dir.path().join("retry/zz.test.toml")).unwrap();
    fs::write(dir.path().join("retry/jd.rhai"), "if code == \"2\" { throw \"no idea\" } abstain()").unwrap();
    let (code, text, _) = tested(dir.path(), &["retry/jd.rhai"]);
    assert!(code == 1 && text.contains("fault") && text.contains("no idea"), "{text}");
}
