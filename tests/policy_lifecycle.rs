//! Limits, settings and candidates of policies, and the quarantine of policies that keep failing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::Host;
use tidegate_core::config::{Config, PoliciesConfig};
use tidegate_core::{Class, Clock, Failure, FaultKind, ManualClock, Timestamp};
use tidegate_policy::{Policies, PolicyStatus};

use crate::policies::policies_config;

/// Creates a policy directory with one retry policy, for taobao.
fn dir_with_retry_policy(script: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("retry")).unwrap();
    save(dir.path(), "taobao.rhai", script);
    dir
}

fn save(dir: &Path, name: &str, script: &str) {
    fs::write(dir.join("retry").join(name), script).unwrap();
}

/// Returns the default configuration with additional lines of TOML.
fn config(dir: &Path, lines: &str) -> PoliciesConfig {
    let parsed = Config::parse(lines).unwrap_or_else(|errors| panic!("{errors:?}")).policies;
    let mut config = policies_config(dir).with_max_faults(parsed.max_faults);
    config.fault_window = parsed.fault_window;
    config.overrides = parsed.overrides;
    config
}

fn failure(code: &str) -> Failure {
    Failure::response(503).with_platform("taobao").with_code(code)
}

/// Returns the deciding policy and the reason of its verdict, as `POLICY: REASON`.
fn decision(policies: &Policies, code: &str) -> String {
    let decision = policies.classify(&failure(code));
    format!("{}: {}", decision.policy, decision.verdict.reason.unwrap_or_default())
}

fn status(policies: &Policies, path: &str) -> PolicyStatus {
    policies.status().into_iter().find(|status| status.path == path).unwrap()
}

#[test]
fn failing_policy_is_replaced_by_its_previous_version_until_it_is_edited() {
    let dir = dir_with_retry_policy("if code == \"bad\" { throw \"first\" } retry(\"transient\", \"first\")");
    let policies = Policies::open(&config(dir.path(), "[policies]\nmax_faults = 3"));
    save(dir.path(), "taobao.rhai", "if code == \"x\" || code == \"bad\" { throw \"second\" } abstain()");
    assert_eq!(policies.reload().rejected, BTreeMap::new());
    for _ in 0..3 {
        assert_eq!(decision(&policies, "x"), "fallback: server error");
    }
    assert_eq!(decision(&policies, "x"), "retry/taobao.rhai: first", "the previous version decides");
    let message = status(&policies, "retry/taobao.rhai").quarantined.unwrap();
    assert!(message.starts_with("too many faults, last: trap: "), "{message}");
    assert!(message.ends_with("; the previous version decides until the file changes"), "{message}");
    for _ in 0..4 {
        assert_eq!(decision(&policies, "bad"), "fallback: server error");
    }
    assert_eq!(decision(&policies, "x"), "fallback: server error", "both versions are quarantined");
    save(dir.path(), "taobao.rhai", "retry(\"transient\", \"third\")");
    policies.reload();
    assert_eq!(decision(&policies, "bad"), "retry/taobao.rhai: third");
    assert_eq!(status(&policies, "retry/taobao.rhai").quarantined, None);
}

#[test]
fn failing_policy_without_a_previous_version_is_replaced_by_the_fallback() {
    let dir = dir_with_retry_policy("if code == \"bad\" { throw \"no\" } retry(\"transient\", \"mine\")");
    save(dir.path(), "default.rhai", "retry(\"transient\", \"default\")");
    let policies = Policies::open(&config(dir.path(), "[policies]\nmax_faults = 2"));
    for _ in 0..2 {
        decision(&policies, "bad");
    }
    assert_eq!(decision(&policies, "x"), "fallback: server error");
    assert_eq!(
        &*policies.classify(&Failure::default()).policy,
        "retry/default.rhai",
        "other policies are not affected"
    );
}

