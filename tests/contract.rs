//! The contract with guests: components of old versions still load, and other components are rejected with a reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::{PoliciesConfig, ResolvedPolicyConfig, Setting, Settings};
use tidegate_core::{
    Admission, AlertVerdict, Class, Failure, HostView, LimitStatus, Quota, Request, Snapshot, Stats, Verdict,
};
use tidegate_policy::wasm::{WasmBinary, WasmEngine};
use tidegate_policy::{Error, LoadedPolicy, PolicyKind};
use tidegate_tests::corpus::HostilePolicy;

use crate::policies::{empty_view, stats_with};

fn frozen(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("frozen").join(name)).unwrap()
}

fn config() -> PoliciesConfig {
    let deadline = Duration::from_secs(60);
    PoliciesConfig::default().with_deadline(deadline)
}

fn with_settings<const N: usize>(settings: [(&str, Setting); N]) -> ResolvedPolicyConfig {
    let settings: Settings = settings.into_iter().map(|(name, setting)| (name.to_owned(), setting)).collect();
    let mut config = config().resolve("retry/x.wasm");
    config.settings = settings;
    config
}

fn load(kind: PolicyKind, bytes: &[u8], config: &ResolvedPolicyConfig) -> Result<LoadedPolicy, Error> {
    WasmEngine::new(&self::config()).unwrap().load(
        kind,
        &format!("{}/x.wasm", kind.folder()),
        &WasmBinary::new(bytes),
        config,
    )
}

/// A view with the same statistics in every window, and a limit for the platform `jd`.
struct TestView(Stats);

impl HostView for TestView {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        assert_eq!(range, Duration::from_secs(3_600));
        self.0.clone()
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        let quota = Quota::new("1/s".parse().unwrap(), 40).unwrap();
        (name == "jd").then_some(LimitStatus::new(quota, 3, Duration::from_secs(37)))
    }
}

fn view(stats: Stats) -> Arc<dyn HostView> {
    Arc::new(TestView(stats))
}

fn failure(code: &str) -> Failure {
    Failure::response(200).with_platform("jd").with_code(code)
}

#[test]
fn retry_policy_of_contract_0_1_0_still_decides() {
    let loaded = load(PolicyKind::Retry, &frozen("retry-0.1.0.wasm"), &with_settings([])).unwrap();
    let policy = loaded.into_retry().unwrap();
    let verdict = |code| {
        let mut verdict = policy.classify(&failure(code), &empty_view()).unwrap();
        verdict.reason = None;
        verdict
    };
    assert_eq!(verdict("52101"), Verdict::retry(Class::Throttled).with_delay(Duration::from_secs(1)));
    assert_eq!(verdict("20032"), Verdict::give_up(Class::Auth));
    assert_eq!(verdict("99999"), Verdict::abstain());
    assert!(!policy.reads_body());
}

#[test]
fn core_module_of_contract_0_1_0_still_reads_windows() {
    let loaded = load(PolicyKind::Alert, &frozen("alert-0.1.0.wasm"), &with_settings([])).unwrap();
    let policy = loaded.into_alert().unwrap();
    let mut stats = Stats::default();
    stats.error_rate = 0.2;
    let snapshot = Snapshot::new("jd", stats);
    let evaluate = |error_rate| {
        let stats = stats_with(|stats| (stats.error_rate, stats.errors) = (error_rate, 7));
        policy.evaluate(&snapshot, &view(stats)).unwrap()
    };
    assert_eq!(evaluate(0.05), AlertVerdict::Quiet);
    assert_eq!(evaluate(0.2), AlertVerdict::Firing { detail: Some("7 errors in the hour of jd".to_owned()) });
}

#[test]
fn component_of_contract_0_1_0_rejects_settings() {
    let config = with_settings([("longest", Setting::Number(1.0))]);
    let error = load(PolicyKind::Retry, &frozen("retry-0.1.0.wasm"), &config).unwrap_err();
    let expected = "the policy is built for contract 0.1.0, which has no settings; remove its settings or build it for \
                    a newer contract";
    assert_eq!(error.to_string(), expected);
    assert!(error.is_rejected());
}

#[test]
fn retry_policy_of_contract_0_2_0_still_uses_all_of_its_contract() {
    let config = with_settings([("longest_ms", Setting::Number(500.0))]);
    let policy = load(PolicyKind::Retry, &frozen("retry-0.2.0.wasm"), &config).unwrap().into_retry().unwrap();
    let classify = |failure: &Failure| policy.classify(failure, &view(stats_with(|stats| stats.errors = 7))).unwrap();
    let throttled = |ms| Verdict::retry(Class::Throttled).with_delay(Duration::from_millis(ms)).with_reason("wait");
    assert_eq!(classify(&failure("throttled").with_at_ms(7)), throttled(7));
    assert_eq!(classify(&failure("throttled").with_retry_after(Duration::from_millis(900))), throttled(500));
    assert_eq!(classify(&failure("window")), Verdict::give_up(Class::Permanent).with_reason("7 errors"));
    assert_eq!(classify(&failure("limit")), Verdict::give_up(Class::Quota).with_reason("Some(3)"));
    assert_eq!(classify(&failure("log")), Verdict::give_up(Class::Auth));
    assert_eq!(classify(&failure("other")), Verdict::abstain());
    assert!(!policy.reads_body());
}

