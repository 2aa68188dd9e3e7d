//! Wasm guests that misbehave: each is contained as the kind of fault it is, and the next call is fine.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tidegate_core::config::{Config, PoliciesConfig};
use tidegate_core::{
    AlertPolicy, AlertVerdict, Class, Failure, Fault, FaultKind, RetryPolicy, Snapshot, Stats, Verdict, View, Windows,
};
use tidegate_policy::wasm::WasmEngine;

/// Long enough that a busy machine faults no innocent guest, short enough to wait for in every test.
const DEADLINE: Duration = Duration::from_millis(400);

/// A guest of `tests/guests` in the shell of its world.
macro_rules! guest {
    ($shell:literal, $name:literal) => {
        component(
            include_str!(concat!("guests/", $shell, "_shell.wat")),
            include_str!(concat!("guests/", $name, ".wat")),
        )
    };
}

fn component(shell: &str, guest: &str) -> Vec<u8> {
    wat::parse_str(shell.replace("{guest}", guest)).unwrap()
}

fn engine() -> WasmEngine {
    WasmEngine::new(&config()).unwrap()
}

fn config() -> PoliciesConfig {
    let mut config = Config::default().policies;
    (config.retry_deadline, config.alert_deadline) = (DEADLINE, DEADLINE);
    config.bounds.max_memory = 1 << 20;
    config
}

fn retry(engine: &WasmEngine, bytes: &[u8]) -> Result<Arc<dyn RetryPolicy>, String> {
    engine.retry("retry/x.wasm", bytes, &config().terms("retry/x.wasm"))
}

fn alert(engine: &WasmEngine, bytes: &[u8]) -> Result<Arc<dyn AlertPolicy>, String> {
    engine.alert("alerts/x.wasm", bytes, &config().terms("alerts/x.wasm"))
}

fn blank() -> Arc<dyn View> {
    Arc::new(Windows(|_| Stats::default()))
}

fn attempt(policy: &Arc<dyn RetryPolicy>, attempt: u32) -> Result<Verdict, Fault> {
    policy.classify(&Failure { platform: "pdd".to_owned(), attempt, ..Failure::default() }, &blank())
}

/// The guest answers the first attempt, faults on the second, and that is all that anyone notices.
fn contained(bytes: &[u8], kind: FaultKind) -> Fault {
    let engine = engine();
    let good = retry(&engine, &guest!("retry", "well_behaved")).unwrap();
    let hostile = retry(&engine, bytes).unwrap();
    let answer = Ok(Verdict::retry(Class::Transient));
    assert_eq!(attempt(&hostile, 1), answer);
    let fault = attempt(&hostile, 2).unwrap_err();
    assert_eq!(fault.kind, kind, "{fault}");
    assert_eq!(attempt(&good, 2), answer, "another policy");
    assert_eq!(attempt(&hostile, 1), answer, "the same policy");
    fault
}

#[test]
fn an_endless_loop_ends_at_its_deadline() {
    let fault = contained(&guest!("retry", "endless_loop"), FaultKind::Deadline);
    assert!(fault.message.contains("400ms"), "{fault}");
}

#[test]
fn a_memory_bomb_ends_at_its_limit() {
    contained(&guest!("retry", "memory_bomb"), FaultKind::Memory);
}

#[test]
fn a_trap_says_where_it_happened() {
    let fault = contained(&guest!("retry", "trap"), FaultKind::Trap);
    assert!(fault.message.contains("unreachable") && fault.message.contains("panics"), "{fault}");
}

#[test]
fn calls_that_nest_without_end_are_a_fault_of_memory() {
    contained(&guest!("retry", "deep_calls"), FaultKind::Memory);
}

#[test]
fn a_verdict_without_a_class_is_a_fault_of_type() {
    contained(&guest!("retry", "no_class"), FaultKind::Type);
}

#[test]
fn an_action_that_does_not_exist_is_a_fault_of_type() {
    contained(&guest!("retry", "no_such_action"), FaultKind::Type);
}

