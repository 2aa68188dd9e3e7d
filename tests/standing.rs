//! Bounds, settings, candidates, and what becomes of a policy that keeps misbehaving.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tidegate_core::config::{Config, PoliciesConfig, SystemEnv};
use tidegate_core::{Class, Failure, FaultKind};
use tidegate_policy::{Policies, PolicyStatus};

use crate::policies::policies_config;

/// A directory with one classifier for taobao.
fn dir(script: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("retry")).unwrap();
    save(dir.path(), "taobao.rhai", script);
    dir
}

fn save(dir: &Path, name: &str, script: &str) {
    fs::write(dir.join("retry").join(name), script).unwrap();
}

/// The default limits with these lines of configuration.
fn config(dir: &Path, lines: &str) -> PoliciesConfig {
    let read = Config::parse(lines, &SystemEnv::default()).unwrap_or_else(|problems| panic!("{problems:?}")).policies;
    PoliciesConfig { max_faults: read.max_faults, each: read.each, ..policies_config(dir) }
}

fn failure(code: &str) -> Failure {
    Failure { platform: "taobao".into(), status: Some(503), code: Some(code.into()), ..Failure::default() }
}

/// Who decides on a code, with which words.
fn said(policies: &Policies, code: &str) -> String {
    let decided = policies.classify(&failure(code));
    format!("{}: {}", decided.by, decided.verdict.reason.unwrap_or_default())
}

fn status(policies: &Policies, path: &str) -> PolicyStatus {
    policies.status().into_iter().find(|status| status.path == path).unwrap()
}

#[test]
fn a_policy_that_keeps_faulting_is_set_aside_for_the_version_before_until_it_is_edited() {
    let dir = dir("if code == \"bad\" { throw \"first\" } retry(\"transient\", \"first\")");
    let policies = Policies::open(&config(dir.path(), "[policies]\nmax_faults = 3"));
    save(dir.path(), "taobao.rhai", "if code == \"x\" || code == \"bad\" { throw \"second\" } abstain()");
    assert_eq!(policies.reload().refused, [""; 0]);
    for _ in 0..3 {
        assert_eq!(said(&policies, "x"), "fallback: server error");
    }
    assert_eq!(said(&policies, "x"), "retry/taobao.rhai: first", "the version before it");
    let told = status(&policies, "retry/taobao.rhai").set_aside.unwrap();
    assert!(told.starts_with("the version before it decides until it is edited; the last fault: trap: "), "{told}");
    for _ in 0..4 {
        assert_eq!(said(&policies, "bad"), "fallback: server error");
    }
    assert_eq!(said(&policies, "x"), "fallback: server error", "both are set aside");
    save(dir.path(), "taobao.rhai", "retry(\"transient\", \"third\")");
    policies.reload();
    assert_eq!(said(&policies, "bad"), "retry/taobao.rhai: third");
    assert_eq!(status(&policies, "retry/taobao.rhai").set_aside, None);
}

#[test]
fn a_policy_without_a_version_before_leaves_its_place_to_the_fallback() {
    let dir = dir("if code == \"bad\" { throw \"no\" } retry(\"transient\", \"mine\")");
    save(dir.path(), "default.rhai", "retry(\"transient\", \"default\")");
    let policies = Policies::open(&config(dir.path(), "[policies]\nmax_faults = 2"));
    for _ in 0..2 {
        said(&policies, "bad");
    }
    assert_eq!(said(&policies, "x"), "fallback: server error");
    assert_eq!(&*policies.classify(&Failure::default()).by, "retry/default.rhai", "others are undisturbed");
}

#[test]
fn one_policy_may_have_bounds_of_its_own() {
    let script = "if code == \"long\" { let n = 0; while n < 1000 { n += 1 } } retry(\"transient\", \"done\")";
    let dir = dir(script);
    save(dir.path(), "jd.rhai", script);
    let lines = "[policy.'retry/taobao']\nmax_operations = 500";
    let policies = Policies::open(&config(dir.path(), lines));
    assert_eq!(policies.classify(&failure("long")).fault.map(|fault| fault.kind), Some(FaultKind::Operations));
    let other = Failure { platform: "jd".into(), ..failure("long") };
    assert_eq!(&*policies.classify(&other).by, "retry/jd.rhai");
}

const SETTINGS: &str = r#"
fn configure() { if setting("longest", 60) < 1.0 { throw "`longest`: expected at least 1"; } }
retry("throttled", setting("longest", 60) * 1000.0, setting("region", "cn"))
"#;