#[test]
fn policy_of_contract_0_2_0_still_rejects_settings() {
    let error = |settings| load(PolicyKind::Retry, &frozen("retry-0.2.0.wasm"), &settings).unwrap_err().to_string();
    let rejected = [("reject", Setting::Flag(true)), ("message", Setting::Text("not today".to_owned()))];
    assert_eq!(error(with_settings(rejected)), "the policy rejected its settings: not today");
    let unknown = error(with_settings([("longst_ms", Setting::Number(1.0))]));
    assert_eq!(unknown, "the policy rejected its settings: unknown setting: `longst_ms`");
}

#[test]
fn alert_condition_of_contract_0_2_0_still_uses_all_of_its_contract() {
    let config = with_settings([("max_error_rate", Setting::Number(0.3))]);
    let policy = load(PolicyKind::Alert, &frozen("alert-0.2.0.wasm"), &config).unwrap().into_alert().unwrap();
    let evaluate = |error_rate, endpoint: Option<&str>| {
        let stats = stats_with(|stats| (stats.error_rate, stats.errors) = (error_rate, 7));
        let mut snapshot = Snapshot::new("jd", stats.clone());
        snapshot.endpoint = endpoint.map(str::to_owned);
        policy.evaluate(&snapshot, &view(stats)).unwrap()
    };
    let firing = |detail: &str| AlertVerdict::Firing { detail: Some(detail.to_owned()) };
    assert_eq!(evaluate(0.3, None), AlertVerdict::Quiet);
    assert_eq!(evaluate(0.4, None), firing("7 errors of every endpoint, burst 40"));
    assert_eq!(evaluate(0.4, Some("orders")), firing("7 errors of orders, burst 40"));
}

#[test]
fn admission_policy_of_contract_0_2_0_still_uses_all_of_its_contract() {
    let config = with_settings([("denied", Setting::Text("7".to_owned()))]);
    let policy = load(PolicyKind::Admit, &frozen("admit-0.2.0.wasm"), &config).unwrap().into_admit().unwrap();
    let admit = |endpoint: &str, seller: &str| {
        let request = Request::new("jd").with_endpoint(endpoint).with_label("seller", seller);
        policy.admit(&request, &view(stats_with(|stats| stats.count = 9))).unwrap()
    };
    let allow = |cost| Admission::Allow { cost, scope: BTreeMap::new() };
    let scope = BTreeMap::from([("api".to_owned(), "GET".to_owned())]);
    assert_eq!(admit("orders", "8"), Admission::Allow { cost: 5, scope });
    assert_eq!([admit("hour", "8"), admit("burst", "8")], [allow(9), allow(40)]);
    assert_eq!(admit("other", "8"), Admission::Default);
    assert_eq!(admit("orders", "7"), Admission::Deny { reason: "this seller is denied".to_owned(), status: 429 });
}

#[test]
fn retry_policy_that_imports_the_response_reads_its_body() {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/body_as_reason.wat");
    let bytes = HostilePolicy::read(&guest).unwrap().bytes;
    let policy = load(PolicyKind::Retry, &bytes, &with_settings([])).unwrap().into_retry().unwrap();
    assert!(policy.reads_body());
    let classify = |body: Option<&str>| {
        let mut failure = failure("7");
        failure.body = body.map(str::to_owned);
        policy.classify(&failure, &empty_view()).unwrap()
    };
    let reason = |text: &str| Verdict::give_up(Class::Permanent).with_reason(text);
    assert_eq!(classify(Some("{\"err\": 7}")), reason("{\"err\": 7}"));
    assert_eq!(classify(None), Verdict::abstain(), "no body of an earlier call is left");
    assert_eq!(classify(Some("")), reason(""));
    let long = "限".repeat(10_000);
    assert_eq!(classify(Some(&long)), reason(&"限".repeat(170)), "the reason is cut, the body is not");
}

/// Returns the error of loading a component as a retry policy.
fn load_error(bytes: &[u8]) -> String {
    load(PolicyKind::Retry, bytes, &with_settings([])).unwrap_err().to_string()
}

#[test]
fn component_of_another_world_or_version_is_rejected() {
    let expected =
        "expected a component of the world tidegate:policy/retry@0.3.0, which exports `configure` and `classify`";
    let import = |name: &str| format!(r#"(import "{name}" (instance))"#);
    let rows = [
        (
            import("tidegate:policy/log@0.4.0"),
            "this one is built for version 0.4.0 of the contract, not 0.3.0 or 0.2.0 or 0.1.0",
        ),
        (
            import("tidegate:policy/log@0.3.0") + import("tidegate:policy/limits@0.2.0").as_str(),
            "this one imports two versions of the contract, 0.3.0 and 0.2.0",
        ),
        (
            import("wasi:cli/environment@0.2.0"),
            "this one imports `wasi:cli/environment@0.2.0`: a policy may import only `log`, `metrics`, `limits` and (a \
             retry policy) `response` of the contract, and no WASI interface",
        ),
        (String::new(), "this one exports nothing"),
    ];
    for (imports, reason) in rows {
        let component = wat::parse_str(format!("(component {imports})")).unwrap();
        assert_eq!(load_error(&component), format!("{expected}; {reason}"), "{imports}");
    }
    for alert in ["alert-0.1.0.wasm", "alert-0.2.0.wasm"] {
        assert_eq!(load_error(&frozen(alert)), format!("{expected}; this one is of the world `alert`"));
    }
}

#[test]
fn only_a_retry_policy_may_import_the_response() {
    let component = wat::parse_str(r#"(component (import "tidegate:policy/response@0.3.0" (instance)))"#).unwrap();
    for kind in [PolicyKind::Alert, PolicyKind::Admit] {
        let error = load(kind, &component, &with_settings([])).unwrap_err().to_string();
        assert_eq!(error, "the component imports `response`, which only a retry policy can read");
    }
}