#[test]
fn faults_count_towards_a_quarantine_for_a_time_by_the_clock_of_the_registry() {
    let dir = dir_with_retry_policy("if code == \"x\" { throw \"on purpose\" } abstain()");
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let config = config(dir.path(), "[policies]\nmax_faults = 2\nfault_window = '1m'");
    let policies = Policies::open_with_clock(&config, Arc::clone(&clock) as _);
    let is_quarantined_after = |ms| {
        clock.advance(Duration::from_millis(ms));
        assert_eq!(decision(&policies, "x"), "fallback: server error");
        status(&policies, "retry/taobao.rhai").quarantined.is_some()
    };
    assert_eq!([60_001, 60_001, 60_000].map(is_quarantined_after), [false, false, true]);
    save(dir.path(), "taobao.rhai", "no script");
    policies.reload();
    assert_eq!(status(&policies, "retry/taobao.rhai").stale_since_ms, Some(clock.unix_ms()));
}

#[tokio::test]
async fn host_passes_its_clock_to_its_policies() {
    let dir = dir_with_retry_policy("if code == \"x\" { throw \"on purpose\" } abstain()");
    let policies = Policies::open(&config(dir.path(), "[policies]\nmax_faults = 2"));
    let clock = Arc::new(ManualClock::default());
    let host = Host::builder().policies(policies).clock(Arc::clone(&clock) as _).build().unwrap();
    let policies = host.policies().unwrap();
    for _ in 0..5 {
        decision(policies, "x");
        clock.advance(Duration::from_secs(3_600));
    }
    assert_eq!(status(policies, "retry/taobao.rhai").quarantined, None, "an hour passes between two faults");
}

#[test]
fn policy_can_override_a_limit() {
    let script = "if code == \"long\" { let n = 0; while n < 1000 { n += 1 } } retry(\"transient\", \"done\")";
    let dir = dir_with_retry_policy(script);
    save(dir.path(), "jd.rhai", script);
    let lines = "[policy.'retry/taobao']\nmax_operations = 500";
    let policies = Policies::open(&config(dir.path(), lines));
    assert_eq!(policies.classify(&failure("long")).fault.map(|fault| fault.kind), Some(FaultKind::Operations));
    let other = failure("long").with_platform("jd");
    assert_eq!(&*policies.classify(&other).policy, "retry/jd.rhai");
}

const SETTINGS: &str = r#"
fn configure() { if setting("max_wait", 60) < 1.0 { throw "`max_wait`: expected at least 1"; } }
retry("throttled", setting("max_wait", 60) * 1000.0, setting("region", "cn"))
"#;

#[test]
fn invalid_settings_leave_the_old_settings_active() {
    let dir = dir_with_retry_policy(SETTINGS);
    let policies = Policies::open(&config(dir.path(), ""));
    let verdict = || {
        let verdict = policies.classify(&failure("x")).verdict;
        (verdict.class, verdict.after_ms, verdict.reason.unwrap_or_default())
    };
    assert_eq!(verdict(), (Some(Class::Throttled), Some(60_000), "cn".to_owned()));
    let set = |settings: &str| {
        let lines = format!("[policy.'retry/taobao']\nsettings = {{ {settings} }}");
        policies.apply_config(&config(dir.path(), &lines)).rejected
    };
    assert_eq!(set("max_wait = 5, region = 'sg'"), BTreeMap::new());
    let good = (Some(Class::Throttled), Some(5_000), "sg".to_owned());
    assert_eq!(verdict(), good);
    let rows = [
        ("max_wait = 0", "the policy rejected its settings: `max_wait`: expected at least 1"),
        (
            "max_wai = 5",
            "the configuration has the setting `max_wai`, which the script does not read (did you mean `max_wait`?)",
        ),
        ("region = 5", "the setting `region` is a string in the script, but a number in the configuration"),
    ];
    for (settings, expected) in rows {
        let error = set(settings).remove("retry/taobao.rhai").unwrap_or_default();
        assert!(error.contains(expected), "{settings}: {error}");
        assert_eq!(verdict(), good, "{settings}");
    }
}

