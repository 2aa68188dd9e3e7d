//! Scripts that mean harm: each is contained at its limit, the fallback decides, and the next call is fine.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::{AlertVerdict, Failure, FaultKind, Snapshot, Stats, View, Windows, fallback};
use tidegate_policy::Policies;

use crate::policies::{guest, policies_config};

const OPERATIONS: u64 = 200_000;

/// Loads one hostile script as the classifier of `victim`, attacks, and tells the kind of fault.
fn attack(script: &str, limits: impl FnOnce(&mut PoliciesConfig)) -> FaultKind {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("retry")).unwrap();
    std::fs::write(dir.path().join("retry/victim.rhai"), guest(script)).unwrap();
    let mut config = policies_config(dir.path());
    limits(&mut config);
    let policies = Policies::open(&config);
    assert_eq!(policies.reload().refused, [""; 0], "{script} behaves on samples");

    let peaceful = Failure { platform: "victim".into(), status: Some(503), ..Failure::default() };
    let hostile = Failure { message: Some("attack".into()), ..peaceful.clone() };
    let decided = policies.classify(&hostile);
    assert_eq!((&*decided.by, &decided.verdict), ("fallback", &fallback::classify(&hostile)), "{script}");
    let fault = decided.fault.expect("a fault");
    assert!(fault.message.contains("victim.rhai:"), "{script}: {fault}");

    let next = policies.classify(&peaceful);
    assert!(next.fault.is_none(), "{script}: {:?}", next.fault);
    let status = policies.status().remove(0);
    assert_eq!((status.evaluations, status.faults.get(fault.kind.name())), (2, Some(&1)), "{script}");
    fault.kind
}

#[test]
fn every_attack_ends_at_the_limit_that_is_meant_for_it() {
    let rows = [
        ("endless_loop", FaultKind::Operations),
        ("caught", FaultKind::Operations),
        ("recursion", FaultKind::Memory),
        ("deep_recursion", FaultKind::Memory),
        ("text_bomb", FaultKind::Memory),
        ("interpolated_bomb", FaultKind::Memory),
        ("replace_bomb", FaultKind::Memory),
        ("replace_bomb_char", FaultKind::Memory),
        ("pad_bomb", FaultKind::Memory),
        ("array_bomb", FaultKind::Memory),
        ("push_bomb", FaultKind::Memory),
        ("nested_bomb", FaultKind::Memory),
        ("doubling_bomb", FaultKind::Memory),
        ("map_bomb", FaultKind::Memory),
        ("map_assigned_bomb", FaultKind::Trap),
        ("throw", FaultKind::Trap),
        ("curry_called", FaultKind::Trap),
        ("division", FaultKind::Trap),
        ("wrong_type", FaultKind::Type),
        ("nothing", FaultKind::Type),
        ("nan_wait", FaultKind::Type),
        ("negative_wait", FaultKind::Type),
        ("unknown_class", FaultKind::Type),
    ];
    for (script, expected) in rows {
        let kind = attack(script, |config| config.bounds.max_operations = OPERATIONS);
        assert_eq!(kind, expected, "{script}");
    }
}

#[test]
fn what_no_count_ends_ends_at_the_deadline() {
    let scripts = ["endless_loop", "caught", "busy_natives", "busy_lists", "slow_operations", "slow_callbacks"];
    for script in scripts.into_iter().chain(["swallowed_printing", "swallowed_print"]) {
        let kind = attack(script, |config| {
            config.bounds.max_operations = u64::MAX;
            config.retry_deadline = Duration::from_millis(20);
        });
        assert_eq!(kind, FaultKind::Deadline, "{script}");
    }
}

#[test]
fn what_no_limit_would_hold_is_refused_at_load() {
    let rows = [("curry_bomb", "victim.rhai:4:"), ("closure_leak", "victim.rhai:3:")];
    for (script, place) in rows {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("retry")).unwrap();
        std::fs::write(dir.path().join("retry/victim.rhai"), guest(script)).unwrap();
        let refused = Policies::open(&policies_config(dir.path())).reload().refused;
        assert!(refused.iter().any(|problem| problem.contains(place)), "{script}: {refused:?}");
    }
}

#[test]
fn a_script_that_never_ends_does_not_come_in_force() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("retry")).unwrap();
    std::fs::write(dir.path().join("retry/default.rhai"), "loop {}").unwrap();
    let policies = Policies::open(&policies_config(dir.path()));
    let refused = policies.reload().refused;
    assert!(refused[0].contains("default.rhai:1:6: Too many operations (tried on an empty failure)"), "{refused:?}");
    assert_eq!(&*policies.classify(&Failure::default()).by, "fallback");
}

#[test]
fn an_alert_condition_is_contained_like_a_classifier() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "[rules.hostile]\ncondition = 'if count == 7 { loop {} } error_rate > 0.1'\n";
    std::fs::write(dir.path().join("alerts.toml"), rule).unwrap();
    let policies = Policies::open(&policies_config(dir.path()));
    let judge = |count| {
        let stats = Stats { count, error_rate: 0.2, ..Stats::default() };
        let snapshot = Snapshot { platform: "victim".into(), endpoint: None, stats };
        let view: Arc<dyn View> = Arc::new(Windows(|_| Stats::default()));
        policies.rules()[0].policy.evaluate(&snapshot, &view)
    };
    let fault = judge(7).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Operations);
    assert!(fault.message.contains("alerts.toml:2:35: "), "at its place in the file: {fault}");
    assert_eq!(judge(8), Ok(AlertVerdict::Firing { detail: None }));
    let status = policies.status().remove(0);
    assert_eq!((status.path.as_str(), status.evaluations, status.faults["operations"]), ("alerts.toml", 2, 1));
}
