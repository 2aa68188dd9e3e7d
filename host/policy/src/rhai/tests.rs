//! Tests of what scripts can use, and of the positions and texts of their errors.

use std::time::Duration;

use std::sync::Arc;

use tidegate_core::config::reader::Diagnostic;
use tidegate_core::config::{Config, ResolvedPolicyConfig};
use tidegate_core::{
    Action, AlertVerdict, Class, Failure, FaultKind, FnHostView, HostView, RetryPolicy, Snapshot, Stats, Verdict,
};

use super::RhaiEngines;
use crate::loaded::LoadedPolicy;
use crate::origin::Origin;
use crate::paths::PolicyKind;

/// A configuration whose deadline is long enough for a busy machine; the limit on operations ends endless scripts.
fn policy_config() -> ResolvedPolicyConfig {
    let mut policy_config = Config::default().policies.resolve("retry/x.rhai");
    policy_config.deadline = Duration::from_secs(5);
    policy_config.limits.max_operations = 100_000;
    policy_config
}

fn view() -> Arc<dyn HostView> {
    Arc::new(FnHostView(|range: Duration| {
        let mut stats = Stats::default();
        stats.p95 = range.as_secs_f64();
        stats
    }))
}

fn load_retry(
    script: &str,
    origin: Origin,
    config: &ResolvedPolicyConfig,
) -> Result<Arc<dyn RetryPolicy>, Vec<Diagnostic>> {
    match RhaiEngines::new().load(PolicyKind::Retry, script, origin, config)? {
        LoadedPolicy::Retry(policy) => Ok(policy),
        other => panic!("{other:?}"),
    }
}

fn retry(script: &str, failure: &Failure) -> Verdict {
    let policy = load_retry(script, Origin::file("x.rhai"), &policy_config());
    policy.unwrap_or_else(|problems| panic!("{problems:#?}")).classify(failure, &view()).unwrap()
}

fn alert(script: &str, snapshot: &Snapshot) -> AlertVerdict {
    let policy = RhaiEngines::new().load_alert(script, Origin::file("x.rhai"), &policy_config());
    policy.unwrap_or_else(|problems| panic!("{problems:#?}")).evaluate(snapshot, &view()).unwrap()
}

