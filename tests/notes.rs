//! The notes of `tidegate check` on valid policies. A false note is worse than a missing one, so each group of pitfalls
//! has correct scripts that must get no note.

use std::fs;

use tidegate_lint::review;
use tidegate_policy::PolicyKind;

use crate::check::review_notes;
use crate::policies::{policies_config, shipped_policies_dir};

#[track_caller]
fn assert_notes(kind: PolicyKind, rows: &[(&str, &str)]) {
    for (script, expected) in rows {
        assert_eq!(review_notes(kind, script), *expected, "{script}");
    }
}

#[test]
fn pitfalls_in_conditions_are_noted_with_their_position() {
    assert_notes(
        PolicyKind::Alert,
        &[
            ("error_rate > 10", "1:1: `error_rate` is a fraction from 0 to 1: write 0.1 for 10 %"),
            ("success_rate < 99", "1:1: `success_rate` is a fraction from 0 to 1: write 0.99 for 99 %"),
            (r#"window("1h").error_rate > 5"#, "1:1: `error_rate` is a fraction from 0 to 1: write 0.05 for 5 %"),
            ("p95 > 5", "1:1: `p95` is in milliseconds: write 5000 for 5 seconds"),
            ("p95 > 5000 && p95 < 1000", "1:15: this condition is false for every sample input"),
            ("error_rate > 0.1 || true", "1:21: this condition is true for every sample input"),
            (
                "errors / count > 0.1",
                "1:1: divides by 0 when count is 0: the result is not a number; check first, as in `count > 0 && …`",
            ),
            ("p95 == p95", "1:1: `p95` is compared with itself"),
            ("error_rate >= 0", "1:1: this condition is true for every sample input"),
            ("count < 0", "1:1: this condition is false for every sample input"),
            ("p95 > p99", "1:1: this condition is false for every sample input"),
            (
                "return error_rate > 0.1; p95 > 5000",
                "1:26: unreachable code: the statements before it always return or break",
            ),
            (
                "error_rate > 0.1; p95 > 5000",
                "1:1: the result of this condition is discarded; combine conditions with `&&`",
            ),
            ("let x = 5; error_rate > 0.1", "1:1: unused variable `x`; remove it, or name it `_x`"),
            ("false", "1:1: the result is the same for every sample input: does not fire"),
            ("fn far(p) { p > 5000 && p < 1000 } far(p95)", "1:25: this condition is false for every sample input"),
            (
                r#"error_rate > 0.1 && platform == "Taobao*""#,
                r#"1:21: `==` compares with "Taobao*" literally, without wildcards; to match a part, use starts_with, ends_with or contains"#,
            ),
            (
                r#"platform > "a""#,
                r#"1:1: `>` compares strings by character, so "10" comes before "9"; to compare numbers, convert both with `parse_float(…)`"#,
            ),
            (
                r#"window("1h").rps / window("24h").rps > 2"#,
                r#"1:1: divides by 0 when window("24h").count is 0: the result is not a number; check first, as in `count > 0 && …`"#,
            ),
            ("-0.1 > error_rate", "1:1: `error_rate` is never below 0"),
            ("let rate = error_rate; rate > 2", "1:24: this condition is false for every sample input"),
            (
                r#"fn bad(w) { w.error_rate > 10 } bad(window("1h"))"#,
                "1:13: `error_rate` is a fraction from 0 to 1: write 0.1 for 10 %",
            ),
            ("limited > 0 && limited_rate == 0", "1:16: this condition is false for every sample input"),
            (
                "p50 > p95 || p99 < p50",
                "1:1: this condition is false for every sample input
1:14: this condition is false for every sample input",
            ),
            (
                r#"switch platform { "taobao" => error_rate > 0.1, _ => error_rate > 2 }"#,
                "1:54: `error_rate` is a fraction from 0 to 1: write 0.02 for 2 %",
            ),
            (r#"platform != "taobao" || platform != "jd""#, "1:25: this condition is true for every sample input"),
        ],
    );
}

#[test]
fn correct_conditions_get_no_note() {
    let scripts = [
        "error_rate > 0.1",
        "count > 0 && errors / count > 0.1",
        r#"if error_rate > 0.1 { "many" } else { false }"#,
        r#"let highest = setting("highest", 0.1); error_rate > highest"#,
        r#"limit("taobao").available < 0"#,
        r#"window("1h").count > 100 && window("1h").error_rate > 0.3 && error_rate > 0.3 && p95 > 5 * 60 * 1000"#,
        r#"let hour = window("1h"); hour.count >= 100 && hour.error_rate / 0.05 > 6.0 && error_rate / 0.05 > 6.0"#,
        "error_rate > 0.3 && limited_rate > 0.2 && p99 > 10000 && count > 500 && count < 5000",
        "success_rate < 0.95",
        "success_rate < 0.95 && success < 10 && errors > 100",
        "let rate = errors / max(count, 1.0); rate > 0.1",
        r#"platform == "taobao" || platform == "jd""#,
        r#"endpoint.starts_with("orders.") && endpoint.ends_with(".get")"#,
        r#"window("1h").p95 > 2 * window("24h").p95"#,
        "error_rate > 50.0 / 100",
        "if count == 0 { return false; } errors / count > 0.5",
        // These need several inputs at the same time.
        "limited_rate > 0.05 || limited > 100",
        r#"let n = 0.0; if error_rate > 0.05 { n += 1.0; } if p95 > 2000 { n += 1.0; } if limited_rate > 0.1 { n += 1.0; } n > 2.5"#,
        r#"fn burns(short, long, factor) { short.count > 50 && short.error_rate > factor * 0.001 && long.error_rate > factor * 0.001 } burns(window("5m"), window("1h"), 14.4) || burns(window("30m"), window("6h"), 6.0)"#,
        // No configuration sets the objective to 1, so the divisor is not 0.
        r#"let budget = 1.0 - setting("objective", 0.999); error_rate / budget > 14.4"#,
    ];
    assert_notes(PolicyKind::Alert, &scripts.map(|script| (script, "")));
}

const RETRY_POLICY_PITFALLS: &[(&str, &str)] = &[
    (
        r#"if code == "7" || code == "7" { return retry("throttled"); } abstain()"#,
        "1:19: this condition is false for every sample input",
    ),
    (
        r#"if code == "7" { return retry("throttled"); } if code == "7" { return retry("transient"); } abstain()"#,
        "1:50: this condition is false for every sample input",
    ),
    (r#"retry("transient")"#, "1:1: the result is the same for every sample input: retry, transient"),
    (
        r#"if status / 100 == 4 { return give_up("permanent"); } retry("transient")"#,
        "1:4: a quotient is rarely an integer; write `to_int(…)` around it, or compare with a range",
    ),
    (
        r#"if status == 429 && kind == "timeout" { return retry("throttled"); } abstain()"#,
        "1:21: this condition is false for every sample input",
    ),
    (
        r#"if status == 4290 { return retry("throttled"); } abstain()"#,
        "1:4: this condition is false for every sample input",
    ),
    (
        r#"if sub_code == "isv.*" { return retry("throttled"); } abstain()"#,
        r#"1:4: `==` compares with "isv.*" literally, without wildcards; to match a part, use starts_with, ends_with or contains"#,
    ),
    (
        r#"if code > "500" { return retry("throttled"); } abstain()"#,
        r#"1:4: `>` compares strings by character, so "10" comes before "9"; to compare numbers, convert both with `parse_float(…)`"#,
    ),
    (
        r#"if header("X-Left") != "" && parse_int(header("X-Left")) < 5 { return retry("throttled"); } abstain()"#,
        r#"1:30: fails when header("X-Left") is "sample": error parsing integer number 'sample': invalid digit found in string"#,
    ),
    (
        r#"if retry_after_ms > 60 { return retry("throttled", 5); } abstain()"#,
        "1:4: `retry_after_ms` is in milliseconds: write 60000 for 60 seconds
1:52: a wait is in milliseconds: write 5000 for 5 seconds",
    ),
    (
        r#"if attempt == 0 { return retry("throttled", seconds_in(message)); } retry("throttled", header("Retry-After"))"#,
        "1:4: this condition is false for every sample input
1:45: `seconds_in` returns seconds, but a wait is in milliseconds: write `seconds_in(…) * 1000`
1:88: this string is taken as the reason, not as the wait; for a Retry-After header, use `retry_after_ms`",
    ),
    (
        r#"if ["7","8"].some(|c| c == "7") { retry("quota") } else { abstain() }"#,
        "1:4: this condition is true for every sample input",
    ),
    (
        r#"if code == "7" { return retry("throttled") } else { return abstain() } give_up("permanent")"#,
        "1:72: unreachable code: the statements before it always return or break",
    ),
    (
        r#"if message.to_lower().contains("Rate Limit") { return retry("throttled") } abstain()"#,
        "1:4: this condition is false for every sample input",
    ),
    (
        r#"if code != "7" || code != "8" { return retry("throttled"); } abstain()"#,
        "1:19: this condition is true for every sample input",
    ),
    (
        r#"if status >= 500 && status < 500 { return retry("transient"); } give_up("permanent")"#,
        "1:21: this condition is false for every sample input",
    ),
    (
        r#"if kind == "timeout" && code == "" { return retry("transient"); } give_up("permanent")"#,
        "1:25: this condition is true for every sample input",
    ),
    (
        r#"if at_ms > 1700000000 { return retry("transient"); } abstain()"#,
        "1:4: `at_ms` is in milliseconds since 1970, not in seconds",
    ),
    (
        r#"if elapsed_ms > 5 { return give_up("transient"); } retry("transient")"#,
        "1:4: `elapsed_ms` is in milliseconds: write 5000 for 5 seconds",
    ),
];

#[test]
fn pitfalls_in_retry_policies_are_noted_with_their_position() {
    assert_notes(PolicyKind::Retry, RETRY_POLICY_PITFALLS);
}

#[test]
fn correct_retry_policies_get_no_note() {
    let scripts = [
        r#"if code == "15" && sub_code == "9100" && message.contains("ban") && message.contains("second") { return retry("throttled", seconds_in(message) * 1000); } abstain()"#,
        r#"switch code { "7" => if sub_code == "x" { retry("throttled") } else { retry("quota") }, "8" => if sub_code == "8" && attempt > 3 { retry("auth") } else { give_up("auth") }, _ => abstain() }"#,
        r#"let hour = to_int(day_ends_in_ms(at_ms, "Asia/Shanghai") / 3600000.0); if hour == 3 { retry("quota") } else { abstain() }"#,
        r#"fn busy(s) { s == 429 || s == 503 } if busy(status) { return retry("throttled"); } give_up("permanent")"#,
        r#"let n = 0; while n < 3 { n += 1; } if attempt > n { give_up("transient") } else { retry("transient") }"#,
        r#"if !(code == "7") { return retry("throttled") } abstain()"#,
        r#"if status > 400 && status < 600 { return retry("transient"); } give_up("permanent")"#,
        r#"if code.len == 6 && code.starts_with("3000") { return retry("transient"); } give_up("permanent")"#,
        r#"if epoch_ms(header("x-reset")) > at_ms { return retry("throttled", epoch_ms(header("x-reset")) - at_ms); } abstain()"#,
        r#"if header("X-Reset") == "0" && header("x-tier") == "gold" { return retry("throttled"); } abstain()"#,
        r#"if window("5m").error_rate > 0.5 && limit("jd").available == 0 { return give_up("transient"); } retry("transient")"#,
        r#"if setting("strict", false) { return give_up("permanent"); } retry("transient")"#,
        r#"let wait = seconds_in(message) * 1000; if wait > 60000 { return give_up("quota", wait); } retry("throttled", wait)"#,
        r#"for c in ["7", "8"] { if code == c { return retry("throttled"); } } abstain()"#,
        r#"if code == "7" && sub_code == "1" { retry("throttled") } else if code == "7" && sub_code == "2" { retry("quota") } else if code == "8" { give_up("auth") } else { abstain() }"#,
        r#"try { if parse_int(code) > 500 { return retry("transient"); } } catch { return abstain(); } abstain()"#,
        r#"abstain("nothing is known")"#,
        r#"if message.len > 500 { return retry("transient"); } abstain()"#,
        r#"if code.sub_string(2) == "50" { return retry("transient"); } abstain()"#,
        r#"if message.index_of("limit") > 5 { return retry("throttled"); } abstain()"#,
        r#"if endpoint.split(".").len == 3 && endpoint.split(".")[2] == "get" { return retry("transient"); } abstain()"#,
        r#"if elapsed_ms / 3600000 > 48 || elapsed_ms - 5000 > 90000000 { return give_up("transient"); } retry("transient")"#,
        r#"let minute = (at_ms / 60000.0).floor(); if minute % 2.0 == 0.0 { return retry("transient"); } abstain()"#,
        r#"if code == "7" && header("X-A") == "1" && header("X-B") == "2" && header("X-C") == "3" { return retry("auth"); } abstain()"#,
    ];
    assert_notes(PolicyKind::Retry, &scripts.map(|script| (script, "")));
}

#[test]
fn pitfalls_in_admission_scripts_are_noted_with_their_position() {
    assert_notes(
        PolicyKind::Admit,
        &[
            (
                r#"if method == "post" { return deny("no"); } allow()"#,
                "1:4: this condition is false for every sample input",
            ),
            (r#"deny("closed")"#, "1:1: the result is the same for every sample input: deny with status 403"),
            (
                r#"if endpoint == "a" { loop {} } if method == "GET" { allow() } else { deny("no") }"#,
                r#"1:27: fails when endpoint is "a": exceeded the limit of 500000 operations (`max_operations`)"#,
            ),
        ],
    );
}

#[test]
fn correct_admission_scripts_get_no_note() {
    let scripts = [
        r#"if label("seller") == "7" { allow(2, #{seller: label("seller")}) } else { deny("no") }"#,
        r#"if method == "POST" && at_ms > 0 { return allow(2); } deny("no", 429)"#,
        r#"if header("x-tenant") == "" { return deny("no tenant"); } allow(1, #{tenant: header("x-tenant")})"#,
        r#"if limit("jd").available < 5 && label("priority") != "high" { return deny("busy", 503); } abstain()"#,
    ];
    assert_notes(PolicyKind::Admit, &scripts.map(|script| (script, "")));
}

#[test]
fn pitfall_in_an_inline_condition_is_noted_with_its_position_in_the_rules_file() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "[rules.slow]\nseverity = \"info\"\ncondition = '''\np95 > 5000\n  && error_rate > 10'''\n\
                 [rules.errors]\ncondition = \"error_rate > 10\"\n";
    fs::write(dir.path().join("alerts.toml"), rules).unwrap();
    let file = dir.path().join("alerts.toml").display().to_string();
    let note = "`error_rate` is a fraction from 0 to 1: write 0.1 for 10 %";
    assert_eq!(review(&policies_config(dir.path())), [format!("{file}:5:6: {note}"), format!("{file}:7:14: {note}")]);
}

#[test]
fn shipped_policies_get_no_note() {
    assert_eq!(review(&policies_config(&shipped_policies_dir())), [""; 0]);
}

/// The number of samples and their total run time are limited. If a script reaches a limit, no condition gets a note.
#[test]
fn slow_script_gets_no_note_after_only_a_part_of_the_samples() {
    let unreachable = "if code == \"7\" && code == \"8\" { retry(\"auth\") } else { abstain() }";
    assert_eq!(review_notes(PolicyKind::Retry, unreachable), "1:19: this condition is false for every sample input");
    // Each condition on another input adds samples.
    let inputs = ["sub_code", "message", "endpoint", "platform", "kind"];
    let many: String = inputs.iter().map(|input| format!("if {input} == \"timeout\" {{ log({input}); }} ")).collect();
    assert_eq!(
        review_notes(PolicyKind::Retry, &format!("{many}\n{unreachable}")),
        "2:19: this condition is false for every sample input"
    );
    let slow = format!("let n = 0; while n < 60000 {{ n += 1; }}\n{many}\n{unreachable}");
    assert_eq!(review_notes(PolicyKind::Retry, &slow), "");
}
