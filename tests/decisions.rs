//! The decision log: its lines, the secrets that it masks, its size, and that write errors do not affect verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::SystemClock;
use tidegate::{ConfigFile, Failure, Host, Request};
use tidegate_core::config::DecisionsConfig;
use tidegate_core::{HostView, LimitStatus, Quota, Snapshot, Stats};
use tidegate_policy::Policies;

use crate::policies::policies_config;

/// The policies of these tests: path and content.
const FILES: [(&str, &str); 5] = [
    ("retry/jd.rhai", "if code == \"7\" { retry(\"throttled\", 60, \"slow down\") } else { abstain() }"),
    ("retry/default.rhai", "if code == \"boom\" { throw \"on purpose\" }\ngive_up(\"permanent\")"),
    ("admit/jd.rhai", "if limit(\"jd\").available < 1 { deny(\"full\", 503) } else { allow(2, #{api: endpoint}) }"),
    ("alerts/burn.rhai", "error_rate > 0.1 && window(\"1h\").error_rate > 0.1"),
    ("alerts.toml", "[rules.high]\ncondition = 'error_rate > 0.1'\n[rules.burn]\npolicy = 'alerts/burn.rhai'\n"),
];

/// A view in which every window has the same statistics and only the limit `jd` exists.
struct FixedView;

impl HostView for FixedView {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        let mut stats = Stats::default();
        stats.count = range.as_secs();
        stats.error_rate = 0.2;
        stats
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        (name == "jd").then_some(LimitStatus::new(
            Quota::new("3/2s".parse().unwrap(), 9).unwrap(),
            3,
            Duration::from_secs(4),
        ))
    }
}

/// A directory with policies and the decision log, and the loaded policies.
struct LogFixture {
    dir: tempfile::TempDir,
    policies: Arc<Policies>,
}

impl LogFixture {
    /// Loads the policies of these tests, without a decision log.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in FILES {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let policies = Policies::open(&policies_config(dir.path()));
        assert_eq!(policies.reload().rejected, BTreeMap::new());
        policies.attach(Arc::new(FixedView), Arc::new(SystemClock::new()));
        Self { dir, policies }
    }

    /// Loads the policies of these tests, with a decision log.
    fn with_log(sample_rate: f64, max_size: u64) -> Self {
        let fixture = Self::new();
        let config = DecisionsConfig::to_file(fixture.file("decisions.ndjson"));
        fixture.policies.configure_decision_log(&config.with_sample_rate(sample_rate).with_max_size(max_size));
        fixture
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn classify(&self, code: &str) -> String {
        let failure = Failure::default().with_platform("jd").with_code(code);
        self.policies.classify(&failure).policy.to_string()
    }

    /// Closes the log and returns its lines.
    fn close_and_read(&self) -> Vec<Value> {
        self.policies.configure_decision_log(&DecisionsConfig::off());
        read_lines(&self.file("decisions.ndjson"))
    }
}

fn read_lines(file: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is complete");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// Returns the fields of a line that identify the policy and its result.
fn result_fields(line: &Value) -> Value {
    let mut fields = line.clone();
    fields.as_object_mut().unwrap().retain(|name, _| ["policy", "rule", "verdict", "fault"].contains(&name.as_str()));
    fields
}

/// A size limit that no test reaches, in bytes.
const LARGE_SIZE: u64 = 1 << 30;

#[test]
fn every_policy_that_decides_writes_a_line() {
    let fixture = LogFixture::with_log(1.0, LARGE_SIZE);
    assert_eq!((fixture.classify("7"), fixture.classify("8")), ("retry/jd.rhai".into(), "retry/default.rhai".into()));
    let request = Request::new("jd").with_endpoint("orders");
    let _ = fixture.policies.admit(&request);
    let mut stats = Stats::default();
    stats.count = 10;
    stats.errors = 5;
    stats.error_rate = 0.5;
    let snapshot = Snapshot::new("jd", stats);
    let view: Arc<dyn HostView> = Arc::new(FixedView);
    for rule in fixture.policies.rules().iter() {
        rule.policy.evaluate(&snapshot, &view).unwrap();
    }
    let lines = fixture.close_and_read();
    let expected = [
        json!({ "policy": "retry/jd.rhai",
            "verdict": { "action": "retry", "class": "throttled", "after_ms": 60, "reason": "slow down" } }),
        json!({ "policy": "retry/jd.rhai", "verdict": { "action": "default" } }),
        json!({ "policy": "retry/default.rhai", "verdict": { "action": "give_up", "class": "permanent" } }),
        json!({ "policy": "admit/jd.rhai", "verdict": { "action": "allow", "cost": 2, "scope": { "api": "orders" } } }),
        json!({ "policy": "alerts/burn.rhai", "verdict": { "state": "firing" } }),
        json!({ "policy": "alerts.toml", "rule": "high", "verdict": { "state": "firing" } }),
    ];
    assert_eq!(lines.iter().map(result_fields).collect::<Vec<_>>(), expected);
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["retry", "retry", "retry", "admit", "alert", "alert"]);
    for line in &lines {
        assert_eq!(line["generation"], 1, "{line}");
        assert!(line["took_ns"].as_u64() > Some(0) && line["at_ms"].as_u64() > Some(1_700_000_000_000), "{line}");
    }
    // A line also contains the windows and limits that the policy read.
    assert_eq!(lines[3]["limits"]["jd"], json!({ "available": 3, "burst": 9, "rate": "3/2s", "full_in_ms": 4_000 }));
    assert_eq!((&lines[4]["windows"]["1h"]["count"], &lines[4]["input"]["error_rate"]), (&json!(3_600), &json!(0.5)));
    assert!(lines[5].get("windows").is_none() && lines[5].get("limits").is_none(), "{}", lines[5]);
}

