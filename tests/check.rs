//! What `tidegate check` finds without running traffic: mistakes that are refused, and what is taken and noted.

use std::fs;

use tidegate_policy::{Policies, PolicyKind, load_one, review};

use crate::policies::policies_config;

/// Why a script of this kind is refused: `line:column: message`, one a line; empty where it is taken.
fn refused(kind: PolicyKind, script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.rhai");
    fs::write(&path, script).unwrap();
    let loaded = load_one(&path, Some(kind), &policies_config(dir.path()));
    loaded.err().unwrap_or_default().replace(&format!("{}:", path.display()), "")
}

#[track_caller]
fn refusals(kind: PolicyKind, rows: &[(&str, &str)]) {
    for (script, expected) in rows {
        assert_eq!(refused(kind, script), *expected, "{script}");
    }
}

const MISTAKES_OF_CONDITIONS: &[(&str, &str)] = &[
    (
        "let a = 1; error_rate > a / 3",
        "1:27: dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10",
    ),
    (
        "fn third() { 1 / 3 } error_rate > third()",
        "1:16: dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10",
    ),
    (
        "fn part(a, b) { a / b } error_rate > part(1, 3)",
        "1:19: dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10",
    ),
    (
        "let part = 1; part /= 3; error_rate > part",
        "1:20: dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10",
    ),
    (
        "const A = 1; const B = 3; error_rate > A / B",
        "1:42: dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10",
    ),
    ("eror_rate > 0.1", "1:1: no such name `eror_rate`; did you mean `error_rate`?"),
    (r#"let limit = "5"; p95 > limit"#, "1:22: `>` between a number and a text is always false; make both the same"),
    (r#"fn most() { "5" } p95 > most()"#, "1:23: `>` between a number and a text is always false; make both the same"),
    (
        r#"fn slow(p) { p > "5" } slow(p95)"#,
        "1:16: `>` between a number and a text is always false; make both the same",
    ),
    (r#"p95 > "5s""#, "1:5: `>` between a number and a text is always false; make both the same"),
    (
        "p95 > 5s",
        "1:8: Expecting ';' to terminate this statement; a number has no unit: times are milliseconds, as in 5000",
    ),
    ("error_rate > 10%", "1:17: Script is incomplete; rates are fractions of 1: write 0.1 for 10 %"),
    (r#"window("1 h").p95 > 5"#, r#"1:8: expected a duration such as "250ms", "5s", "5m", "1h" or "7d", not "1 h""#),
    (r#"window("1h").p96 > 5"#, "1:14: no such property `p96`; did you mean `p95`?"),
    (r#"window("1h").available > 5"#, r#"1:14: a window has no `available`, limit("…") has"#),
    (r#"window("1h") > 5"#, "1:14: `>` between a window and a number is always false; make both the same"),
    (r#"limit("taobao").availble < 5"#, "1:17: no such property `availble`; did you mean `available`?"),
    (r#"limit("taobao").p95 < 5"#, r#"1:17: a limit has no `p95`, window("1h") has"#),
    (r#"limit("taobao") < 5"#, "1:17: `<` between a limit and a number is always false; make both the same"),
    ("0.1 < error_rate < 0.5", "1:18: `<` cannot follow a comparison; write two, as in `0.1 < x && x < 0.5`"),
    ("count = 0", "1:7: `=` assigns and answers nothing; to compare, write `==`"),
    ("error_rate > 0.1 && p95", "1:21: `&&` needs true or false, not a number"),
    ("error_rate > 0.1 and p95 > 5000", "1:18: Expecting ';' to terminate this statement; write `&&`"),
    (
        "error_rate > 0.1 & 5",
        "1:18: `&` fails between true or false and a number; between conditions write `&&` or `||`",
    ),
    (
        r#"errors > 5 || "limited""#,
        r#"1:15: expected true or false on both sides; write out each comparison, as in code == "7" || code == "8""#,
    ),
    (
        r#"platform == "taobao" || "jd""#,
        r#"1:25: expected true or false on both sides; write out each comparison, as in code == "7" || code == "8""#,
    ),
    ("platform == 'taobao'", r#"1:13: Invalid character: 'taobao'; a text stands in double quotes, as in "7""#),
    ("error_rate => 0.1", "1:12: Expecting ';' to terminate this statement; write `>=`"),
    (
        "if error_rate > 0.1 { true } else if p95 { false } else { false }",
        "1:38: `if` needs true or false, not a number; compare it, as in `p95 > 0`",
    ),
    (r#"p95 - "5" > 100"#, "1:5: `-` fails between a number and a text; `parse_float(…)` makes a number of a text"),
    ("error_rate > 0,1", "1:15: Expecting ';' to terminate this statement; write a fraction with a point, as in 0.1"),
    ("not (error_rate > 0.1)", "1:1: no such function `not`; did you mean `!`?"),
    ("error_rate > .1", "1:14: Unexpected '.'; write a fraction with a point, as in 0.1"),
    ("error_rate > 0.1 ? true : false", "1:18: Unknown operator: '?'; write `if … { … } else { … }`"),
    ("error_rate === 0.1", "1:12: '===' is not a valid operator. This is not JavaScript! Should it be '=='?"),
    (
        "window(1h).p95 > 5",
        r#"1:9: Expecting ',' to separate the arguments to function call 'window'; a range stands in quotes, as in window("1h")"#,
    ),
    ("window('1h').p95 > 5", r#"1:8: Invalid character: '1h'; a text stands in double quotes, as in "7""#),
    ("return error_rate > 0.1 && platform.contains(5)", "1:46: `contains` takes a text here, not a number"),
];

#[test]
fn mistakes_of_an_alert_condition_are_refused_at_their_place() {
    refusals(PolicyKind::Alert, MISTAKES_OF_CONDITIONS);
}

#[test]
fn mistakes_of_a_classifier_are_refused_at_their_place() {
    refusals(PolicyKind::Retry, &[
        (r#"if status == "429" { return retry("throttled"); } abstain()"#, "1:11: `==` between a number and a text is always false; make both the same"),
        (r#"if code == 7 { return retry("throttled"); } abstain()"#, "1:9: `==` between a text and a number is always false; make both the same"),
        (r#"if code = "7" { return retry("throttled"); } abstain()"#, "1:9: Possibly a typo of '=='?"),
        (r#"let c = code; if c == 7 { return retry("throttled"); } abstain()"#, "1:20: `==` between a text and a number is always false; make both the same"),
        (r#"fn same(c, n) { c == n } if same(code, 7) { return retry("throttled"); } abstain()"#, "1:19: `==` between a text and a number is always false; make both the same"),
        (r#"if message.contains("x") == "true" { return retry("throttled"); } abstain()"#, "1:26: `==` between true or false and a text is always false; make both the same"),
        (r#"if retry_after > 0 { return retry("throttled"); } abstain()"#, "1:4: no such name `retry_after`; did you mean `retry_after_ms`?"),
        (r#"switch code { 7 => retry("throttled"), _ => abstain() }"#, r#"1:15: `switch` looks for a text, and 7 is a number; write "7""#),
        (r#"switch code { "7" | 8 => { retry("throttled") } 9 => abstain(), _ => abstain() }"#, r#"1:21: `switch` looks for a text, and 8 is a number; write "8"
1:49: `switch` looks for a text, and 9 is a number; write "9""#),
        (r#"switch to_int(status) { "429" => retry("throttled"), _ => abstain() }"#, r#"1:25: `switch` looks for a number, and "429" is a text; write it without quotes"#),
        (r#"switch status { 429 => retry("throttled"), _ => abstain() }"#, "1:8: `switch` never finds a number with a fraction; write `switch to_int(…)`, or `if`"),
        (r#"switch kind { "time_out" => retry("throttled"), _ => abstain() }"#, r#"1:15: `kind` is never "time_out"; did you mean `timeout`?"#),
        (r#"if kind == "time-out" { retry("throttled") } else { abstain() }"#, r#"1:12: `kind` is never "time-out"; did you mean `timeout`?"#),
        (r#"retry("throtled")"#, r#"1:7: no such class "throtled"; did you mean `throttled`?"#),
        ("retry(throttled)", r#"1:7: no such name `throttled`; a class stands in quotes: "throttled""#),
        (r#"retry("throttled", "5s")"#, r#"1:20: "5s" would be the reason; a wait is a number of milliseconds, as in 5000"#),
        (r#"retry("throttled", "5000")"#, r#"1:20: "5000" would be the reason; a wait is a number of milliseconds, as in 5000"#),
        (r#"retry("throttled", -1)"#, "1:20: a wait is at least 0 milliseconds"),
        (r#"retry("throttled", -0.5, "x")"#, "1:20: a wait is at least 0 milliseconds"),
        (r#"retry("throttled", "why", 5000)"#, r#"1:20: the wait comes before the reason, as in retry("throttled", 5000, "why")"#),
        ("retry(5000)", "1:7: `retry` takes a text here, not a number"),
        (r#"if !code == "7" { retry("throttled") } else { abstain() }"#, "1:4: `!` needs true or false, not a text; to say that a comparison does not hold, write `!=`, or `!(…)` around it
1:10: `==` between true or false and a text is always false; make both the same"),
        (r#"if header("Retry-After") > 5 { retry("throttled") } else { abstain() }"#, "1:26: `>` between a text and a number is always false; make both the same"),
        (r#"if header("Retry-After") { retry("throttled") } else { abstain() }"#, r#"1:4: `if` needs true or false, not a text; compare it, as in `… != ""`"#),
        (r#"if code == "7" || "8" { retry("throttled") } else { abstain() }"#, r#"1:19: expected true or false on both sides; write out each comparison, as in code == "7" || code == "8""#),
        (r#"if retry_after_ms { retry("throttled") } else { abstain() }"#, "1:4: `if` needs true or false, not a number; compare it, as in `retry_after_ms > 0`"),
        (r#"if code == "7" { retry("throttled") } give_up("permanent")"#, "1:18: this verdict is dropped, and the script goes on; write `return` before it"),
        (r#"if code == "7" { retry("throttled"); } give_up("permanent")"#, "1:18: this verdict is dropped, and the script goes on; write `return` before it"),
        (r#"switch code { "7" => retry("throttled"), _ => abstain() } give_up("permanent")"#, "1:22: this verdict is dropped, and the script goes on; write `return` before it
1:47: this verdict is dropped, and the script goes on; write `return` before it"),
        (r#"if code == "7" { return "retry" } give_up("permanent")"#, "1:35: expected retry(…), give_up(…) or abstain() as the last value, not a text (tried on a failure of status 503)"),
        (r#"if code == "7" { return retry("throttled") }"#, "1:1: expected retry(…), give_up(…) or abstain() as the last value, not nothing (tried on an empty failure)"),
        (r#"let wait = header("Retry-After") * 1000; retry("throttled", wait)"#, "1:34: `*` fails between a text and a number; `parse_float(…)` makes a number of a text"),
        (r#"if code == null { retry("throttled") } else { abstain() }"#, r#"1:12: 'null' is a reserved keyword; what is absent is "" or 0"#),
        (r#"if code.startsWith("isv.") { retry("throttled") } else { abstain() }"#, "1:9: no such function `startsWith`; did you mean `starts_with`?"),
        (r#"if message.includes("isv.") { retry("throttled") } else { abstain() }"#, "1:12: no such function `includes`; did you mean `contains`?"),
        (r#"if headers["retry-after"] == "5" { retry("throttled") } else { abstain() }"#, "1:4: no such name `headers`; did you mean `header(…)`?"),
        (r#"if failure.code == "5" { retry("throttled") } else { abstain() }"#, "1:4: no such name `failure`; known here: `platform`, `endpoint`, `kind`, `code`, `sub_code`, `message`, `attempt`, `elapsed_ms`, `at_ms`, `status`, `retry_after_ms`"),
        (r#"if code in [7, 8] { retry("throttled") } else { abstain() }"#, "1:13: `==` between a text and a number is always false; make both the same
1:16: `==` between a text and a number is always false; make both the same"),
        (r#"if status in ["429"] { retry("throttled") } else { abstain() }"#, "1:15: `==` between a number and a text is always false; make both the same"),
        (r#"if code == "7": retry("throttled")"#, "1:15: Expecting '{' to start a statement block; what depends on a condition stands in { }"),
        (r#"if (code == "7") return retry("throttled"); abstain()"#, "1:18: Expecting '{' to start a statement block; what depends on a condition stands in { }"),
        (r#"code == "7" ? retry("throttled") : abstain()"#, "1:13: Unknown operator: '?'; write `if … { … } else { … }`"),
        (r#"let wait = setting("wait", "5"); if wait > 5 { retry("throttled") } else { abstain() }"#, "1:42: `>` between a text and a number is always false; make both the same"),
        (r#"if attempt > setting("attempts", "3") { retry("throttled") } else { abstain() }"#, "1:12: `>` between a number and a text is always false; make both the same"),
        ("var x = 1; abstain()", "1:1: 'var' is a reserved keyword; write `let`"),
        ("allow()", "1:1: no such function `allow`; known here: `window`, `limit`, `log`, `setting`, `retry`, `give_up`, `abstain`, `header`, `seconds_in`, `epoch_ms`, `day_ends_in_ms`"),
    ]);
}

#[test]
fn mistakes_of_an_admission_script_are_refused_at_their_place() {
    refusals(
        PolicyKind::Admit,
        &[
            (
                r#"if method == 5 { allow() } else { deny("no") }"#,
                "1:11: `==` between a text and a number is always false; make both the same",
            ),
            (
                r#"if label("seller") == 7 { allow() } else { deny("no") }"#,
                "1:20: `==` between a text and a number is always false; make both the same",
            ),
            (
                r#"if label("seller") == "7" { allow(2) } deny("no")"#,
                "1:29: this verdict is dropped, and the script goes on; write `return` before it",
            ),
            (
                r#"retry("throttled")"#,
                "1:1: no such function `retry`; known here: `window`, `limit`, `log`, `setting`, `allow`, `deny`, `abstain`, `header`, `label`",
            ),
            (r#"deny("no", "403")"#, "1:12: `deny` takes a number here, not a text"),
            ("deny(403)", "1:6: `deny` takes a text here, not a number"),
            (r#"deny("no", 200)"#, "1:1: expected a status of 400 to 599, not another (tried on an empty request)"),
            (
                "allow(0)",
                "1:1: expected a cost of at least 1, not less, or more than a limit can hold (tried on an empty request)",
            ),
            (r#"allow("2")"#, "1:7: `allow` takes a number here, not a text"),
        ],
    );
}

/// What is noted of a script: `line:column: message`, one a line.
pub fn noted(kind: PolicyKind, script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(kind.folder()).join("x.rhai");
    fs::create_dir(dir.path().join(kind.folder())).unwrap();
    fs::write(&path, script).unwrap();
    assert_eq!(refused(kind, script), "", "{script}");
    review(&policies_config(dir.path())).join("\n").replace(&format!("{}:", path.display()), "")
}

/// What is told of a script: why it is refused, else what is noted.
fn told(kind: PolicyKind, script: &str) -> String {
    let refused = refused(kind, script);
    if refused.is_empty() { noted(kind, script) } else { refused }
}

/// What is told of a condition that stands in line in `alerts.toml`.
fn told_in_line(condition: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alerts.toml");
    fs::write(&file, format!("[rules.r]\ncondition = '{condition}'\n")).unwrap();
    let config = policies_config(dir.path());
    let refused = Policies::open(&config).reload().refused;
    let told = if refused.is_empty() { review(&config) } else { refused };
    told.join("\n").replace(&format!("{}:", file.display()), "")
}

const FRACTION: &str = "dividing whole numbers drops the fraction; write one with a point, as in 1.0 / 10";
const MIXED: &str = "between a number and a text is always false; make both the same";
const NEVER: &str = "this condition never holds on any sample";
const ALWAYS: &str = "this condition holds on every sample";
const NO_NUMBER: &str = "what comes out is no number; ask first, as in `count > 0 && …`";

/// Each of the classic traps as a condition over figures, with one beside it that is none.
fn traps_of_figures() -> [(&'static str, String, &'static str); 7] {
    [
        ("error_rate > 1 / 10", format!("1:16: {FRACTION}"), "error_rate > 1.0 / 10"),
        ("eror_rate > 0.1", "1:1: no such name `eror_rate`; did you mean `error_rate`?".to_owned(), "error_rate > 0.1"),
        (r#"p95 > "5000""#, format!("1:5: `>` {MIXED}"), "p95 > 5000"),
        (
            r#"window("1h").p59 > 500"#,
            "1:14: no such property `p59`; did you mean `p50`?".to_owned(),
            r#"window("1h").p50 > 500"#,
        ),
        ("p95 > 5000 && p95 < 1000", format!("1:15: {NEVER}"), "p95 > 1000 && p95 < 5000"),
        ("count > 20 || count <= 20", format!("1:15: {ALWAYS}"), "count > 20 || errors > 5"),
        (
            "errors / count > 0.1",
            format!("1:1: divides by 0 where count is 0: {NO_NUMBER}"),
            "count > 0 && errors / count > 0.1",
        ),
    ]
}

#[test]
fn each_trap_is_told_in_alert_scripts_and_its_counterpart_is_not() {
    for (trap, expected, counterpart) in traps_of_figures() {
        assert_eq!(told(PolicyKind::Alert, trap), expected, "{trap}");
        assert_eq!(told(PolicyKind::Alert, counterpart), "", "{counterpart}");
    }
}

#[test]
fn each_trap_is_told_in_rules_in_line_and_its_counterpart_is_not() {
    for (trap, expected, counterpart) in traps_of_figures() {
        // The text of the condition begins at the second line's column 14.
        let (column, message) = expected.strip_prefix("1:").unwrap().split_once(':').unwrap();
        let column = column.parse::<usize>().unwrap() + 13;
        assert_eq!(told_in_line(trap), format!("2:{column}:{message}"), "{trap}");
        assert_eq!(told_in_line(counterpart), "", "{counterpart}");
    }
}

#[test]
fn each_trap_is_told_in_classifiers_and_its_counterpart_is_not() {
    let rows = [
        ("attempt > 7 / 2", format!("1:16: {FRACTION}"), "attempt > 7.0 / 2"),
        ("statuss == 429", "1:4: no such name `statuss`; did you mean `status`?".to_owned(), "status == 429"),
        (r#"status == "429""#, format!("1:11: `==` {MIXED}"), r#"code == "429""#),
        (
            r#"limit("jd").availble < 5"#,
            "1:16: no such property `availble`; did you mean `available`?".to_owned(),
            r#"limit("jd").available < 5"#,
        ),
        ("status > 500 && status < 400", format!("1:20: {NEVER}"), "status >= 400 && status < 500"),
        ("attempt > 0 || status == 500", format!("1:4: {ALWAYS}"), "attempt > 1 || status == 500"),
        (
            r#"elapsed_ms / retry_after_ms > 2"#,
            format!("1:4: divides by 0 on an everyday call: {NO_NUMBER}"),
            "retry_after_ms > 0 && elapsed_ms / retry_after_ms > 2",
        ),
    ];
    for (trap, expected, counterpart) in rows {
        let script = |condition| format!(r#"if {condition} {{ return retry("transient"); }} abstain()"#);
        assert_eq!(told(PolicyKind::Retry, &script(trap)), expected, "{trap}");
        assert_eq!(told(PolicyKind::Retry, &script(counterpart)), "", "{counterpart}");
    }
}

#[test]
fn each_trap_is_told_in_admission_scripts_and_its_counterpart_is_not() {
    let (burst, rate) = (r#"limit("jd").burst"#, r#"limit("jd").rate"#);
    let rows = [
        (format!("{burst} > 7 / 2"), format!("1:26: {FRACTION}"), format!("{burst} > 7.0 / 2")),
        (
            r#"mehtod == "GET""#.to_owned(),
            "1:4: no such name `mehtod`; did you mean `method`?".to_owned(),
            r#"method == "GET""#.to_owned(),
        ),
        (
            r#"label("seller") == 7"#.to_owned(),
            "1:20: `==` between a text and a number is always false; make both the same".to_owned(),
            r#"label("seller") == "7""#.to_owned(),
        ),
        (
            r#"limit("jd").brust < 5"#.to_owned(),
            "1:16: no such property `brust`; did you mean `burst`?".to_owned(),
            format!("{burst} < 5"),
        ),
        (
            r#"method == "GET" && method == "PUT""#.to_owned(),
            format!("1:23: {NEVER}"),
            r#"method == "GET" && label("a") == "PUT""#.to_owned(),
        ),
        (
            r#"method != "GET" || method != "PUT""#.to_owned(),
            format!("1:23: {ALWAYS}"),
            r#"method == "GET" || method == "PUT""#.to_owned(),
        ),
        (
            format!("{burst} / {rate} > 5"),
            format!("1:4: divides by 0 where limit(\"jd\").rate is 0: {NO_NUMBER}"),
            format!("{rate} > 0 && {burst} / {rate} > 5"),
        ),
    ];
    for (trap, expected, counterpart) in rows {
        let script = |condition| format!(r#"if {condition} {{ return deny("no"); }} allow()"#);
        assert_eq!(told(PolicyKind::Admit, &script(&trap)), expected, "{trap}");
        assert_eq!(told(PolicyKind::Admit, &script(&counterpart)), "", "{counterpart}");
    }
}
