//! What `tidegate check` reports without traffic: the errors in rejected scripts and the notes on accepted ones.

use std::fs;

use tidegate_lint::review;
use tidegate_policy::{Policies, PolicyKind, load_policy};

use crate::policies::policies_config;

/// Returns why a script of this kind is rejected, one `line:column: message` per line, or an empty string if it is
/// accepted.
fn rejection(kind: PolicyKind, script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.rhai");
    fs::write(&path, script).unwrap();
    let loaded = load_policy(&path, Some(kind), &policies_config(dir.path()));
    loaded.err().map(|error| error.to_string()).unwrap_or_default().replace(&format!("{}:", path.display()), "")
}

#[track_caller]
fn assert_rejections(kind: PolicyKind, rows: &[(&str, &str)]) {
    for (script, expected) in rows {
        assert_eq!(rejection(kind, script), *expected, "{script}");
    }
}

const CONDITION_MISTAKES: &[(&str, &str)] = &[
    (
        "let a = 1; error_rate > a / 3",
        "1:27: dividing integers drops the fraction; write one with a decimal point, as in 1.0 / 10",
    ),
    (
        "fn third() { 1 / 3 } error_rate > third()",
        "1:16: dividing integers drops the fraction; write one with a decimal point, as in 1.0 / 10",
    ),
    (
        "fn part(a, b) { a / b } error_rate > part(1, 3)",
        "1:19: dividing integers drops the fraction; write one with a decimal point, as in 1.0 / 10",
    ),
    (
        "let part = 1; part /= 3; error_rate > part",
        "1:20: dividing integers drops the fraction; write one with a decimal point, as in 1.0 / 10",
    ),
    (
        "const A = 1; const B = 3; error_rate > A / B",
        "1:42: dividing integers drops the fraction; write one with a decimal point, as in 1.0 / 10",
    ),
    ("eror_rate > 0.1", "1:1: unknown variable `eror_rate` (did you mean `error_rate`?)"),
    (
        r#"let limit = "5"; p95 > limit"#,
        "1:22: `>` between a number and a string is always false; compare values of the same type",
    ),
    (
        r#"fn high() { "5" } p95 > high()"#,
        "1:23: `>` between a number and a string is always false; compare values of the same type",
    ),
    (
        r#"fn slow(p) { p > "5" } slow(p95)"#,
        "1:16: `>` between a number and a string is always false; compare values of the same type",
    ),
    (r#"p95 > "5s""#, "1:5: `>` between a number and a string is always false; compare values of the same type"),
    (
        "p95 > 5s",
        "1:8: expected `;` to terminate this statement; a number has no unit: write a time in milliseconds, as in 5000",
    ),
    ("error_rate > 10%", "1:17: unexpected end of the script; a rate is a fraction from 0 to 1: write 0.1 for 10 %"),
    (r#"window("1 h").p95 > 5"#, r#"1:8: expected a duration such as "250ms", "5s", "5m", "1h" or "7d", found "1 h""#),
    (r#"window("1h").p96 > 5"#, "1:14: unknown property `p96` (did you mean `p95`?)"),
    (r#"window("1h").available > 5"#, r#"1:14: a window has no property `available`; limit("…") has it"#),
    (r#"window("1h") > 5"#, "1:14: `>` between a window and a number is always false; compare values of the same type"),
    (r#"limit("taobao").availble < 5"#, "1:17: unknown property `availble` (did you mean `available`?)"),
    (r#"limit("taobao").p95 < 5"#, r#"1:17: a limit has no property `p95`; window("1h") has it"#),
    (
        r#"limit("taobao") < 5"#,
        "1:17: `<` between a limit and a number is always false; compare values of the same type",
    ),
    ("0.1 < error_rate < 0.5", "1:18: `<` cannot follow another comparison; write two, as in `0.1 < x && x < 0.5`"),
    ("count = 0", "1:7: `=` assigns and has no value; to compare, write `==`"),
    ("error_rate > 0.1 && p95", "1:21: `&&` needs a boolean, found a number"),
    ("error_rate > 0.1 and p95 > 5000", "1:18: expected `;` to terminate this statement; write `&&`"),
    (
        "error_rate > 0.1 & 5",
        "1:18: `&` is not defined for a boolean and a number; to combine conditions, write `&&` or `||`",
    ),
    (
        r#"errors > 5 || "limited""#,
        r#"1:15: expected a boolean on both sides; write each comparison in full, as in code == "7" || code == "8""#,
    ),
    (
        r#"platform == "taobao" || "jd""#,
        r#"1:25: expected a boolean on both sides; write each comparison in full, as in code == "7" || code == "8""#,
    ),
    ("platform == 'taobao'", r#"1:13: invalid character literal 'taobao'; write a string in double quotes, as in "7""#),
    ("error_rate => 0.1", "1:12: expected `;` to terminate this statement; write `>=`"),
    (
        "if error_rate > 0.1 { true } else if p95 { false } else { false }",
        "1:38: `if` needs a boolean, found a number; compare it, as in `p95 > 0`",
    ),
    (
        r#"p95 - "5" > 100"#,
        "1:5: `-` is not defined for a number and a string; convert the string with `parse_float(…)`",
    ),
    (
        "error_rate > 0,1",
        "1:15: expected `;` to terminate this statement; write a fraction with a decimal point, as in 0.1",
    ),
    ("not (error_rate > 0.1)", "1:1: unknown function `not` (did you mean `!`?)"),
    ("error_rate > .1", "1:14: unexpected `.`; write a fraction with a decimal point, as in 0.1"),
    ("error_rate > 0.1 ? true : false", "1:18: unknown operator `?`; write `if … { … } else { … }`"),
    ("error_rate === 0.1", "1:12: '===' is not a valid operator. This is not JavaScript! Should it be '=='?"),
    (
        "window(1h).p95 > 5",
        r#"1:9: expected `,` to separate the arguments to function call 'window'; write a duration in quotes, as in window("1h")"#,
    ),
    ("window('1h').p95 > 5", r#"1:8: invalid character literal '1h'; write a string in double quotes, as in "7""#),
    ("return error_rate > 0.1 && platform.contains(5)", "1:46: `contains` expects a string here, found a number"),
];

#[test]
fn mistakes_in_alert_conditions_are_rejected_with_their_location() {
    assert_rejections(PolicyKind::Alert, CONDITION_MISTAKES);
}

const RETRY_POLICY_MISTAKES: &[(&str, &str)] = &[
    (
        r#"if status == "429" { return retry("throttled"); } abstain()"#,
        "1:11: `==` between a number and a string is always false; compare values of the same type",
    ),
    (
        r#"if code == 7 { return retry("throttled"); } abstain()"#,
        "1:9: `==` between a string and a number is always false; compare values of the same type",
    ),
    (r#"if code = "7" { return retry("throttled"); } abstain()"#, "1:9: possibly a typo of '=='?"),
    (
        r#"let c = code; if c == 7 { return retry("throttled"); } abstain()"#,
        "1:20: `==` between a string and a number is always false; compare values of the same type",
    ),
    (
        r#"fn same(c, n) { c == n } if same(code, 7) { return retry("throttled"); } abstain()"#,
        "1:19: `==` between a string and a number is always false; compare values of the same type",
    ),
    (
        r#"if message.contains("x") == "true" { return retry("throttled"); } abstain()"#,
        "1:26: `==` between a boolean and a string is always false; compare values of the same type",
    ),
    (
        r#"if retry_after > 0 { return retry("throttled"); } abstain()"#,
        "1:4: unknown variable `retry_after` (did you mean `retry_after_ms`?)",
    ),
    (
        r#"switch code { 7 => retry("throttled"), _ => abstain() }"#,
        r#"1:15: this `switch` compares strings, but 7 is a number; write "7""#,
    ),
    (
        r#"switch code { "7" | 8 => { retry("throttled") } 9 => abstain(), _ => abstain() }"#,
        r#"1:21: this `switch` compares strings, but 8 is a number; write "8"
1:49: this `switch` compares strings, but 9 is a number; write "9""#,
    ),
    (
        r#"switch to_int(status) { "429" => retry("throttled"), _ => abstain() }"#,
        r#"1:25: this `switch` compares numbers, but "429" is a string; write it without quotes"#,
    ),
    (
        r#"switch status { 429 => retry("throttled"), _ => abstain() }"#,
        "1:8: `switch` on a floating-point number never matches; write `switch to_int(…)`, or use `if`",
    ),
    (
        r#"switch kind { "time_out" => retry("throttled"), _ => abstain() }"#,
        r#"1:15: `kind` is never "time_out" (did you mean `timeout`?)"#,
    ),
    (
        r#"if kind == "time-out" { retry("throttled") } else { abstain() }"#,
        r#"1:12: `kind` is never "time-out" (did you mean `timeout`?)"#,
    ),
    (r#"retry("throtled")"#, r#"1:7: unknown class "throtled" (did you mean `throttled`?)"#),
    ("retry(throttled)", r#"1:7: unknown variable `throttled`; write a class in quotes: "throttled""#),
    (
        r#"retry("throttled", "5s")"#,
        r#"1:20: "5s" is taken as the reason; write the wait as a number of milliseconds, as in 5000"#,
    ),
    (
        r#"retry("throttled", "5000")"#,
        r#"1:20: "5000" is taken as the reason; write the wait as a number of milliseconds, as in 5000"#,
    ),
    (r#"retry("throttled", -1)"#, "1:20: the wait must be at least 0 milliseconds"),
    (r#"retry("throttled", -0.5, "x")"#, "1:20: the wait must be at least 0 milliseconds"),
    (
        r#"retry("throttled", "why", 5000)"#,
        r#"1:20: the wait comes before the reason, as in retry("throttled", 5000, "why")"#,
    ),
    ("retry(5000)", "1:7: `retry` expects a string here, found a number"),
    (
        r#"if !code == "7" { retry("throttled") } else { abstain() }"#,
        "1:4: `!` needs a boolean, found a string; to negate a comparison, write `!=`, or `!(…)` around it
1:10: `==` between a boolean and a string is always false; compare values of the same type",
    ),
    (
        r#"if header("Retry-After") > 5 { retry("throttled") } else { abstain() }"#,
        "1:26: `>` between a string and a number is always false; compare values of the same type",
    ),
    (
        r#"if header("Retry-After") { retry("throttled") } else { abstain() }"#,
        r#"1:4: `if` needs a boolean, found a string; compare it, as in `… != ""`"#,
    ),
    (
        r#"if code == "7" || "8" { retry("throttled") } else { abstain() }"#,
        r#"1:19: expected a boolean on both sides; write each comparison in full, as in code == "7" || code == "8""#,
    ),
    (
        r#"if retry_after_ms { retry("throttled") } else { abstain() }"#,
        "1:4: `if` needs a boolean, found a number; compare it, as in `retry_after_ms > 0`",
    ),
    (
        r#"if code == "7" { retry("throttled") } give_up("permanent")"#,
        "1:18: this verdict is discarded and the script continues; write `return` before it",
    ),
    (
        r#"if code == "7" { retry("throttled"); } give_up("permanent")"#,
        "1:18: this verdict is discarded and the script continues; write `return` before it",
    ),
    (
        r#"switch code { "7" => retry("throttled"), _ => abstain() } give_up("permanent")"#,
        "1:22: this verdict is discarded and the script continues; write `return` before it
1:47: this verdict is discarded and the script continues; write `return` before it",
    ),
    (
        r#"if code == "7" { return "retry" } give_up("permanent")"#,
        "1:35: expected retry(…), give_up(…) or abstain() as the last value, found a string (sample input: a failure with status 503)",
    ),
    (
        r#"if code == "7" { return retry("throttled") }"#,
        "1:1: expected retry(…), give_up(…) or abstain() as the last value, found no value (sample input: an empty failure)",
    ),
    (
        r#"let wait = header("Retry-After") * 1000; retry("throttled", wait)"#,
        "1:34: `*` is not defined for a string and a number; convert the string with `parse_float(…)`",
    ),
    (
        r#"if code == null { retry("throttled") } else { abstain() }"#,
        r#"1:12: `null` is a reserved keyword; a missing value is "" or 0"#,
    ),
    (
        r#"if code.startsWith("isv.") { retry("throttled") } else { abstain() }"#,
        "1:9: unknown function `startsWith` (did you mean `starts_with`?)",
    ),
    (
        r#"if message.includes("isv.") { retry("throttled") } else { abstain() }"#,
        "1:12: unknown function `includes` (did you mean `contains`?)",
    ),
    (
        r#"if headers["retry-after"] == "5" { retry("throttled") } else { abstain() }"#,
        "1:4: unknown variable `headers` (did you mean `header(…)`?)",
    ),
    (
        r#"if failure.code == "5" { retry("throttled") } else { abstain() }"#,
        "1:4: unknown variable `failure`; expected one of `platform`, `endpoint`, `kind`, `code`, `sub_code`, `message`, `body`, `attempt`, `elapsed_ms`, `at_ms`, `status`, `retry_after_ms`",
    ),
    (
        r#"if code in [7, 8] { retry("throttled") } else { abstain() }"#,
        "1:13: `==` between a string and a number is always false; compare values of the same type
1:16: `==` between a string and a number is always false; compare values of the same type",
    ),
    (
        r#"if status in ["429"] { retry("throttled") } else { abstain() }"#,
        "1:15: `==` between a number and a string is always false; compare values of the same type",
    ),
    (
        r#"if code == "7": retry("throttled")"#,
        "1:15: expected `{` to start a statement block; put the statements after a condition in { }",
    ),
    (
        r#"if (code == "7") return retry("throttled"); abstain()"#,
        "1:18: expected `{` to start a statement block; put the statements after a condition in { }",
    ),
    (r#"code == "7" ? retry("throttled") : abstain()"#, "1:13: unknown operator `?`; write `if … { … } else { … }`"),
    (
        r#"let wait = setting("wait", "5"); if wait > 5 { retry("throttled") } else { abstain() }"#,
        "1:42: `>` between a string and a number is always false; compare values of the same type",
    ),
    (
        r#"if attempt > setting("attempts", "3") { retry("throttled") } else { abstain() }"#,
        "1:12: `>` between a number and a string is always false; compare values of the same type",
    ),
    ("var x = 1; abstain()", "1:1: `var` is a reserved keyword; write `let`"),
    (
        "allow()",
        "1:1: unknown function `allow`; expected one of `window`, `limit`, `log`, `setting`, `retry`, `give_up`, `abstain`, `header`, `seconds_in`, `epoch_ms`, `day_ends_in_ms`",
    ),
];

#[test]
fn mistakes_in_retry_policies_are_rejected_with_their_location() {
    assert_rejections(PolicyKind::Retry, RETRY_POLICY_MISTAKES);
}

#[test]
fn mistakes_in_admission_scripts_are_rejected_with_their_location() {
    assert_rejections(
        PolicyKind::Admit,
        &[
            (
                r#"if method == 5 { allow() } else { deny("no") }"#,
                "1:11: `==` between a string and a number is always false; compare values of the same type",
            ),
            (
                r#"if label("seller") == 7 { allow() } else { deny("no") }"#,
                "1:20: `==` between a string and a number is always false; compare values of the same type",
            ),
            (
                r#"if label("seller") == "7" { allow(2) } deny("no")"#,
                "1:29: this verdict is discarded and the script continues; write `return` before it",
            ),
            (
                r#"retry("throttled")"#,
                "1:1: unknown function `retry`; expected one of `window`, `limit`, `log`, `setting`, `allow`, `deny`, `abstain`, `header`, `label`",
            ),
            (r#"deny("no", "403")"#, "1:12: `deny` expects a number here, found a string"),
            ("deny(403)", "1:6: `deny` expects a string here, found a number"),
            (
                r#"deny("no", 200)"#,
                "1:1: expected a status from 400 to 599, found 200 (sample input: an empty request)",
            ),
            ("allow(0)", "1:1: expected a cost from 1 to 4294967295, found 0 (sample input: an empty request)"),
            (r#"allow("2")"#, "1:7: `allow` expects a number here, found a string"),
        ],
    );
}

/// Returns the notes on a script that is accepted, one `line:column: message` per line.
pub fn review_notes(kind: PolicyKind, script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(kind.folder()).join("x.rhai");
    fs::create_dir(dir.path().join(kind.folder())).unwrap();
    fs::write(&path, script).unwrap();
    assert_eq!(rejection(kind, script), "", "{script}");
    review(&policies_config(dir.path())).join("\n").replace(&format!("{}:", path.display()), "")
}

/// Returns why a script is rejected, or the notes on it if it is accepted.
fn check_script(kind: PolicyKind, script: &str) -> String {
    let rejection = rejection(kind, script);
    if rejection.is_empty() { review_notes(kind, script) } else { rejection }
}

/// Returns the same as `check_script` for a condition inside `alerts.toml`.
fn check_inline_condition(condition: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alerts.toml");
    fs::write(&file, format!("[rules.r]\ncondition = '{condition}'\n")).unwrap();
    let config = policies_config(dir.path());
    let rejected = Policies::open(&config).reload().rejected;
    let messages = if rejected.is_empty() { review(&config) } else { rejected.into_values().collect() };
    messages.join("\n").replace(&format!("{}:", file.display()), "")
}

const FRACTION: &str = "dividing integers drops the fraction; write one with a decimal point, as in 1.0 / 10";
const MIXED: &str = "between a number and a string is always false; compare values of the same type";
const NEVER: &str = "this condition is false for every sample input";
const ALWAYS: &str = "this condition is true for every sample input";
const NO_NUMBER: &str = "the result is not a number; check first, as in `count > 0 && …`";

/// Returns the common pitfalls as conditions over statistics: the condition, its message, and a correct condition.
fn alert_pitfalls() -> [(&'static str, String, &'static str); 7] {
    [
        ("error_rate > 1 / 10", format!("1:16: {FRACTION}"), "error_rate > 1.0 / 10"),
        (
            "eror_rate > 0.1",
            "1:1: unknown variable `eror_rate` (did you mean `error_rate`?)".to_owned(),
            "error_rate > 0.1",
        ),
        (r#"p95 > "5000""#, format!("1:5: `>` {MIXED}"), "p95 > 5000"),
        (
            r#"window("1h").p59 > 500"#,
            "1:14: unknown property `p59` (did you mean `p50`?)".to_owned(),
            r#"window("1h").p50 > 500"#,
        ),
        ("p95 > 5000 && p95 < 1000", format!("1:15: {NEVER}"), "p95 > 1000 && p95 < 5000"),
        ("count > 20 || count <= 20", format!("1:15: {ALWAYS}"), "count > 20 || errors > 5"),
        (
            "errors / count > 0.1",
            format!("1:1: divides by 0 when count is 0: {NO_NUMBER}"),
            "count > 0 && errors / count > 0.1",
        ),
    ]
}

#[test]
fn pitfalls_in_alert_scripts_are_reported_without_false_positives() {
    for (pitfall, expected, correct) in alert_pitfalls() {
        assert_eq!(check_script(PolicyKind::Alert, pitfall), expected, "{pitfall}");
        assert_eq!(check_script(PolicyKind::Alert, correct), "", "{correct}");
    }
}

#[test]
fn pitfalls_in_inline_rules_are_reported_without_false_positives() {
    for (pitfall, expected, correct) in alert_pitfalls() {
        // The condition starts at column 14 of the second line.
        let (column, message) = expected.strip_prefix("1:").unwrap().split_once(':').unwrap();
        let column = column.parse::<usize>().unwrap() + 13;
        assert_eq!(check_inline_condition(pitfall), format!("2:{column}:{message}"), "{pitfall}");
        assert_eq!(check_inline_condition(correct), "", "{correct}");
    }
}

#[test]
fn pitfalls_in_retry_policies_are_reported_without_false_positives() {
    let rows = [
        ("attempt > 7 / 2", format!("1:16: {FRACTION}"), "attempt > 7.0 / 2"),
        ("statuss == 429", "1:4: unknown variable `statuss` (did you mean `status`?)".to_owned(), "status == 429"),
        (r#"status == "429""#, format!("1:11: `==` {MIXED}"), r#"code == "429""#),
        (
            r#"limit("jd").availble < 5"#,
            "1:16: unknown property `availble` (did you mean `available`?)".to_owned(),
            r#"limit("jd").available < 5"#,
        ),
        ("status > 500 && status < 400", format!("1:20: {NEVER}"), "status >= 400 && status < 500"),
        ("attempt > 0 || status == 500", format!("1:4: {ALWAYS}"), "attempt > 1 || status == 500"),
        (
            r#"elapsed_ms / retry_after_ms > 2"#,
            format!("1:4: divides by 0 on a typical call: {NO_NUMBER}"),
            "retry_after_ms > 0 && elapsed_ms / retry_after_ms > 2",
        ),
    ];
    for (pitfall, expected, correct) in rows {
        let script = |condition| format!(r#"if {condition} {{ return retry("transient"); }} abstain()"#);
        assert_eq!(check_script(PolicyKind::Retry, &script(pitfall)), expected, "{pitfall}");
        assert_eq!(check_script(PolicyKind::Retry, &script(correct)), "", "{correct}");
    }
}

#[test]
fn pitfalls_in_admission_scripts_are_reported_without_false_positives() {
    let (burst, rate, full_in) = (r#"limit("jd").burst"#, r#"limit("jd").rate"#, r#"limit("jd").full_in_ms"#);
    let rows = [
        (format!("{burst} > 7 / 2"), format!("1:26: {FRACTION}"), format!("{burst} > 7.0 / 2")),
        (
            r#"mehtod == "GET""#.to_owned(),
            "1:4: unknown variable `mehtod` (did you mean `method`?)".to_owned(),
            r#"method == "GET""#.to_owned(),
        ),
        (
            r#"label("seller") == 7"#.to_owned(),
            "1:20: `==` between a string and a number is always false; compare values of the same type".to_owned(),
            r#"label("seller") == "7""#.to_owned(),
        ),
        (
            r#"limit("jd").brust < 5"#.to_owned(),
            "1:16: unknown property `brust` (did you mean `burst`?)".to_owned(),
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
            format!("{rate} / {full_in} > 5"),
            format!("1:4: divides by 0 on a typical call: {NO_NUMBER}"),
            format!("{full_in} > 0 && {rate} / {full_in} > 5"),
        ),
    ];
    for (pitfall, expected, correct) in rows {
        let script = |condition| format!(r#"if {condition} {{ return deny("no"); }} allow()"#);
        assert_eq!(check_script(PolicyKind::Admit, &script(&pitfall)), expected, "{pitfall}");
        assert_eq!(check_script(PolicyKind::Admit, &script(&correct)), "", "{correct}");
    }
}
