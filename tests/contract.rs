//! The contract with guests: old versions keep loading, and what is no policy is refused with what it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::{Config, PoliciesConfig, Setting, Terms};
use tidegate_core::{AlertVerdict, Class, Failure, Snapshot, Stats, Verdict, View, Windows};
use tidegate_policy::wasm::WasmEngine;

use crate::policies::blank;

fn frozen(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("frozen").join(name)).unwrap()
}

fn config() -> PoliciesConfig {
    let deadline = Duration::from_secs(60);
    PoliciesConfig { retry_deadline: deadline, alert_deadline: deadline, ..Config::default().policies }
}

fn terms(path: &str) -> Terms {
    config().terms(path)
}

#[test]
fn a_classifier_of_contract_0_1_0_decides_as_ever() {
    let engine = WasmEngine::new(&config()).unwrap();
    let policy = engine.retry("retry/pdd.wasm", &frozen("retry-0.1.0.wasm"), &terms("retry/pdd.wasm")).unwrap();
    let failure = |code: &str| Failure { status: Some(200), code: Some(code.to_owned()), ..Failure::default() };
    let verdict = |code| Verdict { reason: None, ..policy.classify(&failure(code), &blank()).unwrap() };
    assert_eq!(verdict("52101"), Verdict::retry(Class::Throttled).after(Duration::from_secs(1)));
    assert_eq!(verdict("20032"), Verdict::give_up(Class::Auth));
    assert_eq!(verdict("99999"), Verdict::abstain());
}

#[test]
fn a_core_module_of_contract_0_1_0_reads_windows_as_ever() {
    let engine = WasmEngine::new(&config()).unwrap();
    let policy = engine.alert("alerts/x.wasm", &frozen("alert-0.1.0.wasm"), &terms("alerts/x.wasm")).unwrap();
    let stats = Stats { error_rate: 0.2, ..Stats::default() };
    let snapshot = Snapshot { platform: "jd".to_owned(), endpoint: None, stats };
    let judge = |error_rate| {
        let hour = move |range| {
            assert_eq!(range, Duration::from_secs(3_600));
            Stats { error_rate, errors: 7, ..Stats::default() }
        };
        let view: Arc<dyn View> = Arc::new(Windows(hour));
        policy.evaluate(&snapshot, &view).unwrap()
    };
    assert_eq!(judge(0.05), AlertVerdict::Quiet);
    assert_eq!(judge(0.2), AlertVerdict::Firing { detail: Some("7 errors in the hour of jd".to_owned()) });
}

#[test]
fn contract_0_1_0_has_no_settings() {
    let engine = WasmEngine::new(&config()).unwrap();
    let mut terms = terms("retry/pdd.wasm");
    terms.settings.insert("longest".to_owned(), Setting::Number(1.0));
    let refused = engine.retry("retry/pdd.wasm", &frozen("retry-0.1.0.wasm"), &terms).err().unwrap();
    assert_eq!(refused, "takes no settings: it is built for contract 0.1.0, which has none");
}

/// What the loader of retry classifiers says of a component.
fn refused(wat: &str) -> String {
    let engine = WasmEngine::new(&config()).unwrap();
    engine.retry("retry/x.wasm", &wat::parse_str(wat).unwrap(), &terms("retry/x.wasm")).err().unwrap()
}

#[test]
fn another_world_or_version_is_refused_with_what_it_is() {
    let expected =
        "expected a component of the world tidegate:policy/retry@0.2.0, which exports `configure` and `classify`";
    let import = |name: &str| format!(r#"(component (import "{name}" (instance)))"#);
    let rows = [
        (import("tidegate:policy/log@0.3.0"), "this one is built for 0.3.0 of the contract, not 0.2.0 or 0.1.0"),
        (
            import("wasi:cli/environment@0.2.0"),
            "this one asks the host for `wasi:cli/environment@0.2.0`: a policy gets log, metrics and limits of the contract and nothing else, no WASI either",
        ),
        ("(component)".to_owned(), "this one exports nothing"),
    ];
    for (wat, what) in rows {
        assert_eq!(refused(&wat), format!("{expected}; {what}"), "{wat}");
    }
    let engine = WasmEngine::new(&config()).unwrap();
    let alert = engine.retry("retry/x.wasm", &frozen("alert-0.1.0.wasm"), &terms("retry/x.wasm")).err().unwrap();
    assert_eq!(alert, format!("{expected}; this one is of the world `alert`"));
}
