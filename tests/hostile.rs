//! Policies that mean harm: each is contained as the kind of fault that it is, and nobody else notices.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tidegate_core::config::PoliciesConfig;
use tidegate_core::{
    AlertPolicy, AlertVerdict, Class, Failure, Fault, FaultKind, RetryPolicy, Snapshot, Stats, Verdict, HostView, FnHostView,
};
use tidegate_policy::Policies;
use tidegate_policy::wasm::WasmEngine;
use tidegate_tests::corpus::{self, Hostile};

use crate::policies::{empty_view, policies_config};

/// What one policy and all that watches it may add to the memory of a process, in MiB: a compiler at work is the most.
const MEMORY: u64 = 512;
/// How many files are attacked at one time.
const AT_ONCE: usize = 2;

/// Attacks one file in a process of its own, which it may take along; the answer is what went wrong.
fn attacked(file: &Path) -> Vec<String> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hostile"));
    let output = program.args(["--patient", "--json", "--rounds", "2"]).arg(file).output().unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let Ok(row) = serde_json::from_str::<Value>(said.trim()) else {
        return vec![format!("it took its process along: {}; {}", output.status, told.trim())];
    };
    let mut wrong: Vec<_> = row["wrong"].as_array().unwrap().iter().map(ToString::to_string).collect();
    if !wrong.is_empty() {
        wrong.push(format!("got {}", row["got"]));
    }
    if row["others"].as_u64() == Some(0) {
        wrong.push("the good policy was not asked".to_owned());
    }
    if row["peak_mib"].as_u64().unwrap() > MEMORY {
        wrong.push(format!("it took {} MiB", row["peak_mib"]));
    }
    wrong
}

#[test]
fn every_hostile_policy_is_contained_as_its_file_says() {
    let files = corpus::files().unwrap();
    assert!(files.len() >= 50, "{}", files.len());
    let parts = files.chunks(files.len().div_ceil(AT_ONCE));
    let wrong: Vec<_> = thread::scope(|scope| {
        let attackers: Vec<_> = parts
            .map(|files| scope.spawn(move || files.iter().map(|file| (file, attacked(file))).collect::<Vec<_>>()))
            .collect();
        attackers.into_iter().flat_map(|attacker| attacker.join().unwrap()).collect()
    });
    let wrong: Vec<_> = wrong.iter().filter(|(_, wrong)| !wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_kind_of_fault_and_of_policy_is_in_the_corpus() {
    let files: Vec<_> = corpus::files().unwrap().iter().map(|file| Hostile::read(file).unwrap()).collect();
    let expects = |words: &str| files.iter().any(|file| format!("{:?}", file.expected).contains(words));
    let kinds = FaultKind::ALL.map(FaultKind::name);
    for words in kinds.into_iter().chain(["Refused", "Answer"]) {
        assert!(expects(words), "{words}");
    }
    for (kind, ending) in [("retry", ".rhai"), ("alerts", ".rhai"), ("admit", ".rhai")].into_iter().chain([
        ("retry", ".wat"),
        ("alerts", ".wat"),
        ("admit", ".wat"),
    ]) {
        assert!(files.iter().any(|file| file.kind.folder() == kind && file.name.ends_with(ending)), "{kind} {ending}");
    }
}

#[test]
fn a_condition_in_a_line_is_contained_at_its_place_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "[rules.hostile]\ncondition = 'if count == 7 { loop {} } error_rate > 0.1'\n";
    std::fs::write(dir.path().join("alerts.toml"), rule).unwrap();
    let policies = Policies::open(&policies_config(dir.path()));
    let judge = |count| {
        let stats = Stats { count, error_rate: 0.2, ..Stats::default() };
        let snapshot = Snapshot { platform: "victim".into(), endpoint: None, stats };
        policies.rules()[0].policy.evaluate(&snapshot, &empty_view())
    };
    let fault = judge(7).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Operations);
    assert!(fault.message.contains("alerts.toml:2:35: "), "{fault}");
    assert_eq!(judge(8), Ok(AlertVerdict::Firing { detail: None }));
    let status = policies.status().remove(0);
    assert_eq!((status.path.as_str(), status.evaluations, status.faults["operations"]), ("alerts.toml", 2, 1));
}

/// Long enough that a busy machine faults no innocent guest, short enough to wait for in every test.
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

/// A component of the corpus, or of `tests/guests`.
fn component(path: &str) -> Vec<u8> {
    Hostile::read(&corpus::dir().join("..").join(path)).unwrap().bytes
}

fn retry(engine: &WasmEngine, path: &str) -> Arc<dyn RetryPolicy> {
    engine.load_retry("retry/x.wasm", &component(path), &config().resolve("retry/x.wasm")).unwrap()
}

fn attempt(policy: &Arc<dyn RetryPolicy>, attempt: u32) -> Result<Verdict, Fault> {
    policy.classify(&Failure { platform: "pdd".to_owned(), attempt, ..Failure::default() }, &empty_view())
}

#[test]
fn a_fault_says_where_it_happened_and_which_deadline_it_was() {
    let engine = engine();
    let fault = |path| attempt(&retry(&engine, path), 2).unwrap_err().message;
    let (trap, deadline) = (fault("hostile/trap.wat"), fault("hostile/endless_loop.wat"));
    assert!(trap.contains("unreachable") && trap.contains("panics"), "{trap}");
    assert!(deadline.contains("400ms"), "{deadline}");
}

#[test]
fn a_long_reason_is_cut_and_one_without_measure_is_refused() {
    let policy = retry(&engine(), "hostile/long_reason.wat");
    let reason = attempt(&policy, 1).unwrap().reason.unwrap();
    assert_eq!(reason, "x".repeat(512));
    assert_eq!(attempt(&policy, 100).unwrap_err().kind, FaultKind::Type);
    assert!(attempt(&policy, 1).is_ok());
}

#[test]
fn more_policies_than_room_take_turns() {
    let engine = engine();
    let policies: Vec<_> = (0..60).map(|_| retry(&engine, "guests/well_behaved.wat")).collect();
    for round in 1..=2 {
        for policy in &policies {
            assert_eq!(attempt(policy, round), Ok(Verdict::retry(Class::Transient)));
        }
    }
}

#[test]
fn more_looping_calls_than_room_wait_for_room_and_then_run_out_of_time() {
    let engine = engine();
    let looping = retry(&engine, "hostile/endless_loop.wat");
    let good = retry(&engine, "guests/well_behaved.wat");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..60).map(|_| scope.spawn(|| attempt(&looping, 2))).collect();
        for call in calls {
            assert_eq!(call.join().unwrap().unwrap_err().kind, FaultKind::Deadline);
        }
    });
    assert!(attempt(&good, 2).is_ok());
}

#[test]
fn an_alert_condition_reads_other_windows() {
    let bytes = component("guests/hourly_error_rate_above_half.wat");
    let policy: Arc<dyn AlertPolicy> =
        engine().load_alert("alerts/x.wasm", &bytes, &config().resolve("alerts/x.wasm")).unwrap();
    let judge = |error_rate| {
        let windows = move |range| {
            assert_eq!(range, Duration::from_secs(3_600));
            Stats { error_rate, ..Stats::default() }
        };
        let view: Arc<dyn HostView> = Arc::new(FnHostView(windows));
        policy.evaluate(&Snapshot::default(), &view)
    };
    assert_eq!(judge(0.4), Ok(AlertVerdict::Quiet));
    assert_eq!(judge(0.6), Ok(AlertVerdict::Firing { detail: None }));
}
