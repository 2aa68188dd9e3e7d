//! `tidegate replay`: replays logs after policies have changed; output and exit status.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// Long deadlines, so that a slow machine does not turn verdicts into faults.
const CONFIG: &str = "presets = ['platforms']\n[policies]\nretry_deadline = '60s'\nadmit_deadline = '60s'\nalert_deadline = '60s'\n\
                      [decisions]\nfile = 'decisions.ndjson'\n";
const JD: &str = r#"switch code { "7" => retry("throttled", 1000), "8" => give_up("permanent"), _ => abstain() }"#;

struct TestDir(tempfile::TempDir);

impl TestDir {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        dir.write("tidegate.toml", CONFIG);
        fs::create_dir(dir.path("policies")).unwrap();
        for (name, text) in files {
            dir.write(name, text);
        }
        dir
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

    /// Runs `tidegate replay`. Returns exit status, standard output and standard error.
    fn replay(&self, arguments: &[&str]) -> (i32, String, String) {
        self.replay_from("", arguments)
    }

    fn replay_from(&self, input: &str, arguments: &[&str]) -> (i32, String, String) {
        let mut child = self.command(&["replay"]).args(arguments).spawn().unwrap();
        // A command that does not read its input may have ended already.
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

/// A server that is killed at the end of the test.
struct TestServer {
    child: Child,
    url: String,
}

impl TestServer {
    fn start(dir: &TestDir) -> Self {
        let mut child = dir.command(&["serve", "--listen", "127.0.0.1:0", "--json"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output: Value = serde_json::from_str(&line).unwrap();
        Self { url: format!("http://{}", output["listening"].as_str().unwrap()), child }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let response = reqwest::Client::new().post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path} {body}: {response:?}");
        response.json().await.unwrap()
    }

    async fn record_failure(&self, code: &str) {
        let failure = json!({ "code": code, "headers": [["authorization", "hunter2"]] });
        let call = json!({ "platform": "jd", "endpoint": "e", "outcome": "error", "failure": failure });
        self.post("/v1/calls", call).await;
    }

    /// Stops the server. Returns its log.
    fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut log = String::new();
        let mut lines = BufReader::new(self.child.stderr.take().unwrap());
        while lines.read_line(&mut log).unwrap() > 0 {}
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(kind: &str, policy: &str, input: Value, verdict: Value) -> String {
    json!({ "kind": kind, "policy": policy, "input": input, "verdict": verdict }).to_string() + "\n"
}

/// Returns a log of three failures with the verdicts of the policy [`JD`].
fn recorded_log() -> String {
    let throttled = json!({ "action": "retry", "class": "throttled", "after_ms": 1000, "reason": "another reason" });
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
async fn only_verdicts_of_edited_policies_differ() {
    let admit = "if label(\"shop\") == \"9\" { deny(\"closed\", 503) } else { allow(2, #{api: endpoint}) }";
    let dir = TestDir::new(&[("policies/retry/jd.rhai", JD), ("policies/admit/jd.rhai", admit)]);
    let server = TestServer::start(&dir);
    for code in ["7", "8", "9", "7"] {
        server.record_failure(code).await;
    }
    server.post("/v1/admit", json!({ "platform": "jd", "endpoint": "orders" })).await;
    server.stop();
    let (code, text, err) = dir.replay(&["decisions.ndjson"]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    let same = "policy         lines  same  different  faults\nadmit/jd.rhai  1      1     0          0\nretry/jd.rhai  4      4     0          0\n";
    assert_eq!(text, same);
    assert!(!fs::read_to_string(dir.path("decisions.ndjson")).unwrap().contains("hunter2"));

    dir.write("policies/retry/jd.rhai", &JD.replace("retry(\"throttled\", 1000)", "give_up(\"quota\", 60_000)"));
    dir.write("policies/admit/jd.rhai", &admit.replace("allow(2", "allow(3"));
    let (code, text, _) = dir.replay(&["decisions.ndjson"]);
    assert_eq!(code, 1, "{text}");
    let (totals, differences) = text.split_once("\n\n").unwrap();
    assert!(totals.contains("retry/jd.rhai  4      2     2          0"), "{text}");
    let rows: Vec<_> = differences.lines().collect();
    assert_eq!(rows.len(), 3, "{text}");
    for cells in ["admit/jd.rhai", "allow at cost 2 api=orders  allow at cost 3 api=orders", "1      5"] {
        assert!(rows[1].contains(cells), "{cells}: {text}");
    }
    for cells in ["retry throttled after 1s", "give up quota after 1m", "2      1", "code 7, endpoint e"] {
        assert!(rows[2].contains(cells), "{cells}: {text}");
    }
}

#[tokio::test]
async fn unwritable_decision_log_is_logged_once() {
    let dir = TestDir::new(&[("policies/retry/jd.rhai", JD)]);
    dir.write("tidegate.toml", &CONFIG.replace("'decisions.ndjson'", "'missing/decisions.ndjson'"));
    let server = TestServer::start(&dir);
    for _ in 0..20 {
        server.record_failure("7").await;
    }
    let page = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    assert!(page.contains(r#"tidegate_decisions_total{outcome="written"} 0"#), "{page}");
    assert!(page.contains(r#"tidegate_policy_active_since_generation{policy="retry/jd.rhai"} 1"#), "{page}");
    let log = server.stop();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("cannot write the decision log")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("missing/decisions.ndjson") && warnings[0].contains("No such file"), "{log}");
}

#[test]
fn logged_body_is_evaluated_again() {
    let policy = r#"if body.contains("SYSTEM_BUSY") { retry("transient") } else { abstain() }"#;
    let dir = TestDir::new(&[("policies/retry/jd.rhai", policy)]);
    let log = |body: &str, verdict| {
        line("retry", "retry/jd.rhai", json!({ "platform": "jd", "code": "7", "body": body }), verdict)
    };
    let (busy, abstains) = (json!({ "action": "retry", "class": "transient" }), json!({ "action": "default" }));
    dir.write("log", &[log("<e>SYSTEM_BUSY</e>", busy.clone()), log("<e/>", abstains)].concat());
    let (code, text, err) = dir.replay(&["log"]);
    assert_eq!(code, 0, "{text}{err}");
    dir.write("log", &log("<e/>", busy));
    let (code, text, _) = dir.replay(&["log"]);
    assert!(code == 1 && text.contains("code 7, platform jd, body <e/>"), "{text}");
}

#[test]
fn candidate_beside_the_active_policy_is_evaluated_too() {
    let candidate = JD.replace("\"permanent\"", "\"quota\"");
    let dir = TestDir::new(&[("policies/retry/jd.rhai", JD), ("policies/retry/jd.candidate.rhai", &candidate)]);
    dir.write("log", &recorded_log());
    let (code, report) = dir.json(&["log"]);
    assert_eq!(code, 1, "{report}");
    let totals: Vec<_> =
        report["policies"].as_array().unwrap().iter().map(|policy| (&policy["policy"], &policy["different"])).collect();
    assert_eq!(totals, [(&json!("retry/jd.rhai"), &json!(0)), (&json!("retry/jd.candidate.rhai"), &json!(1))]);
    let group = &report["policies"][1]["differences"][0];
    assert_eq!((&group["count"], &group["line"], &group["input"]["code"]), (&json!(1), &json!(2), &json!("8")));
    assert_eq!((&group["recorded"]["class"], &group["current"]["class"]), (&json!("permanent"), &json!("quota")));
}

#[test]
fn given_candidate_is_matched_by_folder_and_name_and_replaces_the_one_beside_the_policy() {
    let dir = TestDir::new(&[("policies/retry/jd.rhai", JD), ("policies/retry/jd.candidate.rhai", "abstain()")]);
    dir.write("log", &recorded_log());
    dir.write("new/retry/jd.rhai", JD);
    let (code, text, err) = dir.replay(&["log", "--candidate", "new/retry/jd.rhai"]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    assert!(text.contains("new/retry/jd.rhai") && !text.contains("jd.candidate"), "{text}");
    dir.write("new/retry/pdd.rhai", JD);
    dir.write("new/jd.rhai", JD);
    dir.write("new/retry/bad.rhai", "retyr(\"auth\")");
    let rows = [
        ("new/retry/pdd.rhai", "log contains no decisions of retry/pdd"),
        ("new/jd.rhai", "expected a policy in a folder named retry, alerts or admit"),
        ("new/retry/ghost.rhai", "no such file or directory"),
    ];
    for (file, message) in rows {
        let (code, _, err) = dir.replay(&["log", "--candidate", file]);
        assert!(code == 2 && err.starts_with(&format!("error: {file}")) && err.contains(message), "{code} {err}");
    }
}

#[test]
fn rules_and_conditions_read_the_recorded_windows() {
    let rules = |bound: f64| {
        format!(
            "[rules.high]\ncondition = 'error_rate > {bound}'\n[rules.burn]\npolicy = 'alerts/burn.rhai'\n[rules.lull]\ncondition = 'window(\"1d\").count == 5'\n"
        )
    };
    let burn = "window(\"1h\").error_rate > 0.3";
    let dir = TestDir::new(&[("policies/alerts.toml", &rules(0.1)), ("policies/alerts/burn.rhai", burn)]);
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
    dir.write("log", &log[..3].concat());
    let (code, text, err) = dir.replay(&["log"]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    assert!(text.contains("note: lines without a window or limit that a policy read: 1"), "{text}");
    // A changed condition, and a rule that no longer exists.
    dir.write("new/alerts.toml", &rules(0.25));
    dir.write("new/alerts/burn.rhai", burn);
    dir.write("log", &log.concat());
    let (code, report) = dir.json(&["log", "--candidate", "new/alerts.toml"]);
    assert_eq!(code, 1, "{report}");
    let of = |index: usize| &report["policies"][index];
    assert_eq!((&of(0)["policy"], &of(0)["different"]), (&json!("alerts.toml"), &json!(1)), "{report}");
    assert_eq!((&of(0)["differences"][0]["rule"], &of(0)["differences"][0]["current"]), (&json!("gone"), &Value::Null));
    assert_eq!((&of(1)["policy"], &of(1)["different"]), (&json!("new/alerts.toml"), &json!(2)), "{report}");
    assert_eq!(of(1)["differences"][0]["rule"], "high");
}

#[test]
fn invalid_lines_are_reported_with_their_numbers_and_the_rest_is_replayed() {
    let dir = TestDir::new(&[("policies/retry/jd.rhai", JD)]);
    let good = recorded_log();
    let torn = &good[..40];
    dir.write("log", &format!("{torn}\n{good}\n[]\n{{\"kind\":\"retry\"}}\n"));
    let (code, text, err) = dir.replay(&["log"]);
    assert_eq!(code, 2, "{text}");
    let places: Vec<_> = err.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(places, ["log:1:40:", "log:6:1:", "log:7:"], "{err}");
    assert!(text.contains("retry/jd.rhai  3      3     0          0"), "the other lines are replayed: {text}");
    dir.write("log", &"nonsense\n".repeat(1_000));
    let (code, _, err) = dir.replay(&["log"]);
    assert_eq!((code, err.lines().count()), (2, 21), "the number of reported lines is limited: {err}");
    assert!(err.ends_with("error: 980 more invalid lines\n"), "{err}");
}

#[test]
fn faults_are_compared_by_kind_and_a_removed_policy_differs() {
    let dir =
        TestDir::new(&[("policies/retry/jd.rhai", "if code == \"boom\" { throw \"another message\" }\nabstain()")]);
    let fault = |kind: &str, policy: &str| {
        let fault = json!({ "kind": kind, "message": "recorded message" });
        json!({ "kind": "retry", "policy": policy, "input": { "code": "boom" }, "fault": fault }).to_string() + "\n"
    };
    dir.write("log", &fault("trap", "retry/jd.rhai"));
    let (code, text, _) = dir.replay(&["log"]);
    assert!(code == 0 && text.contains("retry/jd.rhai  1      1     0          1"), "{code} {text}");
    dir.write("log", &(fault("deadline", "retry/jd.rhai") + &fault("trap", "retry/gone.rhai")));
    let (code, text, _) = dir.replay(&["log"]);
    assert_eq!(code, 1);
    for cells in ["fault deadline  fault trap", "fault trap      no policy"] {
        assert!(text.contains(cells), "{cells}: {text}");
    }
}

#[test]
fn usage_errors_return_2_and_a_log_can_come_from_standard_input() {
    let dir = TestDir::new(&[("policies/retry/jd.rhai", JD)]);
    dir.write("empty", "\n");
    dir.write("log", &recorded_log());
    dir.write("broken/retry/jd.rhai", "retyr(\"auth\")");
    let rows = [
        (vec!["missing"], "error: missing: No such file"),
        (vec!["empty"], "empty: the log contains no decisions"),
        (vec!["log", "--policies", "missing"], "missing: policy directory not found"),
        (vec!["log", "--policies", "broken"], "broken/retry/jd.rhai:1:1: "),
        (vec![], "Usage: tidegate replay"),
    ];
    for (arguments, message) in rows {
        let (code, out, err) = dir.replay(&arguments);
        assert!(code == 2 && out.is_empty() && err.contains(message), "{arguments:?}: {code} {out}{err}");
    }
    let (code, text, _) = dir.replay_from(&recorded_log(), &["-"]);
    assert!(code == 0 && text.contains("retry/jd.rhai  3      3"), "{code} {text}");
    let (code, _, err) = dir.replay_from("x\n", &["-"]);
    assert!(code == 2 && err.starts_with("error: standard input:1:1: "), "{err}");
}