#[test]
fn a_long_reason_is_cut_and_one_without_measure_is_refused() {
    let policy = retry(&engine(), &guest!("retry", "long_reason")).unwrap();
    let reason = attempt(&policy, 1).unwrap().reason.unwrap();
    assert_eq!(reason, "x".repeat(512));
    assert_eq!(attempt(&policy, 100).unwrap_err().kind, FaultKind::Type);
    assert!(attempt(&policy, 1).is_ok());
}

#[test]
fn what_misbehaves_at_once_is_refused_at_load() {
    let rows = [
        (guest!("retry", "always_loops"), "failed on a sample failure: deadline: ran longer than 1s"),
        (guest!("retry", "loop_in_start"), "failed on a sample failure: deadline: ran longer than 1s"),
        (guest!("retry", "born_too_big"), "memory"),
        (guest!("alert", "hour_above_half"), "this one is of the world `alert`"),
        (b"hello".to_vec(), "do not begin as one"),
        (wat::parse_str("(module)").unwrap(), "component"),
        (wat::parse_str("(component)").unwrap(), "this one exports nothing"),
        (wat::parse_str(r#"(component (import "wasi:x/y" (instance)))"#).unwrap(), "this one exports nothing"),
    ];
    let engine = engine();
    for (bytes, reason) in rows {
        let refused = retry(&engine, &bytes).err().unwrap_or_default();
        assert!(refused.contains(reason), "expected {reason:?} in {refused:?}");
    }
    let good = retry(&engine, &guest!("retry", "well_behaved")).unwrap();
    assert!(attempt(&good, 1).is_ok());
}

#[test]
fn more_policies_than_room_take_turns() {
    let engine = engine();
    let policies: Vec<_> = (0..60).map(|_| retry(&engine, &guest!("retry", "well_behaved")).unwrap()).collect();
    for round in 1..=2 {
        for policy in &policies {
            assert!(attempt(policy, round).is_ok());
        }
    }
}

#[test]
fn more_looping_calls_than_room_wait_for_room_and_then_run_out_of_time() {
    let engine = engine();
    let looping = retry(&engine, &guest!("retry", "endless_loop")).unwrap();
    let good = retry(&engine, &guest!("retry", "well_behaved")).unwrap();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..60).map(|_| scope.spawn(|| attempt(&looping, 2))).collect();
        for call in calls {
            assert_eq!(call.join().unwrap().unwrap_err().kind, FaultKind::Deadline);
        }
    });
    assert!(attempt(&good, 2).is_ok());
}

/// What an alert condition says when every window has this error rate.
fn judge(policy: &Arc<dyn AlertPolicy>, error_rate: f64) -> Result<AlertVerdict, Fault> {
    let windows = move |range| {
        assert_eq!(range, Duration::from_secs(3_600));
        Stats { error_rate, ..Stats::default() }
    };
    let view: Arc<dyn View> = Arc::new(Windows(windows));
    policy.evaluate(&Snapshot::default(), &view)
}

#[test]
fn an_alert_condition_reads_other_windows() {
    let policy = alert(&engine(), &guest!("alert", "hour_above_half")).unwrap();
    assert_eq!(judge(&policy, 0.4), Ok(AlertVerdict::Quiet));
    assert_eq!(judge(&policy, 0.6), Ok(AlertVerdict::Firing { detail: None }));
}

#[test]
fn an_alert_condition_that_asks_for_ever_ends_at_its_last_question() {
    let policy = alert(&engine(), &guest!("alert", "asks_for_ever")).unwrap();
    let fault = judge(&policy, 0.6).unwrap_err();
    assert!(fault.message.contains("more than 64 times"), "{fault}");
    assert_eq!(judge(&policy, 0.4), Ok(AlertVerdict::Quiet));
}

#[test]
fn a_classifier_is_no_alert_condition() {
    let refused = alert(&engine(), &guest!("retry", "well_behaved")).err().unwrap();
    assert!(
        refused.contains("which exports `configure` and `evaluate`; this one is of the world `retry`"),
        "{refused}"
    );
}
