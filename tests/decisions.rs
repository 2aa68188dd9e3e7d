//! The decision log: what is in it, what never is, and that nobody waits for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::{Failure, Host, Request, read_config};
use tidegate_core::config::DecisionsConfig;
use tidegate_core::{LimitState, Snapshot, Stats, View};
use tidegate_policy::Policies;

use crate::policies::policies_config;

/// The policies of these tests, by path.
const FILES: [(&str, &str); 5] = [
    ("retry/jd.rhai", "if code == \"7\" { retry(\"throttled\", 60, \"slow down\") } else { abstain() }"),
    ("retry/default.rhai", "if code == \"boom\" { throw \"on purpose\" }\ngive_up(\"permanent\")"),
    ("admit/jd.rhai", "if limit(\"jd\").available < 1 { deny(\"full\", 503) } else { allow(2, #{api: endpoint}) }"),
    ("alerts/burn.rhai", "error_rate > 0.1 && window(\"1h\").error_rate > 0.1"),
    ("alerts.toml", "[rules.high]\ncondition = 'error_rate > 0.1'\n[rules.burn]\npolicy = 'alerts/burn.rhai'\n"),
];

/// Every window and every limit looks the same.
struct Sights;

impl View for Sights {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        Stats { count: range.as_secs(), error_rate: 0.2, ..Stats::default() }
    }

    fn limit(&self, name: &str) -> Option<LimitState> {
        (name == "jd").then_some(LimitState { available: 3, burst: 9, rate: 1.5, full_in_ms: 4_000 })
    }
}

struct Scene {
    dir: tempfile::TempDir,
    policies: Arc<Policies>,
}

impl Scene {
    /// The policies of these tests, not logged yet.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in FILES {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let policies = Policies::open(&policies_config(dir.path()));
        assert_eq!(policies.reload().refused, [""; 0]);
        policies.attach(Arc::new(Sights));
        Self { dir, policies }
    }

    /// The same, logged.
    fn logged(sample: f64, max_size: u64) -> Self {
        let scene = Self::new();
        let file = Some(scene.file("decisions.ndjson"));
        scene.policies.log_decisions(&DecisionsConfig { file, sample, max_size });
        scene
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn classify(&self, code: &str) -> String {
        let failure = Failure { platform: "jd".into(), code: Some(code.into()), ..Failure::default() };
        self.policies.classify(&failure).by.to_string()
    }

    /// Ends the log and reads it.
    fn lines(&self) -> Vec<Value> {
        self.policies.log_decisions(&DecisionsConfig::off());
        lines(&self.file("decisions.ndjson"))
    }
}

fn lines(file: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// What says who decided what.
fn gist(line: &Value) -> Value {
    let mut gist = line.clone();
    gist.as_object_mut().unwrap().retain(|name, _| ["policy", "rule", "verdict", "fault"].contains(&name.as_str()));
    gist
}

const EVER: u64 = 1 << 30;

#[test]
fn every_policy_that_decides_has_its_line() {
    let scene = Scene::logged(1.0, EVER);
    assert_eq!((scene.classify("7"), scene.classify("8")), ("retry/jd.rhai".into(), "retry/default.rhai".into()));
    let request = Request { platform: "jd".into(), endpoint: "orders".into(), ..Request::default() };
    let _ = scene.policies.admit(&request);
    let stats = Stats { count: 10, errors: 5, error_rate: 0.5, ..Stats::default() };
    let snapshot = Snapshot { platform: "jd".into(), endpoint: None, stats };
    let sights: Arc<dyn View> = Arc::new(Sights);
    for rule in scene.policies.rules().iter() {
        rule.policy.evaluate(&snapshot, &sights).unwrap();
    }
    let lines = scene.lines();
    let expected = [
        json!({ "policy": "retry/jd.rhai",
            "verdict": { "action": "retry", "class": "throttled", "after_ms": 60, "reason": "slow down" } }),
        json!({ "policy": "retry/jd.rhai", "verdict": { "action": "default" } }),
        json!({ "policy": "retry/default.rhai", "verdict": { "action": "give_up", "class": "permanent" } }),
        json!({ "policy": "admit/jd.rhai", "verdict": { "action": "allow", "cost": 2, "scope": { "api": "orders" } } }),
        json!({ "policy": "alerts/burn.rhai", "verdict": { "state": "firing" } }),
        json!({ "policy": "alerts.toml", "rule": "high", "verdict": { "state": "firing" } }),
    ];
    assert_eq!(lines.iter().map(gist).collect::<Vec<_>>(), expected);
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["retry", "retry", "retry", "admit", "alert", "alert"]);
    for line in &lines {
        assert_eq!(line["generation"], 1, "{line}");
        assert!(line["took_ns"].as_u64() > Some(0) && line["at_ms"].as_u64() > Some(1_700_000_000_000), "{line}");
    }
    // What a policy looked at besides its input belongs to what it was asked.
    assert_eq!(lines[3]["limits"]["jd"], json!({ "available": 3, "burst": 9, "rate": 1.5, "full_in_ms": 4_000 }));
    assert_eq!((&lines[4]["windows"]["1h"]["count"], &lines[4]["input"]["error_rate"]), (&json!(3_600), &json!(0.5)));
    assert!(lines[5].get("windows").is_none() && lines[5].get("limits").is_none(), "{}", lines[5]);
}

