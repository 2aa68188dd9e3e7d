//! Hostile policies: the host contains each of them with the expected fault, and no other policy is affected.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tidegate_core::config::PoliciesConfig;
use tidegate_core::{
    AlertVerdict, Class, Failure, Fault, FaultKind, FnHostView, HostView, RetryPolicy, Snapshot, Stats, Verdict,
};
use tidegate_policy::wasm::{WasmBinary, WasmEngine};
use tidegate_policy::{Policies, PolicyKind};
use tidegate_tests::corpus::{self, HostilePolicy};

use crate::policies::{empty_view, policies_config};

/// The maximum memory that one policy may add to a process, in MiB. Compilation needs most of it.
const MAX_MEMORY_MIB: u64 = 512;
/// The number of policies that attack at the same time.
const CONCURRENCY: usize = 2;

/// Runs one hostile policy in its own process, which it may crash. Returns the violated requirements.
fn violations(file: &Path) -> Vec<String> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hostile"));
    let output = program.args(["--expected-limit-only", "--json", "--rounds", "2"]).arg(file).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let Ok(row) = serde_json::from_str::<Value>(stdout.trim()) else {
        return vec![format!("the process failed: {}; {}", output.status, stderr.trim())];
    };
    let mut violations: Vec<_> = row["violations"].as_array().unwrap().iter().map(ToString::to_string).collect();
    if !violations.is_empty() {
        violations.push(format!("found {}", row["outcome"]));
    }
    if row["valid_calls"].as_u64() == Some(0) {
        violations.push("the valid policy was not called".to_owned());
    }
    if row["peak_mib"].as_u64().unwrap() > MAX_MEMORY_MIB {
        violations.push(format!("used {} MiB of memory", row["peak_mib"]));
    }
    violations
}

#[test]
fn every_hostile_policy_ends_as_its_file_expects() {
    let files = corpus::files().unwrap();
    assert!(files.len() >= 50, "{}", files.len());
    let parts = files.chunks(files.len().div_ceil(CONCURRENCY));
    let results: Vec<_> = thread::scope(|scope| {
        let attackers: Vec<_> = parts
            .map(|files| scope.spawn(move || files.iter().map(|file| (file, violations(file))).collect::<Vec<_>>()))
            .collect();
        attackers.into_iter().flat_map(|attacker| attacker.join().unwrap()).collect()
    });
    let not_contained: Vec<_> = results.iter().filter(|(_, violations)| !violations.is_empty()).collect();
    assert!(not_contained.is_empty(), "{not_contained:#?}");
}

#[test]
fn corpus_contains_every_fault_kind_and_every_policy_kind() {
    let files: Vec<_> = corpus::files().unwrap().iter().map(|file| HostilePolicy::read(file).unwrap()).collect();
    let expects = |outcome: &str| files.iter().any(|file| format!("{:?}", file.expected).contains(outcome));
    for outcome in FaultKind::NAMES.iter().copied().chain(["Rejected", "Verdict"]) {
        assert!(expects(outcome), "{outcome}");
    }
    for (kind, extension) in [("retry", ".rhai"), ("alerts", ".rhai"), ("admit", ".rhai")].into_iter().chain([
        ("retry", ".wat"),
        ("alerts", ".wat"),
        ("admit", ".wat"),
    ]) {
        assert!(
            files.iter().any(|file| file.kind.folder() == kind && file.name.ends_with(extension)),
            "{kind} {extension}"
        );
    }
}

#[test]
fn fault_of_an_inline_condition_has_its_position_in_the_rules_file() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "[rules.hostile]\ncondition = 'if count == 7 { loop {} } error_rate > 0.1'\n";
    std::fs::write(dir.path().join("alerts.toml"), rule).unwrap();
    let policies = Policies::open(&policies_config(dir.path()));
    let evaluate = |count| {
        let mut stats = Stats::default();
        stats.count = count;
        stats.error_rate = 0.2;
        let snapshot = Snapshot::new("target", stats);
        policies.rules()[0].policy.evaluate(&snapshot, &empty_view())
    };
    let fault = evaluate(7).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Operations);
    assert!(fault.message.contains("alerts.toml:2:35: "), "{fault}");
    assert_eq!(evaluate(8), Ok(AlertVerdict::Firing { detail: None }));
    let status = policies.status().remove(0);
    assert_eq!(
        (status.path.as_str(), status.evaluations, status.faults[&FaultKind::Operations]),
        ("alerts.toml", 2, 1)
    );
}