#[test]
fn candidate_reports_differences_and_becomes_active_when_it_is_renamed() {
    let dir = dir_with_retry_policy("retry(\"transient\", \"active\")");
    let candidate = "if code == \"7\" { return retry(\"throttled\", 100, \"new\"); }\n\
                     if code == \"boom\" { throw \"no\" }\nretry(\"transient\", \"other reason\")";
    save(dir.path(), "taobao.candidate.rhai", candidate);
    let policies = Policies::open(&config(dir.path(), ""));
    for code in ["1", "7", "2", "boom"] {
        assert_eq!(decision(&policies, code), "retry/taobao.rhai: active");
    }
    let differences = differences(&policies, 4);
    assert_eq!((differences.differing, differences.dropped), (2, 0), "another reason alone is no difference");
    let last = differences.last.unwrap();
    assert_eq!((last.failure.code.as_deref(), last.active.reason.as_deref()), (Some("boom"), Some("active")));
    let json = serde_json::to_value(&last).unwrap();
    assert_eq!(json["candidate"]["fault"]["kind"], "trap");
    assert!(last.candidate.unwrap_err().message.contains("taobao.candidate.rhai:2:"));

    fs::rename(dir.path().join("retry/taobao.candidate.rhai"), dir.path().join("retry/taobao.rhai")).unwrap();
    policies.reload();
    assert_eq!(decision(&policies, "7"), "retry/taobao.rhai: new");
    assert_eq!(policies.status().len(), 1);
}

#[test]
fn difference_contains_no_secrets() {
    let dir = dir_with_retry_policy("retry(\"transient\")");
    save(dir.path(), "taobao.candidate.rhai", "retry(\"auth\")");
    let policies = Policies::open(&config(dir.path(), ""));
    let headers = vec![("authorization".to_owned(), "Bearer hunter2".to_owned())];
    let _ = policies.classify(&failure("7").with_message("at /x?token=hunter2").with_headers(headers));
    let json = serde_json::to_string(&differences(&policies, 1)).unwrap();
    assert!(json.contains("authorization") && !json.contains("hunter2"), "{json}");
}

#[test]
fn candidate_runs_at_the_position_of_its_policy_in_the_chain() {
    let dir = dir_with_retry_policy("if code == \"7\" { retry(\"throttled\") } else { abstain() }");
    save(dir.path(), "taobao.candidate.rhai", "if code == \"9\" { retry(\"throttled\") } else { abstain() }");
    save(dir.path(), "default.rhai", "if code == \"3\" { abstain() } else { give_up(\"permanent\", \"default\") }");
    save(dir.path(), "default.candidate.rhai", "if code == \"2\" { retry(\"auth\") } else { abstain() }");
    let policies = Policies::open(&config(dir.path(), ""));
    // The platform's policy decides 7, the default policy decides 2 and 9, and the fallback decides 3.
    for code in ["7", "2", "9", "3"] {
        decision(&policies, code);
    }
    // The platform's candidate abstains on 7 and decides 9.
    assert_eq!(differences_of(&policies, "retry/taobao.candidate.rhai", 4).differing, 2);
    // The default's candidate decides 2 differently and abstains on 9. Both abstain on 3, and 7 does not reach them.
    let differences = differences_of(&policies, "retry/default.candidate.rhai", 3);
    assert_eq!(differences.differing, 2);
    let json = serde_json::to_value(&differences).unwrap();
    assert!(json["last"]["candidate"]["verdict"]["action"].is_string(), "{json}");
}

fn differences(policies: &Arc<Policies>, count: u64) -> tidegate_policy::CandidateDifferences {
    differences_of(policies, "retry/taobao.candidate.rhai", count)
}

/// Waits until a candidate has been compared a number of times, which happens on its own thread, and returns its
/// differences.
fn differences_of(policies: &Arc<Policies>, path: &str, count: u64) -> tidegate_policy::CandidateDifferences {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let differences = status(policies, path).differences.unwrap();
        if differences.compared == count {
            return differences;
        }
        assert!(std::time::Instant::now() < deadline, "{differences:?}");
        std::thread::yield_now();
    }
}
