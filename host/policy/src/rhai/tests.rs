//! What scripts may say, and where a mistake is shown.

use std::time::Duration;

use std::sync::Arc;

use tidegate_core::config::{Config, Terms};
use tidegate_core::{Action, AlertVerdict, Class, Failure, FaultKind, Snapshot, Stats, Verdict, View, Windows};

use super::Rhai;
use crate::origin::Origin;

/// Long enough for a busy machine: what is bounded here is bounded by operations.
fn terms() -> Terms {
    let mut terms = Config::default().policies.terms("retry/x.rhai");
    terms.deadline = Duration::from_secs(5);
    terms.bounds.max_operations = 100_000;
    terms
}

fn view() -> Arc<dyn View> {
    Arc::new(Windows(|range: Duration| Stats { p95: range.as_secs_f64(), ..Stats::default() }))
}

fn retry(script: &str, failure: &Failure) -> Verdict {
    let policy = Rhai::new().retry(script, Origin::file("x.rhai"), &terms());
    policy.unwrap_or_else(|problems| panic!("{problems:#?}")).classify(failure, &view()).unwrap()
}

fn alert(script: &str, snapshot: &Snapshot) -> AlertVerdict {
    let policy = Rhai::new().alert(script, Origin::file("x.rhai"), &terms());
    policy.unwrap_or_else(|problems| panic!("{problems:#?}")).evaluate(snapshot, &view()).unwrap()
}