/// The deadline of the policies. It is long enough that a busy machine causes no fault, and short enough for a test.
const DEADLINE: Duration = Duration::from_millis(400);

fn config() -> PoliciesConfig {
    let mut config = policies_config(Path::new("."));
    (config.retry_deadline, config.alert_deadline) = (DEADLINE, DEADLINE);
    config.limits.max_memory = 1 << 20;
    config
}

fn engine() -> WasmEngine {
    WasmEngine::new(&config()).unwrap()
}

/// Returns a component of the corpus or of `tests/guests`.
fn component(path: &str) -> Vec<u8> {
    HostilePolicy::read(&corpus::dir().join("..").join(path)).unwrap().bytes
}

fn retry(engine: &WasmEngine, path: &str) -> Arc<dyn RetryPolicy> {
    let config = config().resolve("retry/x.wasm");
    engine
        .load(PolicyKind::Retry, "retry/x.wasm", &WasmBinary::new(&component(path)), &config)
        .unwrap()
        .into_retry()
        .unwrap()
}

fn attempt(policy: &Arc<dyn RetryPolicy>, attempt: u32) -> Result<Verdict, Fault> {
    policy.classify(&Failure::default().with_platform("pdd").with_attempt(attempt), &empty_view())
}

#[test]
fn fault_message_contains_the_function_or_the_deadline() {
    let engine = engine();
    let fault = |path| attempt(&retry(&engine, path), 2).unwrap_err().message;
    let (trap, deadline) = (fault("hostile/trap.wat"), fault("hostile/endless_loop.wat"));
    assert!(trap.contains("unreachable") && trap.contains("panics"), "{trap}");
    assert!(deadline.contains("400ms"), "{deadline}");
}

#[test]
fn long_reason_is_truncated_and_an_oversized_one_is_a_fault() {
    let policy = retry(&engine(), "hostile/long_reason.wat");
    let reason = attempt(&policy, 1).unwrap().reason.unwrap();
    assert_eq!(reason, "x".repeat(512));
    assert_eq!(attempt(&policy, 100).unwrap_err().kind, FaultKind::Type);
    assert!(attempt(&policy, 1).is_ok());
}

#[test]
fn more_policies_than_instances_share_the_pool() {
    let engine = engine();
    let policies: Vec<_> = (0..60).map(|_| retry(&engine, "guests/well_behaved.wat")).collect();
    for round in 1..=2 {
        for policy in &policies {
            assert_eq!(attempt(policy, round), Ok(Verdict::retry(Class::Transient)));
        }
    }
}

#[test]
fn more_looping_calls_than_instances_reach_their_deadline() {
    let engine = engine();
    let looping = retry(&engine, "hostile/endless_loop.wat");
    let valid = retry(&engine, "guests/well_behaved.wat");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..60).map(|_| scope.spawn(|| attempt(&looping, 2))).collect();
        for call in calls {
            assert_eq!(call.join().unwrap().unwrap_err().kind, FaultKind::Deadline);
        }
    });
    assert!(attempt(&valid, 2).is_ok());
}

#[test]
fn alert_condition_reads_another_window() {
    let bytes = component("guests/hourly_error_rate_above_half.wat");
    let config = config().resolve("alerts/x.wasm");
    let policy = engine()
        .load(PolicyKind::Alert, "alerts/x.wasm", &WasmBinary::new(&bytes), &config)
        .unwrap()
        .into_alert()
        .unwrap();
    let evaluate = |error_rate| {
        let windows = move |range| {
            assert_eq!(range, Duration::from_secs(3_600));
            let mut stats = Stats::default();
            stats.error_rate = error_rate;
            stats
        };
        let view: Arc<dyn HostView> = Arc::new(FnHostView(windows));
        policy.evaluate(&Snapshot::default(), &view)
    };
    assert_eq!(evaluate(0.4), Ok(AlertVerdict::Quiet));
    assert_eq!(evaluate(0.6), Ok(AlertVerdict::Firing { detail: None }));
}
