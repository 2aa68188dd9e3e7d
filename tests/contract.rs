//! The contract with guests: components of old versions still load, and other components are rejected with a reason.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::{Config, PoliciesConfig, ResolvedPolicyConfig, Setting};
use tidegate_core::{AlertVerdict, Class, Failure, FnHostView, HostView, Snapshot, Stats, Verdict};
use tidegate_policy::wasm::WasmEngine;

use crate::policies::empty_view;

fn frozen(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("frozen").join(name)).unwrap()
}

fn config() -> PoliciesConfig {
    let deadline = Duration::from_secs(60);
    PoliciesConfig { retry_deadline: deadline, alert_deadline: deadline, ..Config::default().policies }
}

fn policy_config(path: &str) -> ResolvedPolicyConfig {
    config().resolve(path)
}

#[test]
fn retry_policy_of_contract_0_1_0_still_decides() {
    let engine = WasmEngine::new(&config()).unwrap();
    let policy =
        engine.load_retry("retry/pdd.wasm", &frozen("retry-0.1.0.wasm"), &policy_config("retry/pdd.wasm")).unwrap();
    let failure = |code: &str| Failure { status: Some(200), code: Some(code.to_owned()), ..Failure::default() };
    let verdict = |code| Verdict { reason: None, ..policy.classify(&failure(code), &empty_view()).unwrap() };
    assert_eq!(verdict("52101"), Verdict::retry(Class::Throttled).with_delay(Duration::from_secs(1)));
    assert_eq!(verdict("20032"), Verdict::give_up(Class::Auth));
    assert_eq!(verdict("99999"), Verdict::abstain());
}

#[test]
fn core_module_of_contract_0_1_0_still_reads_windows() {
    let engine = WasmEngine::new(&config()).unwrap();
    let policy =
        engine.load_alert("alerts/x.wasm", &frozen("alert-0.1.0.wasm"), &policy_config("alerts/x.wasm")).unwrap();
    let stats = Stats { error_rate: 0.2, ..Stats::default() };
    let snapshot = Snapshot { platform: "jd".to_owned(), endpoint: None, stats };
    let evaluate = |error_rate| {
        let hour = move |range| {
            assert_eq!(range, Duration::from_secs(3_600));
            Stats { error_rate, errors: 7, ..Stats::default() }
        };
        let view: Arc<dyn HostView> = Arc::new(FnHostView(hour));
        policy.evaluate(&snapshot, &view).unwrap()
    };
    assert_eq!(evaluate(0.05), AlertVerdict::Quiet);
    assert_eq!(evaluate(0.2), AlertVerdict::Firing { detail: Some("7 errors in the hour of jd".to_owned()) });
}

#[test]
fn component_of_contract_0_1_0_rejects_settings() {
    let engine = WasmEngine::new(&config()).unwrap();
    let mut policy_config = policy_config("retry/pdd.wasm");
    policy_config.settings.insert("longest".to_owned(), Setting::Number(1.0));
    let error = engine.load_retry("retry/pdd.wasm", &frozen("retry-0.1.0.wasm"), &policy_config).err().unwrap();
    let expected = "the policy is built for contract 0.1.0, which has no settings; remove its settings or build it for \
                    contract 0.2.0";
    assert_eq!(error, expected);
}

/// Returns the error of loading a component as a retry policy.
fn load_error(wat: &str) -> String {
    let engine = WasmEngine::new(&config()).unwrap();
    engine.load_retry("retry/x.wasm", &wat::parse_str(wat).unwrap(), &policy_config("retry/x.wasm")).err().unwrap()
}

#[test]
fn component_of_another_world_or_version_is_rejected() {
    let expected =
        "expected a component of the world tidegate:policy/retry@0.2.0, which exports `configure` and `classify`";
    let import = |name: &str| format!(r#"(component (import "{name}" (instance)))"#);
    let rows = [
        (
            import("tidegate:policy/log@0.3.0"),
            "this one is built for version 0.3.0 of the contract, not 0.2.0 or 0.1.0",
        ),
        (
            import("wasi:cli/environment@0.2.0"),
            "this one imports `wasi:cli/environment@0.2.0`: a policy may import only `log`, `metrics` and `limits` of the contract, and no WASI interface",
        ),
        ("(component)".to_owned(), "this one exports nothing"),
    ];
    for (wat, reason) in rows {
        assert_eq!(load_error(&wat), format!("{expected}; {reason}"), "{wat}");
    }
    let engine = WasmEngine::new(&config()).unwrap();
    let error =
        engine.load_retry("retry/x.wasm", &frozen("alert-0.1.0.wasm"), &policy_config("retry/x.wasm")).err().unwrap();
    assert_eq!(error, format!("{expected}; this one is of the world `alert`"));
}