fn refused(result: Result<impl Sized, Vec<tidegate_core::config::reader::Problem>>) -> String {
    let problems = result.err().expect("it was taken");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn refused_retry(script: &str, expected: &str) {
    assert_eq!(refused(Rhai::new().retry(script, Origin::file("x.rhai"), &terms())), expected, "{script}");
}

#[track_caller]
fn refused_alert(script: &str, expected: &str) {
    assert_eq!(refused(Rhai::new().alert(script, Origin::file("x.rhai"), &terms())), expected, "{script}");
}

#[test]
fn a_retry_script_sees_the_whole_failure() {
    let failure = Failure {
        platform: "taobao".into(),
        endpoint: "orders".into(),
        attempt: 2,
        elapsed_ms: 1_500,
        status: Some(503),
        code: Some("15".into()),
        sub_code: Some("isp.x".into()),
        message: Some("wait 2 seconds".into()),
        headers: vec![("x-next".into(), "7".into())],
        retry_after_ms: Some(250),
        ..Failure::default()
    };
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
fn what_a_failure_lacks_is_zero_or_empty() {
    let script = "abstain(`${status}|${code}|${sub_code}|${message}|${retry_after_ms}|${platform}`)";
    assert_eq!(retry(script, &Failure::default()).reason.as_deref(), Some("0.0||||0.0|"));
}

#[test]
fn every_form_of_a_verdict() {
    let ms = Duration::from_millis;
    let rows = [
        ("retry(\"transient\")", Verdict::retry(Class::Transient)),
        ("retry(\"throttled\", 250)", Verdict::retry(Class::Throttled).after(ms(250))),
        ("retry(\"throttled\", 250.5)", Verdict::retry(Class::Throttled).after(ms(250))),
        ("retry(\"throttled\", 0)", Verdict::retry(Class::Throttled)),
        ("retry(\"auth\", \"why\")", Verdict::retry(Class::Auth).because("why")),
        ("retry(\"quota\", 1, \"why\")", Verdict::retry(Class::Quota).after(ms(1)).because("why")),
        ("retry(\"quota\", 1.0, \"why\")", Verdict::retry(Class::Quota).after(ms(1)).because("why")),
        ("give_up(\"permanent\")", Verdict::give_up(Class::Permanent)),
        ("give_up(\"auth\", \"why\")", Verdict::give_up(Class::Auth).because("why")),
        ("abstain()", Verdict::abstain()),
        ("return abstain(\"why\"); 5", Verdict::abstain().because("why")),
    ];
    for (script, expected) in rows {
        assert_eq!(retry(script, &Failure::default()), expected, "{script}");
    }
}

#[test]
fn scripts_may_have_functions_lists_and_maps() {
    let script = r#"
        fn busy(status) { status in [429, 503] }
        let words = #{ soon: 100, later: 5000 };
        let codes = ["7", "8"];
        if busy(status) && codes.some(|c| c == "8" || c == "9") && code in codes { return retry("throttled", words.later); }
        switch code { "7" => retry("throttled", words.soon), _ => give_up("permanent") }
    "#;
    let failure = |status, code: &str| Failure { status: Some(status), code: Some(code.into()), ..Failure::default() };
    let rows = [(429, "7", Some(5_000)), (503, "8", Some(5_000)), (200, "7", Some(100)), (429, "9", None)];
    for (status, code, wait) in rows {
        assert_eq!(retry(script, &failure(status, code)).after_ms, wait, "{status} {code}");
    }
}

#[test]
fn an_alert_script_answers_with_a_truth_or_a_text() {
    let stats = Stats { count: 10, errors: 2, error_rate: 0.2, p95: 80.0, ..Stats::default() };
    let snapshot = Snapshot { platform: "taobao".into(), endpoint: None, stats };
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
fn a_misspelt_name_is_refused_at_its_place_with_the_one_that_was_meant() {
    refused_alert("eror_rate > 0.1", "1:1: no such name `eror_rate`; did you mean `error_rate`?");
    refused_alert("count > 5 &&\n  p59 > 1", "2:3: no such name `p59`; did you mean `p50`?");
    refused_alert("window(\"1h\").p96 > 1", "1:14: no such property `p96`; did you mean `p95`?");
    refused_alert("let w = window(\"1h\"); w.cuont > 1", "1:25: no such property `cuont`; did you mean `count`?");
    refused_alert("windw(\"1h\").p95 > 1", "1:1: no such function `windw`; did you mean `window`?");
    refused_alert(
        "if false { eror_rate > 1 } else { true }",
        "1:12: no such name `eror_rate`; did you mean `error_rate`?",
    );
    refused_retry("giveup(\"auth\")", "1:1: no such function `giveup`; did you mean `give_up`?");
    refused_retry(
        "if code.start_with(\"isv\") { abstain() } else { abstain() }",
        "1:9: no such function `start_with`; did you mean `starts_with`?",
    );
    refused_retry("retry(\"trottled\")", "1:7: no such class \"trottled\"; did you mean `throttled`?");
    refused_retry(
        "if kind == \"timeuot\" { retry(\"transient\") } else { abstain() }",
        "1:12: `kind` is never \"timeuot\"; did you mean `timeout`?",
    );
    refused_retry("retry(\"auth\", 1, \"x\", 2)", "1:1: `retry` does not take 4 arguments");
    refused_retry(
        "fn f() { code == \"7\" }\nif f() { abstain() } else { abstain() }",
        "1:10: a function sees only its arguments; hand `code` over as one",
    );
}

#[test]
fn every_mistake_of_a_script_is_told_at_once() {
    refused_alert(
        "windw(\"1h\").p95 > 1 || window(\"1h\").p96 > 1\n|| p95 > \"5\"",
        "1:1: no such function `windw`; did you mean `window`?\n\
         1:37: no such property `p96`; did you mean `p95`?\n\
         2:8: `>` between a number and a text is always false; make both the same",
    );
}

#[test]
fn each_kind_of_script_has_its_own_functions() {
    refused_alert(
        "give_up(\"auth\")",
        "1:1: no such function `give_up`; known here: `window`, `limit`, `log`, `setting`",
    );
    let functions = "`window`, `limit`, `log`, `setting`, `retry`, `give_up`, `abstain`, `header`, `seconds_in`, `epoch_ms`, \
                     `day_ends_in_ms`";
    refused_retry("deny(\"no\")", &format!("1:1: no such function `deny`; known here: {functions}"));
}

#[test]
fn comparisons_that_never_hold_are_refused() {
    let never = "between a number and a text is always false; make both the same";
    refused_retry("if status == \"429\" { abstain() } else { abstain() }", &format!("1:11: `==` {never}"));
    refused_alert("window(\"1h\").p95 > \"5\"", &format!("1:18: `>` {never}"));
    let text = "between a text and a number is always";
    refused_retry(
        "if code == 7 { abstain() } else { abstain() }",
        &format!("1:9: `==` {text} false; make both the same"),
    );
    refused_retry(
        "if code != 7 { abstain() } else { abstain() }",
        &format!("1:9: `!=` {text} true; make both the same"),
    );
    refused_retry(
        "if code in [7, 8] { abstain() } else { abstain() }",
        &format!("1:13: `==` {text} false; make both the same\n1:16: `==` {text} false; make both the same"),
    );
    refused_alert(
        "error_rate > 1 / 10",
        "1:16: dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10",
    );
    refused_retry(
        "switch status { 429 => retry(\"throttled\"), _ => abstain() }",
        "1:8: `switch` never finds a number with a fraction; write `switch to_int(…)`, or `if`",
    );
    // A name that the script gives a value of its own is the script's own business.
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
fn a_window_is_written_out_so_that_it_is_checked_before_anything_depends_on_it() {
    refused_alert("let r = \"1h\"; window(r).p95 > 1", "1:15: expected a duration written out, as in window(\"1h\")");
    refused_alert("window(\"0s\").p95 > 1", "1:8: expected a duration above zero");
    let problem = refused(Rhai::new().alert("window(\"soon\").p95 > 1", Origin::file("x.rhai"), &terms()));
    assert!(problem.starts_with("1:8: expected a duration such as"), "{problem}");
}

#[test]
fn what_does_not_parse_or_leaves_the_sandbox_is_refused() {
    for (script, place) in [
        ("error_rate >", "1:13: "),
        ("eval(\"true\")", "1:1: "),
        ("import \"x\" as x; true", "1:1: "),
        ("sleep(10); true", "1:1: no such function `sleep`"),
        ("timestamp() > 1", "1:1: no such function `timestamp`"),
        ("parse_json(\"{}\"); true", "1:1: no such function `parse_json`"),
    ] {
        let problem = refused(Rhai::new().alert(script, Origin::file("x.rhai"), &terms()));
        assert!(problem.starts_with(place), "{script}: {problem}");
    }
}

#[test]
fn a_script_that_fails_on_a_sample_is_refused() {
    refused_retry(
        "",
        "1:1: expected retry(…), give_up(…) or abstain() as the last value, not nothing (tried on an empty failure)",
    );
    refused_retry(
        "if status == 503 { retry(\"transient\") }",
        "1:1: expected retry(…), give_up(…) or abstain() as the last value, not nothing (tried on an empty failure)",
    );
    refused_alert(
        "p95",
        "1:1: expected true, false or a text as the last value, not a number (tried on an empty window)",
    );
    refused_alert("if count > 0 { throw \"no\" }\nfalse", "1:16: Runtime error: no (tried on a busy window)");
    refused_alert(
        "if error_rate > 0.1 { \"\" } else { false }",
        "1:1: expected true, false or a text as the last value, not an empty text (tried on a busy window)",
    );
}

#[test]
fn a_fault_says_what_and_where() {
    let script = "let x = platform;\nif x == \"real\" { throw \"boom\" }\nabstain()";
    let policy = Rhai::new()
        .retry(script, Origin::file("retry/x.rhai"), &terms())
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    let fault = policy.classify(&Failure { platform: "real".into(), ..Failure::default() }, &view()).unwrap_err();
    assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Trap, "retry/x.rhai:2:18: Runtime error: boom"));
}