#[test]
fn line_has_the_generation_of_the_policy_version_that_decided() {
    let fixture = LogFixture::with_log(1.0, LARGE_SIZE);
    fixture.classify("7");
    fs::write(fixture.file("retry/default.rhai"), "retry(\"transient\")").unwrap();
    fixture.policies.reload();
    fixture.classify("8");
    let lines = fixture.close_and_read();
    let generations = lines.iter().map(|line| format!("{} {}", line["policy"].as_str().unwrap(), line["generation"]));
    assert_eq!(generations.collect::<Vec<_>>(), ["retry/jd.rhai 1", "retry/jd.rhai 1", "retry/default.rhai 2"]);
}

#[test]
fn no_log_is_written_without_a_file() {
    let fixture = LogFixture::new();
    fixture.policies.configure_decision_log(&DecisionsConfig::default());
    fixture.classify("7");
    assert_eq!(fixture.close_and_read(), [Value::Null; 0]);
    let names = fs::read_dir(fixture.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let expected = ["admit", "alerts", "alerts.toml", "retry"].map(Into::into);
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(expected), "no other file is created");
    assert_eq!(
        (fixture.policies.decision_log_status().written, fixture.policies.decision_log_status().dropped),
        (0, 0)
    );
}

#[test]
fn sample_sets_the_share_of_verdicts_that_are_logged() {
    for (sample_rate, min, max) in [(0.0, 0, 0), (0.5, 150, 250), (1.0, 400, 400)] {
        let fixture = LogFixture::with_log(sample_rate, LARGE_SIZE);
        for _ in 0..400 {
            fixture.classify("7");
        }
        let written = fixture.close_and_read().len();
        assert!((min..=max).contains(&written), "{sample_rate}: {written}");
        assert_eq!(fixture.policies.decision_log_status().written, written as u64);
    }
}

#[test]
fn faults_are_logged_regardless_of_the_sample() {
    let fixture = LogFixture::with_log(0.0, LARGE_SIZE);
    for code in ["7", "boom", "8", "boom"] {
        fixture.classify(code);
    }
    let lines = fixture.close_and_read();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for line in lines {
        let trap = json!({ "kind": "trap", "message": line["fault"]["message"] });
        assert_eq!(
            (result_fields(&line), &line["input"]["code"]),
            (json!({ "policy": "retry/default.rhai", "fault": trap }), &json!("boom"))
        );
        assert!(line["fault"]["message"].as_str().unwrap().contains("on purpose"), "{line}");
    }
}

#[test]
fn log_is_rotated_at_its_maximum_size_and_drops_the_oldest_lines() {
    let fixture = LogFixture::with_log(1.0, 4_096);
    for number in 0..200 {
        // The decisions are made one at a time, so that the lines are not all written in one chunk.
        fixture.classify(&number.to_string());
        assert!(fs::metadata(fixture.file("decisions.ndjson")).map_or(0, |metadata| metadata.len()) <= 4_096);
    }
    let current = fixture.close_and_read();
    let previous = read_lines(&fixture.file("decisions.ndjson.1"));
    assert!(fs::metadata(fixture.file("decisions.ndjson.1")).unwrap().len() <= 4_096);
    assert!(current.len() + previous.len() < 100, "the oldest lines are gone");
    let codes: Vec<u64> =
        previous.iter().chain(&current).map(|line| line["input"]["code"].as_str().unwrap().parse().unwrap()).collect();
    assert!(codes.windows(2).all(|pair| pair[1] - pair[0] <= 1), "no line is missing in between: {codes:?}");
    assert_eq!(codes.last(), Some(&199));
    assert_eq!(fixture.policies.decision_log_status().dropped, 0);
}