fn rejection(result: Result<impl Sized, Vec<Diagnostic>>) -> String {
    let problems = result.err().expect("the script was accepted");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn assert_retry_rejected(script: &str, expected: &str) {
    assert_eq!(rejection(load_retry(script, Origin::file("x.rhai"), &policy_config())), expected, "{script}");
}

#[track_caller]
fn assert_alert_rejected(script: &str, expected: &str) {
    assert_eq!(
        rejection(RhaiEngines::new().load_alert(script, Origin::file("x.rhai"), &policy_config())),
        expected,
        "{script}"
    );
}

#[test]
fn retry_script_reads_every_field_of_a_failure() {
    let failure = Failure::response(503)
        .with_platform("taobao")
        .with_endpoint("orders")
        .with_attempt(2)
        .with_elapsed(Duration::from_millis(1_500))
        .with_code("15")
        .with_sub_code("isp.x")
        .with_message("wait 2 seconds")
        .with_retry_after(Duration::from_millis(250))
        .with_body(b"<error/>")
        .with_headers([("x-next", "7")]);
    let rows = [
        ("platform", "taobao"),
        ("endpoint", "orders"),
        ("kind", "response"),
        ("`${attempt}`", "2.0"),
        ("`${elapsed_ms}`", "1500.0"),
        ("`${status}`", "503.0"),
        ("code", "15"),
        ("sub_code", "isp.x"),
        ("message", "wait 2 seconds"),
        ("body", "<error/>"),
        ("header(\"X-Next\")", "7"),
        ("`[${header(\"other\")}]`", "[]"),
        ("`${retry_after_ms}`", "250.0"),
        ("`${seconds_in(message)}`", "2.0"),
        ("`${status / 100}`", "5.03"),
    ];
    for (value, expected) in rows {
        let verdict = retry(&format!("abstain({value})"), &failure);
        assert_eq!(verdict.reason.as_deref(), Some(expected), "{value}");
    }
}

#[test]
fn missing_fields_of_a_failure_are_zero_or_empty() {
    let script = "abstain(`${status}|${code}|${sub_code}|${message}|${body}|${retry_after_ms}|${platform}`)";
    assert_eq!(retry(script, &Failure::default()).reason.as_deref(), Some("0.0|||||0.0|"));
}

#[test]
fn every_form_of_a_verdict_is_returned() {
    let ms = Duration::from_millis;
    let rows = [
        ("retry(\"transient\")", Verdict::retry(Class::Transient)),
        ("retry(\"throttled\", 250)", Verdict::retry(Class::Throttled).with_delay(ms(250))),
        ("retry(\"throttled\", 250.5)", Verdict::retry(Class::Throttled).with_delay(ms(250))),
        ("retry(\"throttled\", 0)", Verdict::retry(Class::Throttled)),
        ("retry(\"auth\", \"why\")", Verdict::retry(Class::Auth).with_reason("why")),
        ("retry(\"quota\", 1, \"why\")", Verdict::retry(Class::Quota).with_delay(ms(1)).with_reason("why")),
        ("retry(\"quota\", 1.0, \"why\")", Verdict::retry(Class::Quota).with_delay(ms(1)).with_reason("why")),
        ("give_up(\"permanent\")", Verdict::give_up(Class::Permanent)),
        ("give_up(\"auth\", \"why\")", Verdict::give_up(Class::Auth).with_reason("why")),
        ("abstain()", Verdict::abstain()),
        ("return abstain(\"why\"); 5", Verdict::abstain().with_reason("why")),
    ];
    for (script, expected) in rows {
        assert_eq!(retry(script, &Failure::default()), expected, "{script}");
    }
}

#[test]
fn scripts_can_use_functions_arrays_and_maps() {
    let script = r#"
        fn busy(status) { status in [429, 503] }
        let words = #{ soon: 100, later: 5000 };
        let codes = ["7", "8"];
        if busy(status) && codes.some(|c| c == "8" || c == "9") && code in codes { return retry("throttled", words.later); }
        switch code { "7" => retry("throttled", words.soon), _ => give_up("permanent") }
    "#;
    let failure = |status, code: &str| Failure::response(status).with_code(code);
    let rows = [(429, "7", Some(5_000)), (503, "8", Some(5_000)), (200, "7", Some(100)), (429, "9", None)];
    for (status, code, wait) in rows {
        assert_eq!(retry(script, &failure(status, code)).after_ms, wait, "{status} {code}");
    }
}

#[test]
fn alert_script_returns_a_boolean_or_a_string() {
    let mut stats = Stats::default();
    stats.count = 10;
    stats.errors = 2;
    stats.error_rate = 0.2;
    stats.p95 = 80.0;
    let snapshot = Snapshot::new("taobao", stats);
    let firing = |detail: Option<&str>| AlertVerdict::Firing { detail: detail.map(str::to_owned) };
    let rows = [
        ("error_rate > 0.1", firing(None)),
        ("error_rate > 0.2", AlertVerdict::Quiet),
        ("errors / count > 0.1", firing(None)),
        ("count == 10 && platform == \"taobao\" && endpoint == \"\"", firing(None)),
        ("if p95 > 50 { `slow: ${p95}` } else { false }", firing(Some("slow: 80.0"))),
        ("window(\"1h\").p95 == 3600 && window(\"5m\").p95 == 300", firing(None)),
        ("let day = window(\"1d\"); day.p95 == 86400 && window(\"24h\").p95 == day.p95", firing(None)),
    ];
    for (script, expected) in rows {
        assert_eq!(alert(script, &snapshot), expected, "{script}");
    }
}

#[test]
fn misspelled_name_is_rejected_with_its_position_and_a_suggestion() {
    assert_alert_rejected("eror_rate > 0.1", "1:1: unknown variable `eror_rate` (did you mean `error_rate`?)");
    assert_alert_rejected("count > 5 &&\n  p59 > 1", "2:3: unknown variable `p59` (did you mean `p50`?)");
    assert_alert_rejected("platform.foo > 1", "1:10: a string has no property `foo`");
    assert_alert_rejected("p95.foo > 1", "1:5: a number has no property `foo`");
    assert_alert_rejected("let m = #{ low: 1 }; p95 > m.lov", "1:30: the map has no key `lov` (did you mean `low`?)");
    assert_alert_rejected("#{ low: 1 }.x.low > p95", "1:13: the map has no key `x`; expected `low`");
    assert_alert_rejected("window(\"1h\").p96 > 1", "1:14: unknown property `p96` (did you mean `p95`?)");
    assert_alert_rejected(
        "let w = window(\"1h\"); w.cuont > 1",
        "1:25: unknown property `cuont` (did you mean `count`?)",
    );
    assert_alert_rejected("windw(\"1h\").p95 > 1", "1:1: unknown function `windw` (did you mean `window`?)");
    assert_alert_rejected(
        "if false { eror_rate > 1 } else { true }",
        "1:12: unknown variable `eror_rate` (did you mean `error_rate`?)",
    );
    assert_retry_rejected("giveup(\"auth\")", "1:1: unknown function `giveup` (did you mean `give_up`?)");
    assert_retry_rejected(
        "if code.start_with(\"isv\") { abstain() } else { abstain() }",
        "1:9: unknown function `start_with` (did you mean `starts_with`?)",
    );
    assert_retry_rejected("retry(\"trottled\")", "1:7: unknown class \"trottled\" (did you mean `throttled`?)");
    assert_retry_rejected(
        "if kind == \"timeuot\" { retry(\"transient\") } else { abstain() }",
        "1:12: `kind` is never \"timeuot\" (did you mean `timeout`?)",
    );
    assert_retry_rejected("retry(\"auth\", 1, \"x\", 2)", "1:1: `retry` does not take 4 arguments");
    assert_retry_rejected(
        "fn f() { code == \"7\" }\nif f() { abstain() } else { abstain() }",
        "1:10: a function sees only its arguments; pass `code` as an argument",
    );
}

#[test]
fn all_mistakes_of_a_script_are_reported_together() {
    assert_alert_rejected(
        "windw(\"1h\").p95 > 1 || window(\"1h\").p96 > 1\n|| p95 > \"5\"",
        "1:1: unknown function `windw` (did you mean `window`?)\n\
         1:37: unknown property `p96` (did you mean `p95`?)\n\
         2:8: `>` between a number and a string is always false; compare values of the same type",
    );
}

#[test]
fn each_kind_of_script_has_its_own_functions() {
    assert_alert_rejected(
        "give_up(\"auth\")",
        "1:1: unknown function `give_up`; expected one of `window`, `limit`, `log`, `setting`",
    );
    let functions = "`window`, `limit`, `log`, `setting`, `retry`, `give_up`, `abstain`, `header`, `seconds_in`, `epoch_ms`, \
                     `day_ends_in_ms`";
    assert_retry_rejected("deny(\"no\")", &format!("1:1: unknown function `deny`; expected one of {functions}"));
}

#[test]
fn comparisons_that_are_always_true_or_false_are_rejected() {
    let never = "between a number and a string is always false; compare values of the same type";
    assert_retry_rejected("if status == \"429\" { abstain() } else { abstain() }", &format!("1:11: `==` {never}"));
    assert_alert_rejected("window(\"1h\").p95 > \"5\"", &format!("1:18: `>` {never}"));
    let text = "between a string and a number is always";
    assert_retry_rejected(
        "if code == 7 { abstain() } else { abstain() }",
        &format!("1:9: `==` {text} false; compare values of the same type"),
    );
    assert_retry_rejected(
        "if code != 7 { abstain() } else { abstain() }",
        &format!("1:9: `!=` {text} true; compare values of the same type"),
    );
    assert_retry_rejected(
        "if code in [7, 8] { abstain() } else { abstain() }",
        &format!(
            "1:13: `==` {text} false; compare values of the same type\n1:16: `==` {text} false; compare values of the same type"
        ),
    );
    assert_alert_rejected(
        "error_rate > 1 / 10",
        "1:16: dividing integers drops the fraction; write one with a decimal point, as in 1.0 / 10",
    );
    assert_retry_rejected(
        "switch status { 429 => retry(\"throttled\"), _ => abstain() }",
        "1:8: `switch` on a floating-point number never matches; write `switch to_int(…)`, or use `if`",
    );
    // A variable that the script declares itself may have any type.
    assert_eq!(
        retry("let status = \"429\"; if status == \"429\" { retry(\"auth\") } else { abstain() }", &Failure::default())
            .action,
        Action::Retry
    );
    assert_eq!(
        retry("switch to_int(status) { 0 => retry(\"auth\"), _ => abstain() }", &Failure::default()).action,
        Action::Retry
    );
}

#[test]
fn window_range_must_be_a_valid_literal() {
    assert_alert_rejected(
        "let r = \"1h\"; window(r).p95 > 1",
        "1:15: expected a literal duration, as in window(\"1h\")",
    );
    assert_alert_rejected("window(\"0s\").p95 > 1", "1:8: expected a duration greater than zero");
    let problem =
        rejection(RhaiEngines::new().load_alert("window(\"soon\").p95 > 1", Origin::file("x.rhai"), &policy_config()));
    assert!(problem.starts_with("1:8: expected a duration such as"), "{problem}");
}

#[test]
fn syntax_errors_and_functions_outside_the_sandbox_are_rejected() {
    for (script, prefix) in [
        ("error_rate >", "1:13: "),
        ("eval(\"true\")", "1:1: "),
        ("import \"x\" as x; true", "1:1: "),
        ("sleep(10); true", "1:1: unknown function `sleep`"),
        ("timestamp() > 1", "1:1: unknown function `timestamp`"),
        ("parse_json(\"{}\"); true", "1:1: unknown function `parse_json`"),
    ] {
        let problem = rejection(RhaiEngines::new().load_alert(script, Origin::file("x.rhai"), &policy_config()));
        assert!(problem.starts_with(prefix), "{script}: {problem}");
    }
}

#[test]
fn script_that_fails_on_a_sample_is_rejected() {
    assert_retry_rejected(
        "",
        "1:1: expected retry(…), give_up(…) or abstain() as the last value, found no value (sample input: an empty failure)",
    );
    assert_retry_rejected(
        "if status == 503 { retry(\"transient\") }",
        "1:1: expected retry(…), give_up(…) or abstain() as the last value, found no value (sample input: an empty failure)",
    );
    assert_alert_rejected(
        "p95",
        "1:1: expected true, false or a string as the last value, found a number (sample input: an empty window)",
    );
    assert_alert_rejected(
        "if count > 0 { throw \"no\" }\nfalse",
        "1:16: the script threw \"no\" (sample input: a busy window)",
    );
    assert_alert_rejected(
        "if error_rate > 0.1 { \"\" } else { false }",
        "1:1: expected true, false or a string as the last value, found an empty string (sample input: a busy window)",
    );
}

#[test]
fn fault_has_a_position_and_a_message() {
    let script = "let x = platform;\nif x == \"real\" { throw \"boom\" }\nabstain()";
    let policy = load_retry(script, Origin::file("retry/x.rhai"), &policy_config())
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    let fault = policy.classify(&Failure::default().with_platform("real"), &view()).unwrap_err();
    assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Trap, "retry/x.rhai:2:18: the script threw \"boom\""));
}

