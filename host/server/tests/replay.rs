//! `tidegate replay`: a log that a server wrote, read again after the policies were edited; and the exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// Busy machines must not make faults of verdicts.
const CONFIG: &str = "[policies]\nretry_deadline = '60s'\nadmit_deadline = '60s'\nalert_deadline = '60s'\n\
                      [decisions]\nfile = 'decisions.ndjson'\n";
const JD: &str = r#"switch code { "7" => retry("throttled", 1000), "8" => give_up("permanent"), _ => abstain() }"#;

struct Scene(tempfile::TempDir);

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        scene.write("tidegate.toml", CONFIG);
        fs::create_dir(scene.path("policies")).unwrap();
        for (name, text) in files {
            scene.write(name, text);
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Exit code, standard output and standard error of `tidegate replay`.
    fn replay(&self, arguments: &[&str]) -> (i32, String, String) {
        self.replay_from("", arguments)
    }

    fn replay_from(&self, input: &str, arguments: &[&str]) -> (i32, String, String) {
        let mut child = self.command(&["replay"]).args(arguments).spawn().unwrap();
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.replay(&[arguments, &["--json"]].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
    }
}

/// A server that ends with the test.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(scene: &Scene) -> Self {
        let mut child = scene.command(&["serve", "--listen", "127.0.0.1:0", "--json"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        Self { url: format!("http://{}", told["listening"].as_str().unwrap()), child }
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        let response = reqwest::Client::new().post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path} {body}: {response:?}");
        response.json().await.unwrap()
    }

    async fn fail(&self, code: &str) {
        let failure = json!({ "code": code, "headers": [["authorization", "hunter2"]] });
        let call = json!({ "platform": "jd", "endpoint": "e", "outcome": "error", "failure": failure });
        self.ask("/v1/calls", call).await;
    }

    /// Asks it to end, waits until it has, and tells what it logged.
    fn end(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut log = String::new();
        let mut lines = BufReader::new(self.child.stderr.take().unwrap());
        while lines.read_line(&mut log).unwrap() > 0 {}
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(kind: &str, policy: &str, input: Value, verdict: Value) -> String {
    json!({ "kind": kind, "policy": policy, "input": input, "verdict": verdict }).to_string() + "\n"
}

/// Three failures that [`JD`] knows, as it judges them.
fn recorded() -> String {
    let throttled = json!({ "action": "retry", "class": "throttled", "after_ms": 1000, "reason": "in other words" });
    [
        line("retry", "retry/jd.rhai", json!({ "platform": "jd", "code": "7" }), throttled.clone()),
        line(
            "retry",
            "retry/jd.rhai",
            json!({ "platform": "jd", "code": "8" }),
            json!({ "action": "give_up", "class": "permanent" }),
        ),
        line("retry", "retry/jd.rhai", json!({ "platform": "jd", "code": "7", "attempt": 2 }), throttled),
    ]
    .concat()
}

#[tokio::test]
async fn what_a_server_recorded_differs_just_where_the_policy_was_edited() {
    let admit = "if label(\"shop\") == \"9\" { deny(\"closed\", 503) } else { allow(2, #{api: endpoint}) }";
    let scene = Scene::new(&[("policies/retry/jd.rhai", JD), ("policies/admit/jd.rhai", admit)]);
    let server = Server::start(&scene);
    for code in ["7", "8", "9", "7"] {
        server.fail(code).await;
    }
    server.ask("/v1/admit", json!({ "platform": "jd", "endpoint": "orders" })).await;
    server.end();
    let (code, text, err) = scene.replay(&["decisions.ndjson"]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    let same = "policy         lines  same  different  faults\nadmit/jd.rhai  1      1     0          0\nretry/jd.rhai  4      4     0          0\n";
    assert_eq!(text, same);
    assert!(!fs::read_to_string(scene.path("decisions.ndjson")).unwrap().contains("hunter2"));

    scene.write("policies/retry/jd.rhai", &JD.replace("retry(\"throttled\", 1000)", "give_up(\"quota\", 60_000)"));
    scene.write("policies/admit/jd.rhai", &admit.replace("allow(2", "allow(3"));
    let (code, text, _) = scene.replay(&["decisions.ndjson"]);
    assert_eq!(code, 1, "{text}");
    let (totals, differences) = text.split_once("\n\n").unwrap();
    assert!(totals.contains("retry/jd.rhai  4      2     2          0"), "{text}");
    let rows: Vec<_> = differences.lines().collect();
    assert_eq!(rows.len(), 3, "{text}");
    for words in ["admit/jd.rhai", "allow at cost 2 api=orders  allow at cost 3 api=orders", "1      line 5"] {
        assert!(rows[1].contains(words), "{words}: {text}");
    }
    for words in ["retry throttled after 1s", "give up quota after 1m", "2      line 1", "code 7, endpoint e"] {
        assert!(rows[2].contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_one_warning() {
    let scene = Scene::new(&[("policies/retry/jd.rhai", JD)]);
    scene.write("tidegate.toml", &CONFIG.replace("'decisions.ndjson'", "'nowhere/decisions.ndjson'"));
    let server = Server::start(&scene);
    for _ in 0..20 {
        server.fail("7").await;
    }
    let page = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    assert!(page.contains(r#"tidegate_decisions_total{outcome="written"} 0"#), "{page}");
    assert!(page.contains(r#"tidegate_policy_version{policy="retry/jd.rhai"} 1"#), "{page}");
    let log = server.end();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("decisions are not written")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("nowhere/decisions.ndjson: No such file"), "{log}");
}

#[test]
fn a_candidate_beside_the_live_one_is_asked_too() {
    let candidate = JD.replace("\"permanent\"", "\"quota\"");
    let scene = Scene::new(&[("policies/retry/jd.rhai", JD), ("policies/retry/jd.candidate.rhai", &candidate)]);
    scene.write("log", &recorded());
    let (code, told) = scene.json(&["log"]);
    assert_eq!(code, 1, "{told}");
    let totals: Vec<_> =
        told["policies"].as_array().unwrap().iter().map(|one| (&one["policy"], &one["different"])).collect();
    assert_eq!(totals, [(&json!("retry/jd.rhai"), &json!(0)), (&json!("retry/jd.candidate.rhai"), &json!(1))]);
    let group = &told["policies"][1]["differences"][0];
    assert_eq!((&group["times"], &group["line"], &group["input"]["code"]), (&json!(1), &json!(2), &json!("8")));
    assert_eq!((&group["recorded"]["class"], &group["now"]["class"]), (&json!("permanent"), &json!("quota")));
}

#[test]
fn a_named_candidate_stands_for_what_its_place_says_and_replaces_the_one_beside() {
    let scene = Scene::new(&[("policies/retry/jd.rhai", JD), ("policies/retry/jd.candidate.rhai", "abstain()")]);
    scene.write("log", &recorded());
    scene.write("new/retry/jd.rhai", JD);
    let (code, text, err) = scene.replay(&["log", "--candidate", "new/retry/jd.rhai"]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    assert!(text.contains("new/retry/jd.rhai") && !text.contains("jd.candidate"), "{text}");
    scene.write("new/retry/pdd.rhai", JD);
    scene.write("new/jd.rhai", JD);
    scene.write("new/retry/bad.rhai", "retyr(\"auth\")");
    let rows = [
        ("new/retry/pdd.rhai", "no line of log is about retry/pdd"),
        ("new/jd.rhai", "expected a policy in a folder retry, alerts or admit"),
        ("new/retry/ghost.rhai", "no such file"),
    ];
    for (file, words) in rows {
        let (code, _, err) = scene.replay(&["log", "--candidate", file]);
        assert!(code == 2 && err.starts_with(file) && err.contains(words), "{code} {err}");
    }
}

#[test]
fn rules_and_conditions_are_asked_with_what_they_saw() {
    let rules = |bound: f64| {
        format!(
            "[rules.high]\ncondition = 'error_rate > {bound}'\n[rules.burn]\npolicy = 'alerts/burn.rhai'\n[rules.lull]\ncondition = 'window(\"1d\").count == 5'\n"
        )
    };
    let burn = "window(\"1h\").error_rate > 0.3";
    let scene = Scene::new(&[("policies/alerts.toml", &rules(0.1)), ("policies/alerts/burn.rhai", burn)]);
    let input = json!({ "platform": "jd", "count": 5, "error_rate": 0.2 });
    let of = |policy: &str, rule: Value, state: &str| {
        let windows = json!({ "1h": { "error_rate": 0.4 } });
        let verdict = json!({ "state": state });
        json!({ "kind": "alert", "policy": policy, "rule": rule, "input": input, "windows": windows, "verdict": verdict }).to_string() + "\n"
    };
    let log = [
        of("alerts.toml", json!("high"), "firing"),
        of("alerts/burn.rhai", Value::Null, "firing"),
        of("alerts.toml", json!("lull"), "firing"),
        of("alerts.toml", json!("gone"), "quiet"),
    ];
    scene.write("log", &log[..3].concat());
    let (code, text, err) = scene.replay(&["log"]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    assert!(
        text.contains("note: lines on which a policy looked at a window or a limit that the log does not have"),
        "{text}"
    );
    // Another condition, and a rule that is no more.
    scene.write("new/alerts.toml", &rules(0.25));
    scene.write("new/alerts/burn.rhai", burn);
    scene.write("log", &log.concat());
    let (code, told) = scene.json(&["log", "--candidate", "new/alerts.toml"]);
    assert_eq!(code, 1, "{told}");
    let of = |index: usize| &told["policies"][index];
    assert_eq!((&of(0)["policy"], &of(0)["different"]), (&json!("alerts.toml"), &json!(1)), "{told}");
    assert_eq!((&of(0)["differences"][0]["rule"], &of(0)["differences"][0]["now"]), (&json!("gone"), &Value::Null));
    assert_eq!((&of(1)["policy"], &of(1)["different"]), (&json!("new/alerts.toml"), &json!(2)), "{told}");
    assert_eq!(of(1)["differences"][0]["rule"], "high");
}

#[test]
fn a_broken_line_is_told_at_its_place_and_the_rest_is_read() {
    let scene = Scene::new(&[("policies/retry/jd.rhai", JD)]);
    let good = recorded();
    let torn = &good[..40];
    scene.write("log", &format!("{torn}\n{good}\n[]\n{{\"kind\":\"retry\"}}\n"));
    let (code, text, err) = scene.replay(&["log"]);
    assert_eq!(code, 2, "{text}");
    let places: Vec<_> = err.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(places, ["log:1:", "log:6:", "log:7:"], "{err}");
    assert!(text.contains("retry/jd.rhai  3      3     0          0"), "the rest goes on: {text}");
    scene.write("log", &"nonsense\n".repeat(1_000));
    let (code, _, err) = scene.replay(&["log"]);
    assert_eq!((code, err.lines().count()), (2, 21), "there is an end to telling: {err}");
    assert!(err.ends_with("… and 980 more lines that are no decision\n"), "{err}");
}

#[test]
fn a_fault_is_compared_by_its_kind_and_a_policy_that_is_gone_differs() {
    let scene =
        Scene::new(&[("policies/retry/jd.rhai", "if code == \"boom\" { throw \"in other words\" }\nabstain()")]);
    let fault = |kind: &str, policy: &str| {
        let fault = json!({ "kind": kind, "message": "on purpose" });
        json!({ "kind": "retry", "policy": policy, "input": { "code": "boom" }, "fault": fault }).to_string() + "\n"
    };
    scene.write("log", &fault("trap", "retry/jd.rhai"));
    let (code, text, _) = scene.replay(&["log"]);
    assert!(code == 0 && text.contains("retry/jd.rhai  1      1     0          1"), "{code} {text}");
    scene.write("log", &(fault("deadline", "retry/jd.rhai") + &fault("trap", "retry/gone.rhai")));
    let (code, text, _) = scene.replay(&["log"]);
    assert_eq!(code, 1);
    for words in ["fault deadline  fault trap", "fault trap      no policy"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn wrong_usage_is_2_and_standard_input_is_a_log() {
    let scene = Scene::new(&[("policies/retry/jd.rhai", JD)]);
    scene.write("empty", "\n");
    scene.write("log", &recorded());
    scene.write("broken/retry/jd.rhai", "retyr(\"auth\")");
    let rows = [
        (vec!["nowhere"], "nowhere: No such file"),
        (vec!["empty"], "empty: there is no decision in it"),
        (vec!["log", "--policies", "nowhere"], "nowhere: no such directory of policies"),
        (vec!["log", "--policies", "broken"], "broken/retry/jd.rhai:1:1: "),
        (vec![], "Usage: tidegate replay"),
    ];
    for (arguments, words) in rows {
        let (code, out, err) = scene.replay(&arguments);
        assert!(code == 2 && out.is_empty() && err.contains(words), "{arguments:?}: {code} {out}{err}");
    }
    let (code, text, _) = scene.replay_from(&recorded(), &["-"]);
    assert!(code == 0 && text.contains("retry/jd.rhai  3      3"), "{code} {text}");
    let (code, _, err) = scene.replay_from("x\n", &["-"]);
    assert!(code == 2 && err.starts_with("standard input:1: "), "{err}");
}