#[test]
fn settings_reach_a_script_which_checks_them_and_bad_ones_leave_the_old_in_force() {
    let dir = dir(SETTINGS);
    let policies = Policies::open(&config(dir.path(), ""));
    let verdict = || {
        let verdict = policies.classify(&failure("x")).verdict;
        (verdict.class, verdict.after_ms, verdict.reason.unwrap_or_default())
    };
    assert_eq!(verdict(), (Some(Class::Throttled), Some(60_000), "cn".to_owned()));
    let set = |settings: &str| {
        let lines = format!("[policy.'retry/taobao']\nsettings = {{ {settings} }}");
        policies.configure(&config(dir.path(), &lines)).refused
    };
    assert_eq!(set("longest = 5, region = 'sg'"), [""; 0]);
    let good = (Some(Class::Throttled), Some(5_000), "sg".to_owned());
    assert_eq!(verdict(), good);
    let rows = [
        ("longest = 0", "it refused its settings: Runtime error: `longest`: expected at least 1"),
        ("longst = 5", "its settings name `longst`, which it never asks for; did you mean `longest`?"),
        ("region = 5", "its setting `region` is a text, and the configuration gives a number"),
    ];
    for (settings, expected) in rows {
        let refused = set(settings).concat();
        assert!(refused.contains(expected), "{settings}: {refused}");
        assert_eq!(verdict(), good, "{settings}");
    }
}

#[test]
fn a_candidate_only_reports_where_it_differs_and_a_new_name_makes_it_live() {
    let dir = dir("retry(\"transient\", \"live\")");
    let candidate = "if code == \"7\" { return retry(\"throttled\", 100, \"new\"); }\n\
                     if code == \"boom\" { throw \"no\" }\nretry(\"transient\", \"other words\")";
    save(dir.path(), "taobao.candidate.rhai", candidate);
    let policies = Policies::open(&config(dir.path(), ""));
    for code in ["1", "7", "2", "boom"] {
        assert_eq!(said(&policies, code), "retry/taobao.rhai: live");
    }
    let differences = compared(&policies, 4);
    assert_eq!((differences.differing, differences.dropped), (2, 0), "words alone are no difference");
    let last = differences.last.unwrap();
    assert_eq!((last.failure.code.as_deref(), last.live.reason.as_deref()), (Some("boom"), Some("live")));
    assert!(last.candidate.unwrap_err().contains("taobao.candidate.rhai:2:"));

    fs::rename(dir.path().join("retry/taobao.candidate.rhai"), dir.path().join("retry/taobao.rhai")).unwrap();
    policies.reload();
    assert_eq!(said(&policies, "7"), "retry/taobao.rhai: new");
    assert_eq!(policies.status().len(), 1);
}

#[test]
fn a_difference_is_told_without_secrets() {
    let dir = dir("retry(\"transient\")");
    save(dir.path(), "taobao.candidate.rhai", "retry(\"auth\")");
    let policies = Policies::open(&config(dir.path(), ""));
    let headers = vec![("authorization".to_owned(), "Bearer hunter2".to_owned())];
    let _ = policies.classify(&Failure { message: Some("at /x?token=hunter2".into()), headers, ..failure("7") });
    let told = serde_json::to_string(&compared(&policies, 1)).unwrap();
    assert!(told.contains("authorization") && !told.contains("hunter2"), "{told}");
}

#[test]
fn candidates_are_asked_where_their_place_in_the_chain_was() {
    let dir = dir("if code == \"7\" { retry(\"throttled\") } else { abstain() }");
    save(dir.path(), "taobao.candidate.rhai", "if code == \"9\" { retry(\"throttled\") } else { abstain() }");
    save(dir.path(), "default.rhai", "if code == \"3\" { abstain() } else { give_up(\"permanent\", \"default\") }");
    save(dir.path(), "default.candidate.rhai", "if code == \"2\" { retry(\"auth\") } else { abstain() }");
    let policies = Policies::open(&config(dir.path(), ""));
    // 7 ends at the platform's own, 2 and 9 at the default, 3 at the fallback.
    for code in ["7", "2", "9", "3"] {
        said(&policies, code);
    }
    // The platform's: 7 is left to the next now, and 9 no more.
    assert_eq!(compared_by(&policies, "retry/taobao.candidate.rhai", 4).differing, 2);
    // The default's: 2 is decided otherwise, 9 is left to the next, 3 was before too, and 7 never came so far.
    assert_eq!(compared_by(&policies, "retry/default.candidate.rhai", 3).differing, 2);
}

fn compared(policies: &Arc<Policies>, times: u64) -> tidegate_policy::Differences {
    compared_by(policies, "retry/taobao.candidate.rhai", times)
}

/// What a candidate has differed in once it was asked so often; it runs on a thread of its own.
fn compared_by(policies: &Arc<Policies>, path: &str, times: u64) -> tidegate_policy::Differences {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let found = status(policies, path).differences.unwrap();
        if found.compared == times {
            return found;
        }
        assert!(std::time::Instant::now() < until, "{found:?}");
        std::thread::yield_now();
    }
}
