//! The policies that ship.

use std::path::{Path, PathBuf};
use std::time::Duration;

use std::sync::Arc;
use tidegate_core::config::{Config, PoliciesConfig};
use tidegate_core::{Action, AlertVerdict, Failure, Snapshot, Stats, Verdict, View, Windows};
use tidegate_policy::{Loaded, Policies, load_one};

/// The policies that ship.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

/// The default limits for policies in `dir`, with deadlines that a busy machine keeps.
pub fn policies_config(dir: &Path) -> PoliciesConfig {
    let deadline = Duration::from_secs(60);
    PoliciesConfig {
        dir: dir.to_owned(),
        retry_deadline: deadline,
        alert_deadline: deadline,
        admit_deadline: deadline,
        ..Config::default().policies
    }
}

/// A verdict as the tables write it: action, class and wait.
pub fn words(verdict: &Verdict) -> String {
    let action = match verdict.action {
        Action::Retry => "retry",
        Action::GiveUp => "give up",
        Action::Default => "abstain",
    };
    let class = verdict.class.map(|class| format!(" {class:?}").to_lowercase()).unwrap_or_default();
    let wait = verdict.after_ms.map(|ms| format!(" after {ms}")).unwrap_or_default();
    format!("{action}{class}{wait}")
}

/// A view without figures.
pub fn blank() -> Arc<dyn View> {
    Arc::new(Windows(|_| Stats::default()))
}

pub fn failure(json: &str) -> Failure {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn what_ships_has_no_problem_and_four_rules() {
    let policies = Policies::open(&policies_config(&shipped()));
    assert_eq!(policies.reload().refused, [""; 0]);
    let rules = policies.rules();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["error_budget", "high_error_rate", "slow", "starved"]);
    let high = &rules[1];
    assert_eq!(high.condition, "error_rate > 0.1");
    assert_eq!((high.severity.name(), high.timing.cooldown), ("critical", Duration::from_secs(300)));
    assert_eq!(high.channels, ["dingtalk", "email"]);
}

/// Asks the shipped policies; the answer is the verdict and who gave it.
fn decided(rows: &[(&str, &str, &str)]) {
    let policies = Policies::open(&policies_config(&shipped()));
    for (json, expected, by) in rows {
        let decided = policies.classify(&failure(json));
        assert_eq!((words(&decided.verdict).as_str(), &*decided.by), (*expected, *by), "{json}");
    }
}

#[test]
fn the_default_classifier_goes_by_transport_and_status() {
    let by = "retry/default.rhai";
    decided(&[
        (r#"{"platform":"jd","kind":"timeout"}"#, "retry transient", by),
        (r#"{"platform":"jd","kind":"connection"}"#, "retry transient", by),
        (r#"{"platform":"jd","status":429,"retry_after_ms":7000}"#, "retry throttled after 7000", by),
        (r#"{"platform":"jd","status":429}"#, "retry throttled", by),
        (r#"{"platform":"jd","status":500}"#, "retry transient", by),
        (r#"{"platform":"jd","status":503,"retry_after_ms":10}"#, "retry transient after 10", by),
        (r#"{"platform":"jd","status":501}"#, "give up permanent", by),
        (r#"{"platform":"jd","status":408}"#, "retry transient", by),
        (r#"{"platform":"jd","status":401}"#, "retry auth", by),
        (r#"{"platform":"jd","status":401,"attempt":2}"#, "give up auth", by),
        (r#"{"platform":"jd","status":403}"#, "give up permanent", by),
        (r#"{"platform":"jd","status":404}"#, "give up permanent", by),
        (r#"{"platform":"jd","status":200,"code":"1"}"#, "give up permanent", by),
    ]);
}

#[test]
fn taobao_is_read_by_sub_code_where_codes_mislead() {
    let by = "retry/taobao.rhai";
    let case = |code: &str, sub_code: &str, message: &str| {
        format!(r#"{{"platform":"taobao","status":200,"code":"{code}","sub_code":"{sub_code}","message":"{message}"}}"#)
    };
    let ban = "This ban will last for 41 more seconds";
    let rows = [
        (case("7", "accesscontrol.limited-by-app-access-count", ban), "give up quota"),
        (case("7", "accesscontrol.limited-by-api-access-count", ban), "retry throttled after 41000"),
        (case("7", "accesscontrol.limited-by-app-api-access-count", "limited"), "retry throttled"),
        (case("7", "", "This ban will last for 31062 more seconds"), "retry throttled after 31062000"),
        (case("15", "isp.top-remote-connection-timeout", "Remote service error"), "retry transient"),
        (case("15", "isp.top-remote-service-unavailable-tmall", "Remote service error"), "retry transient"),
        (case("15", "isp.null-pointer-exception", "Remote service error"), "give up permanent"),
        (case("15", "isp.top-parse-error", "Remote service error"), "give up permanent"),
        (case("15", "isp.call-limited", "Remote service error"), "retry throttled"),
        (case("15", "isv.trade-not-exist", "Remote service error"), "give up permanent"),
        (case("15", "9100", "limit"), "retry throttled"),
        (case("15", "something-new", ""), "give up permanent"),
        (case("10", "", "Service Currently Unavailable"), "retry transient"),
        (case("10", "isv.invalid-parameter", ""), "give up permanent"),
        (case("8", "", ban), "retry throttled after 41000"),
        (case("26", "", "Missing session"), "retry auth"),
        (case("27", "invalid-sessionkey", "Invalid session"), "retry auth"),
        (case("11", "", "Insufficient user permissions"), "give up permanent"),
        (case("41", "isv.permission-api-package-limit", ""), "give up permanent"),
    ];
    let rows: Vec<_> = rows.iter().map(|(json, expected)| (json.as_str(), *expected, by)).collect();
    decided(&rows);
    let second = r#"{"platform":"taobao","status":200,"code":"27","sub_code":"session-expired","attempt":2}"#;
    decided(&[
        (second, "give up auth", by),
        // What carries no code of the gateway is judged like everywhere else.
        (r#"{"platform":"taobao","status":502}"#, "retry transient", "retry/default.rhai"),
        (r#"{"platform":"taobao","kind":"timeout"}"#, "retry transient", "retry/default.rhai"),
    ]);
}

#[test]
fn the_burn_rate_needs_both_windows_and_enough_calls() {
    let config = policies_config(&shipped());
    let Ok(Loaded::Alert(policy)) = load_one(&shipped().join("alerts/burn_rate.rhai"), None, &config) else {
        panic!("not an alert policy")
    };
    let stats = |count, error_rate| Stats { count, error_rate, ..Stats::default() };
    let rows = [
        // error rate now, calls and error rate of the hour, fires
        (0.5, 1_000, 0.4, true),
        (0.5, 1_000, 0.2, false),
        (0.2, 1_000, 0.4, false),
        (0.5, 99, 0.4, false),
        (0.5, 100, 0.4, true),
        (0.0, 0, 0.0, false),
    ];
    for (now, count, hour, fires) in rows {
        let snapshot = Snapshot { platform: "jd".into(), endpoint: None, stats: stats(50, now) };
        let windows = move |range: Duration| {
            assert_eq!(range, Duration::from_secs(3_600));
            stats(count, hour)
        };
        let view: Arc<dyn View> = Arc::new(Windows(windows));
        let verdict = policy.evaluate(&snapshot, &view).unwrap();
        assert_eq!(matches!(verdict, AlertVerdict::Firing { .. }), fires, "{now} now, {hour} of {count} in the hour");
    }
}