#[test]
fn a_line_names_the_generation_of_the_version_that_decided() {
    let scene = Scene::logged(1.0, EVER);
    scene.classify("7");
    fs::write(scene.file("retry/default.rhai"), "retry(\"transient\")").unwrap();
    scene.policies.reload();
    scene.classify("8");
    let lines = scene.lines();
    let told = lines.iter().map(|line| format!("{} {}", line["policy"].as_str().unwrap(), line["generation"]));
    assert_eq!(told.collect::<Vec<_>>(), ["retry/jd.rhai 1", "retry/jd.rhai 1", "retry/default.rhai 2"]);
}

#[test]
fn without_a_file_nothing_is_written() {
    let scene = Scene::new();
    scene.policies.log_decisions(&DecisionsConfig { file: None, sample: 1.0, max_size: EVER });
    scene.classify("7");
    assert_eq!(scene.lines(), [Value::Null; 0]);
    let names = fs::read_dir(scene.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let expected = ["admit", "alerts", "alerts.toml", "retry"].map(Into::into);
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(expected), "not a file more");
    assert_eq!((scene.policies.decisions().written, scene.policies.decisions().dropped), (0, 0));
}

#[test]
fn a_sample_is_a_share_of_the_verdicts() {
    for (sample, least, most) in [(0.0, 0, 0), (0.5, 150, 250), (1.0, 400, 400)] {
        let scene = Scene::logged(sample, EVER);
        for _ in 0..400 {
            scene.classify("7");
        }
        let written = scene.lines().len();
        assert!((least..=most).contains(&written), "{sample}: {written}");
        assert_eq!(scene.policies.decisions().written, written as u64);
    }
}

#[test]
fn faults_are_written_whatever_the_sample_is() {
    let scene = Scene::logged(0.0, EVER);
    for code in ["7", "boom", "8", "boom"] {
        scene.classify(code);
    }
    let lines = scene.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for line in lines {
        let trap = json!({ "kind": "trap", "message": line["fault"]["message"] });
        assert_eq!(
            (gist(&line), &line["input"]["code"]),
            (json!({ "policy": "retry/default.rhai", "fault": trap }), &json!("boom"))
        );
        assert!(line["fault"]["message"].as_str().unwrap().contains("on purpose"), "{line}");
    }
}

#[test]
fn the_log_and_the_one_before_it_hold_their_size_and_lose_the_oldest() {
    let scene = Scene::logged(1.0, 4_096);
    for number in 0..200 {
        // One at a time, so that the lines are not all of one chunk.
        scene.classify(&number.to_string());
        assert!(fs::metadata(scene.file("decisions.ndjson")).map_or(0, |found| found.len()) <= 4_096);
    }
    let now = scene.lines();
    let before = lines(&scene.file("decisions.ndjson.1"));
    assert!(fs::metadata(scene.file("decisions.ndjson.1")).unwrap().len() <= 4_096);
    assert!(now.len() + before.len() < 100, "the oldest are gone");
    let codes: Vec<u64> =
        before.iter().chain(&now).map(|line| line["input"]["code"].as_str().unwrap().parse().unwrap()).collect();
    assert!(codes.windows(2).all(|pair| pair[1] - pair[0] <= 1), "without a gap: {codes:?}");
    assert_eq!(codes.last(), Some(&199));
    assert_eq!(scene.policies.decisions().dropped, 0);
}