#[test]
fn errors_of_the_engine_name_the_limit_and_its_key() {
    let rows = [
        ("loop {}", "1:6: exceeded the limit of 100000 operations (`max_operations`)"),
        (
            "let s = \"0123456789abcdef\"; loop { s += s }",
            "1:38: a string is longer than 65536 bytes (`max_string_size`)",
        ),
        ("let a = [1]; loop { a += a }", "1:23: an array has more than 128 elements (`max_collection_size`)"),
        ("fn f() { f() } f()", "1:16: calls are nested more than 16 levels deep (`max_call_depth`)"),
        ("throw 5", "1:1: the script threw 5"),
        (
            "let m = #{ b: 1 }; let n = #{ a: 1 }; n.b > p95",
            "1:41: unknown key \"b\"; a map has only the keys of its literal",
        ),
        ("p95 >> 1.5", "1:5: unknown function `>>` for (f64, f64)"),
        ("[1][5] > p95", "1:5: array index 5 out of bounds: only 1 element in array"),
    ];
    for (script, expected) in rows {
        assert_alert_rejected(script, &format!("{expected} (sample input: an empty window)"));
    }
    assert_alert_rejected("p95 > \"", "1:7: the string is not terminated");
    assert_alert_rejected("if p95 > 1 { true", "1:18: expected `;` to terminate this statement");
}