#[test]
fn existing_log_file_is_appended_to() {
    let fixture = LogFixture::with_log(1.0, LARGE_SIZE);
    fixture.classify("7");
    assert_eq!(fixture.close_and_read().len(), 1);
    let file = fixture.file("decisions.ndjson");
    fixture.policies.configure_decision_log(&DecisionsConfig::to_file(file).with_max_size(LARGE_SIZE));
    fixture.classify("7");
    assert_eq!(fixture.close_and_read().len(), 2);
}

#[test]
fn dropping_the_policies_writes_pending_lines() {
    let LogFixture { dir, policies } = LogFixture::with_log(1.0, LARGE_SIZE);
    let failure = Failure::default().with_platform("jd").with_code("7");
    for _ in 0..100 {
        let _ = policies.classify(&failure);
    }
    drop(policies);
    assert_eq!(read_lines(&dir.path().join("decisions.ndjson")).len(), 100);
}

#[test]
fn secrets_are_masked_in_headers_labels_and_messages() {
    let fixture = LogFixture::with_log(1.0, LARGE_SIZE);
    let pair = |name: &str| (name.to_owned(), "hunter2".to_owned());
    let headers = ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-shop-token"].map(pair);
    let labels = ["client_secret", "password", "sign"].map(pair);
    let _ = fixture.policies.admit(&Request::new("jd").with_labels(labels).with_headers(headers.clone()));
    let _ = fixture.policies.classify(
        &Failure::default()
            .with_platform("jd")
            .with_headers(headers)
            .with_message("no connection to https://gw/router?method=x&session=hunter2&sign=hunter2"),
    );
    let lines = fixture.close_and_read();
    assert_eq!(lines.len(), 3);
    let text = json!(lines).to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains(r#""authorization":"***""#) && text.contains("?method=x&session=***&sign=***"), "{text}");
}

#[test]
fn unwritable_log_file_drops_lines_and_keeps_verdicts() {
    let fixture = LogFixture::new();
    let file = fixture.file("logs/decisions.ndjson");
    let config = DecisionsConfig::to_file(file.clone()).with_max_size(LARGE_SIZE);
    fixture.policies.configure_decision_log(&config);
    for _ in 0..10 {
        assert_eq!(fixture.classify("7"), "retry/jd.rhai");
    }
    fixture.policies.configure_decision_log(&DecisionsConfig::off());
    assert_eq!(
        (fixture.policies.decision_log_status().written, fixture.policies.decision_log_status().dropped),
        (0, 10)
    );
    fs::create_dir(fixture.file("logs")).unwrap();
    fixture.policies.configure_decision_log(&config);
    fixture.classify("7");
    fixture.policies.configure_decision_log(&DecisionsConfig::off());
    assert_eq!((read_lines(&file).len(), fixture.policies.decision_log_status().dropped), (1, 10));
}

#[tokio::test]
async fn edited_configuration_turns_the_log_on_and_off() {
    let fixture = LogFixture::new();
    let toml = ConfigFile::new(fixture.file("tidegate.toml"));
    let save = |text: &str| fs::write(toml.path(), text).unwrap();
    save("# defaults\n");
    let host = Host::builder().config(toml.read().unwrap()).policies(Arc::clone(&fixture.policies)).build().unwrap();
    let failure = Failure::default().with_platform("jd").with_code("7");
    host.classify(&failure).await;
    save("[decisions]\nfile = 'on.ndjson'\n");
    host.reload_config(&toml).unwrap();
    assert_eq!(
        host.policies().unwrap().decision_log_status().file,
        Some(fixture.file("on.ndjson")),
        "the path is relative to the configuration file"
    );
    host.classify(&failure).await;
    save("[decisions]\nfile = 'other.ndjson'\nsample_rate = 0.0\n");
    host.reload_config(&toml).unwrap();
    host.classify(&failure).await;
    save("[decisions]\nsample_rate = 2\nfile = 'third.ndjson'\n");
    host.reload_config(&toml).unwrap_err();
    let stale = host.config_status().stale.unwrap();
    assert!(stale.contains("2:15: decisions.sample_rate: expected a number from 0 to 1, found 2"), "{stale}");
    assert_eq!(
        host.policies().unwrap().decision_log_status().file,
        Some(fixture.file("other.ndjson")),
        "the previous log stays active"
    );
    save("# off again\n");
    host.reload_config(&toml).unwrap();
    host.classify(&failure).await;
    assert_eq!(read_lines(&fixture.file("on.ndjson")).len(), 1);
    assert!(!fixture.file("other.ndjson").exists() && !fixture.file("third.ndjson").exists());
    assert_eq!(host.policies().unwrap().decision_log_status().file, None);
}
