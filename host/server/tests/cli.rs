//! The command `tidegate` as people and programs call it. It stands here because only here cargo knows the binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

struct Scene(tempfile::TempDir);

impl Scene {
    /// A directory with these files.
    fn new(files: &[(&str, &str)]) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = scene.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        scene
    }

    /// Runs the command there; tells its exit code, standard output and standard error.
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
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

const RULES: &str = "[rules.r]\ncondition = \"error_rate > 0.1\"\nchannels = [\"log\"]\n";

#[test]
fn good_files_are_0_and_a_refused_policy_is_1() {
    let scene = Scene::new(&[("policies/alerts.toml", RULES)]);
    let (code, out, _) = scene.run(&["check"], "");
    assert_eq!((code, out.lines().last()), (0, Some("alerts.toml: good")));
    let scene = Scene::new(&[("policies/alerts.toml", &RULES.replace("error_rate", "eror_rate"))]);
    let (code, out, _) = scene.run(&["check", "--json"], "");
    assert_eq!(code, 1);
    assert!(out.contains("policies/alerts.toml:2:14: no such name `eror_rate`"), "{out}");
}

#[test]
fn a_policy_that_nobody_asks_is_noted_and_strictly_refused() {
    let limit = "[limits.shop]\nrate = \"1/s\"\nburst = 1\n";
    let script = "if code == \"7\" { retry(\"throttled\") } else { abstain() }";
    let files = |limits| [("tidegate.toml", limits), ("policies/retry/shop.rhai", script)];
    let (code, out, _) = Scene::new(&files(limit)).run(&["check", "--strict"], "");
    assert!((code, out.contains("note")) == (0, false), "{out}");
    let (code, out, _) = Scene::new(&files("")).run(&["check", "--strict"], "");
    assert!(code == 1 && out.contains("note: retry/shop.rhai is never asked: there is no [limits.shop]"), "{out}");
    assert_eq!(Scene::new(&files("")).run(&["check"], "").0, 0, "a note is no refusal");
}

#[test]
fn a_wrong_configuration_is_2_with_every_mistake_at_once() {
    let scene = Scene::new(&[("tidegate.toml", "[limits]\njd = { rate = \"0/s\", burst = 0 }\n[retri]\n")]);
    for command in [["check"], ["serve"]] {
        let (code, out, err) = scene.run(&command, "");
        assert_eq!((code, out.as_str()), (2, ""));
        for says in
            ["2:15: limits.jd.rate: ", "2:30: limits.jd.burst: ", "3:2: retri: no such key; did you mean `retry`?"]
        {
            assert!(err.contains(&format!("tidegate.toml:{says}")), "{says} is not in {err}");
        }
    }
}

#[test]
fn a_channel_that_cannot_be_made_is_2_and_its_field_is_named() {
    let mail = "kind = \"email\"\nhost = \"h\"\nport = 25\ntls = \"none\"\nto = [\"a@b.c\"]\nfrom = \"a@b@c\"\n";
    let robot = "kind = \"dingtalk\"\nwebhook = \"https://\"\n";
    for (channel, says) in [(mail, "`from` \"a@b@c\" is no address: "), (robot, "`webhook` is no address: ")] {
        let config = format!("[channels.log]\nkind = \"log\"\n[channels.ops]\n{channel}");
        let scene = Scene::new(&[("tidegate.toml", &config), ("policies/alerts.toml", RULES)]);
        for command in [["check"], ["serve"]] {
            let (code, out, err) = scene.run(&command, "");
            assert_eq!((code, out.as_str()), (2, ""), "{err}");
            assert!(err.contains(&format!("tidegate.toml: channels.ops: {says}")), "{err}");
        }
    }
}

#[test]
fn beyond_loopback_a_token_is_demanded() {
    let (code, _, err) = Scene::new(&[]).run(&["serve", "--listen", "0.0.0.0:0"], "");
    assert_eq!(code, 2);
    assert!(err.contains("token"), "{err}");
}

#[test]
fn a_verdict_is_0_a_fault_is_1_and_an_input_that_cannot_be_read_is_2() {
    let scene = Scene::new(&[
        ("retry/jd.rhai", "if code == \"2\" { give_up(\"quota\") } else { retry(\"transient\", 500) }"),
        ("retry/loops.rhai", "if code == \"9\" { while true { } } abstain()"),
        ("alerts/slow.rhai", "p95 > 100 && window(\"1h\").count > 10"),
    ]);
    let (code, out, _) = scene.run(&["eval", "retry/jd.rhai", "--json"], r#"{"code": "7"}"#);
    assert_eq!((code, out.trim()), (0, r#"{"action":"retry","after_ms":500,"class":"transient"}"#));
    let input = r#"{"platform": "jd", "p95": 200, "count": 5, "windows": {"1h": {"count": 11}}}"#;
    let (code, out, _) = scene.run(&["eval", "alerts/slow.rhai", "--json"], input);
    assert_eq!((code, out.trim()), (0, r#"{"state":"firing"}"#));
    let (code, out, _) = scene.run(&["eval", "retry/loops.rhai", "--json"], r#"{"code": "9"}"#);
    assert_eq!(code, 1);
    assert!(out.contains("\"fault\":"), "{out}");
    for (input, says) in [("{", "standard input:1:1: "), (r#"{"cod": "7"}"#, "standard input:1:6: unknown field `cod`")]
    {
        let (code, _, err) = scene.run(&["eval", "retry/jd.rhai"], input);
        assert_eq!(code, 2);
        assert!(err.contains(says), "{err}");
    }
    let (code, _, err) = scene.run(&["eval", "retry/none.rhai"], "{}");
    assert_eq!(code, 2);
    assert!(err.contains("retry/none.rhai: "), "{err}");
}