#[test]
fn the_log_goes_on_where_an_earlier_process_ended() {
    let scene = Scene::logged(1.0, EVER);
    scene.classify("7");
    assert_eq!(scene.lines().len(), 1);
    let file = Some(scene.file("decisions.ndjson"));
    scene.policies.log_decisions(&DecisionsConfig { file, sample: 1.0, max_size: EVER });
    scene.classify("7");
    assert_eq!(scene.lines().len(), 2);
}

#[test]
fn what_is_dropped_with_the_policies_is_written_first() {
    let Scene { dir, policies } = Scene::logged(1.0, EVER);
    let failure = Failure { platform: "jd".into(), code: Some("7".into()), ..Failure::default() };
    for _ in 0..100 {
        let _ = policies.classify(&failure);
    }
    drop(policies);
    assert_eq!(lines(&dir.path().join("decisions.ndjson")).len(), 100);
}

#[test]
fn no_secret_is_written_wherever_it_stands() {
    let scene = Scene::logged(1.0, EVER);
    let pair = |name: &str| (name.to_owned(), "hunter2".to_owned());
    let headers = ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-shop-token"].map(pair);
    let labels = ["client_secret", "password", "sign"].map(pair).into();
    let _ = scene.policies.admit(&Request {
        platform: "jd".into(),
        headers: headers.clone().into(),
        labels,
        ..Request::default()
    });
    let _ = scene.policies.classify(&Failure {
        platform: "jd".into(),
        headers: headers.into(),
        message: Some("no connection to https://gw/router?method=x&session=hunter2&sign=hunter2".into()),
        ..Failure::default()
    });
    let lines = scene.lines();
    assert_eq!(lines.len(), 3);
    let text = json!(lines).to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains(r#""authorization":"***""#) && text.contains("?method=x&session=***&sign=***"), "{text}");
}

#[test]
fn a_file_that_cannot_be_written_costs_lines_and_no_verdict() {
    let scene = Scene::new();
    let file = scene.file("logs/decisions.ndjson");
    let config = DecisionsConfig { file: Some(file.clone()), sample: 1.0, max_size: EVER };
    scene.policies.log_decisions(&config);
    for _ in 0..10 {
        assert_eq!(scene.classify("7"), "retry/jd.rhai");
    }
    scene.policies.log_decisions(&DecisionsConfig::off());
    assert_eq!((scene.policies.decisions().written, scene.policies.decisions().dropped), (0, 10));
    fs::create_dir(scene.file("logs")).unwrap();
    scene.policies.log_decisions(&config);
    scene.classify("7");
    scene.policies.log_decisions(&DecisionsConfig::off());
    assert_eq!((lines(&file).len(), scene.policies.decisions().dropped), (1, 10));
}

#[tokio::test]
async fn an_edit_of_the_configuration_switches_the_log_on_and_off() {
    let scene = Scene::new();
    let toml = scene.file("tidegate.toml");
    let save = |text: &str| fs::write(&toml, text).unwrap();
    save("# as shipped\n");
    let host =
        Host::builder().config(read_config(&toml).unwrap()).policies(Arc::clone(&scene.policies)).build().unwrap();
    let failure = Failure { platform: "jd".into(), code: Some("7".into()), ..Failure::default() };
    let _ = host.classify(&failure);
    save("[decisions]\nfile = 'on.ndjson'\n");
    host.reload_config(&toml);
    assert_eq!(host.policies().unwrap().decisions().file, Some(scene.file("on.ndjson")), "beside the configuration");
    let _ = host.classify(&failure);
    save("[decisions]\nfile = 'other.ndjson'\nsample = 0.0\n");
    host.reload_config(&toml);
    let _ = host.classify(&failure);
    save("[decisions]\nsample = 2\nfile = 'third.ndjson'\n");
    host.reload_config(&toml);
    assert!(
        host.config_status().stale.unwrap().contains("2:10: decisions.sample: expected a number from 0 to 1, not 2")
    );
    assert_eq!(host.policies().unwrap().decisions().file, Some(scene.file("other.ndjson")), "the old one stays");
    save("# off again\n");
    host.reload_config(&toml);
    let _ = host.classify(&failure);
    assert_eq!(lines(&scene.file("on.ndjson")).len(), 1);
    assert!(!scene.file("other.ndjson").exists() && !scene.file("third.ndjson").exists());
    assert_eq!(host.policies().unwrap().decisions().file, None);
}
