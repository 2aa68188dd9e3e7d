//! The shipped policies, and helpers for tests of policies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use std::sync::Arc;
use tidegate_core::config::PoliciesConfig;
use tidegate_core::{Action, AlertVerdict, Failure, FnHostView, HostView, Snapshot, Stats, Verdict};
use tidegate_policy::{LoadedPolicy, Policies, load_policy};

/// Returns the directory of the shipped policies.
pub fn shipped_policies_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

/// Returns the default configuration for policies in `dir`, with deadlines that are long enough for a busy machine.
pub fn policies_config(dir: &Path) -> PoliciesConfig {
    let deadline = Duration::from_secs(60);
    PoliciesConfig::default().with_dir(dir).with_deadline(deadline)
}

/// Returns the statistics of a window without calls, with some fields changed.
pub fn stats_with(change: impl FnOnce(&mut Stats)) -> Stats {
    let mut stats = Stats::default();
    change(&mut stats);
    stats
}

/// Formats a verdict as the tables below write it: action, class and wait.
pub fn verdict_text(verdict: &Verdict) -> String {
    let action = match verdict.action {
        Action::Retry => "retry",
        Action::GiveUp => "give up",
        Action::Default => "abstain",
    };
    let class = verdict.class.map(|class| format!(" {class}")).unwrap_or_default();
    let wait = verdict.after_ms.map(|ms| format!(" after {ms}")).unwrap_or_default();
    format!("{action}{class}{wait}")
}

/// Returns a view without statistics.
pub fn empty_view() -> Arc<dyn HostView> {
    Arc::new(FnHostView(|_| Stats::default()))
}

/// Parses a failure.
pub fn failure(json: &str) -> Failure {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn shipped_policies_load_without_errors_and_have_four_rules() {
    let policies = Policies::open(&policies_config(&shipped_policies_dir()));
    assert_eq!(policies.reload().rejected, BTreeMap::new());
    let rules = policies.rules();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["error_budget", "high_error_rate", "mostly_limited", "slow"]);
    let high = &rules[1];
    assert_eq!(high.condition, "error_rate > 0.1");
    assert_eq!((high.severity.as_str(), high.timing.cooldown), ("critical", Duration::from_secs(300)));
    assert_eq!(high.channels, ["dingtalk", "email"]);
}

/// Asserts the verdicts of the shipped policies. A row is a failure, the expected verdict and the deciding policy.
fn assert_verdicts(rows: &[(&str, &str, &str)]) {
    let policies = Policies::open(&policies_config(&shipped_policies_dir()));
    for (json, expected, policy) in rows {
        let decision = policies.classify(&failure(json));
        assert_eq!((verdict_text(&decision.verdict).as_str(), &*decision.policy), (*expected, *policy), "{json}");
    }
}

#[test]
fn default_retry_policy_uses_transport_error_and_status() {
    let policy = "retry/default.rhai";
    assert_verdicts(&[
        (r#"{"platform":"jd","kind":"timeout"}"#, "retry transient", policy),
        (r#"{"platform":"jd","kind":"connection"}"#, "retry transient", policy),
        (r#"{"platform":"jd","status":429,"retry_after_ms":7000}"#, "retry throttled after 7000", policy),
        (r#"{"platform":"jd","status":429}"#, "retry throttled", policy),
        (r#"{"platform":"jd","status":500}"#, "retry transient", policy),
        (r#"{"platform":"jd","status":503,"retry_after_ms":10}"#, "retry transient after 10", policy),
        (r#"{"platform":"jd","status":501}"#, "give up permanent", policy),
        (r#"{"platform":"jd","status":408}"#, "retry transient", policy),
        (r#"{"platform":"jd","status":401}"#, "retry auth", policy),
        (r#"{"platform":"jd","status":401,"attempt":2}"#, "give up auth", policy),
        (r#"{"platform":"jd","status":403}"#, "give up permanent", policy),
        (r#"{"platform":"jd","status":404}"#, "give up permanent", policy),
        (r#"{"platform":"jd","status":200,"code":"1"}"#, "give up permanent", policy),
    ]);
}

#[test]
fn taobao_retry_policy_uses_the_sub_code_of_ambiguous_codes() {
    let policy = "retry/taobao.rhai";
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
    let rows: Vec<_> = rows.iter().map(|(json, expected)| (json.as_str(), *expected, policy)).collect();
    assert_verdicts(&rows);
    let second = r#"{"platform":"taobao","status":200,"code":"27","sub_code":"session-expired","attempt":2}"#;
    assert_verdicts(&[
        (second, "give up auth", policy),
        // The default policy classifies a failure without a code of the gateway.
        (r#"{"platform":"taobao","status":502}"#, "retry transient", "retry/default.rhai"),
        (r#"{"platform":"taobao","kind":"timeout"}"#, "retry transient", "retry/default.rhai"),
    ]);
}

#[test]
fn burn_rate_fires_only_with_both_windows_high_and_enough_calls() {
    let config = policies_config(&shipped_policies_dir());
    let Ok(LoadedPolicy::Alert(policy)) =
        load_policy(&shipped_policies_dir().join("alerts/burn_rate.rhai"), None, &config)
    else {
        panic!("not an alert condition")
    };
    let stats = |count, error_rate| stats_with(|stats| (stats.count, stats.error_rate) = (count, error_rate));
    let rows = [
        // current error rate, calls in the last hour, error rate of the last hour, fires
        (0.5, 1_000, 0.4, true),
        (0.5, 1_000, 0.2, false),
        (0.2, 1_000, 0.4, false),
        (0.5, 99, 0.4, false),
        (0.5, 100, 0.4, true),
        (0.0, 0, 0.0, false),
    ];
    for (now, count, hour, fires) in rows {
        let snapshot = Snapshot::new("jd", stats(50, now));
        let windows = move |range: Duration| {
            assert_eq!(range, Duration::from_secs(3_600));
            stats(count, hour)
        };
        let view: Arc<dyn HostView> = Arc::new(FnHostView(windows));
        let verdict = policy.evaluate(&snapshot, &view).unwrap();
        assert_eq!(matches!(verdict, AlertVerdict::Firing { .. }), fires, "{now} now, {hour} of {count} in the hour");
    }
}
