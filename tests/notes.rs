//! What `tidegate check` notes of policies that are taken, and what it does not: a false note is worse than none.

use std::fs;

use tidegate_policy::{PolicyKind, review};

use crate::check::noted;
use crate::policies::{policies_config, shipped};

#[track_caller]
fn notes(kind: PolicyKind, rows: &[(&str, &str)]) {
    for (script, expected) in rows {
        assert_eq!(noted(kind, script), *expected, "{script}");
    }
}

#[test]
fn traps_of_conditions_are_noted_at_their_place() {
    notes(
        PolicyKind::Alert,
        &[
            ("error_rate > 10", "1:1: `error_rate` is a fraction of 1: write 0.1 for 10 %"),
            ("success_rate < 99", "1:1: `success_rate` is a fraction of 1: write 0.99 for 99 %"),
            (r#"window("1h").error_rate > 5"#, "1:1: `error_rate` is a fraction of 1: write 0.05 for 5 %"),
            ("p95 > 5", "1:1: `p95` is in milliseconds: write 5000 for 5 seconds"),
            ("p95 > 5000 && p95 < 1000", "1:15: this condition never holds on any sample"),
            ("error_rate > 0.1 || true", "1:21: this condition holds on every sample"),
            (
                "errors / count > 0.1",
                "1:1: divides by 0 where count is 0: what comes out is no number; ask first, as in `count > 0 && …`",
            ),
            ("p95 == p95", "1:1: compares `p95` with itself"),
            ("error_rate >= 0", "1:1: this condition holds on every sample"),
            ("count < 0", "1:1: this condition never holds on any sample"),
            ("p95 > p99", "1:1: this condition never holds on any sample"),
            ("return error_rate > 0.1; p95 > 5000", "1:26: nothing comes here: all before it returns"),
            ("error_rate > 0.1; p95 > 5000", "1:1: what this comes to is dropped; join conditions by `&&`"),
            ("let x = 5; error_rate > 0.1", "1:1: `x` is never read"),
            ("false", "1:1: the answer is the same on every sample: is quiet"),
            ("fn far(p) { p > 5000 && p < 1000 } far(p95)", "1:25: this condition never holds on any sample"),
            (
                r#"error_rate > 0.1 && platform == "Taobao*""#,
                r#"1:21: `==` takes "Taobao*" as it stands; starts_with, ends_with and contains look for a part"#,
            ),
            (
                r#"platform > "a""#,
                r#"1:1: `>` compares texts letter by letter, and "10" comes before "9"; `parse_float(…)` makes a number of a text"#,
            ),
            (
                r#"window("1h").rps / window("24h").rps > 2"#,
                r#"1:1: divides by 0 where window("24h").count is 0: what comes out is no number; ask first, as in `count > 0 && …`"#,
            ),
            ("-0.1 > error_rate", "1:1: `error_rate` is at least 0"),
            ("let rate = error_rate; rate > 2", "1:24: this condition never holds on any sample"),
            (
                r#"fn bad(w) { w.error_rate > 10 } bad(window("1h"))"#,
                "1:13: `error_rate` is a fraction of 1: write 0.1 for 10 %",
            ),
            ("limited > 0 && limited_rate == 0", "1:16: this condition never holds on any sample"),
            (
                "p50 > p95 || p99 < p50",
                "1:1: this condition never holds on any sample
1:14: this condition never holds on any sample",
            ),
            (
                r#"switch platform { "taobao" => error_rate > 0.1, _ => error_rate > 2 }"#,
                "1:54: `error_rate` is a fraction of 1: write 0.02 for 2 %",
            ),
            (r#"platform != "taobao" || platform != "jd""#, "1:25: this condition holds on every sample"),
        ],
    );
}

#[test]
fn what_some_sample_fulfils_is_not_noted_in_conditions() {
    let scripts = [
        "error_rate > 0.1",
        "count > 0 && errors / count > 0.1",
        r#"if error_rate > 0.1 { "many" } else { false }"#,
        r#"let most = setting("most", 0.1); error_rate > most"#,
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
        // Only several inputs at once bring these about.
        "limited_rate > 0.05 || limited > 100",
        r#"let n = 0.0; if error_rate > 0.05 { n += 1.0; } if p95 > 2000 { n += 1.0; } if limited_rate > 0.1 { n += 1.0; } n > 2.5"#,
        r#"fn burns(short, long, factor) { short.count > 50 && short.error_rate > factor * 0.001 && long.error_rate > factor * 0.001 } burns(window("5m"), window("1h"), 14.4) || burns(window("30m"), window("6h"), 6.0)"#,
        // Nobody set the objective to 1.
        r#"let budget = 1.0 - setting("objective", 0.999); error_rate / budget > 14.4"#,
    ];
    notes(PolicyKind::Alert, &scripts.map(|script| (script, "")));
}

const TRAPS_OF_CLASSIFIERS: &[(&str, &str)] = &[
    (
        r#"if code == "7" || code == "7" { return retry("throttled"); } abstain()"#,
        "1:19: this condition never holds on any sample",
    ),
    (
        r#"if code == "7" { return retry("throttled"); } if code == "7" { return retry("transient"); } abstain()"#,
        "1:50: this condition never holds on any sample",
    ),
    (r#"retry("transient")"#, "1:1: the answer is the same on every sample: retry, transient"),
    (
        r#"if status / 100 == 4 { return give_up("permanent"); } retry("transient")"#,
        "1:4: a quotient is seldom a whole number; write `to_int(…)` around it, or a range",
    ),
    (
        r#"if status == 429 && kind == "timeout" { return retry("throttled"); } abstain()"#,
        "1:21: this condition never holds on any sample",
    ),
    (r#"if status == 4290 { return retry("throttled"); } abstain()"#, "1:4: this condition never holds on any sample"),
    (
        r#"if sub_code == "isv.*" { return retry("throttled"); } abstain()"#,
        r#"1:4: `==` takes "isv.*" as it stands; starts_with, ends_with and contains look for a part"#,
    ),
    (
        r#"if code > "500" { return retry("throttled"); } abstain()"#,
        r#"1:4: `>` compares texts letter by letter, and "10" comes before "9"; `parse_float(…)` makes a number of a text"#,
    ),
    (
        r#"if header("X-Left") != "" && parse_int(header("X-Left")) < 5 { return retry("throttled"); } abstain()"#,
        r#"1:30: fails where header("X-Left") is "sample": Error parsing integer number 'sample': invalid digit found in string"#,
    ),
    (
        r#"if retry_after_ms > 60 { return retry("throttled", 5); } abstain()"#,
        "1:4: `retry_after_ms` is in milliseconds: write 60000 for 60 seconds
1:52: a wait is in milliseconds: write 5000 for 5 seconds",
    ),
    (
        r#"if attempt == 0 { return retry("throttled", seconds_in(message)); } retry("throttled", header("Retry-After"))"#,
        "1:4: this condition never holds on any sample
1:45: `seconds_in` answers seconds, and a wait is in milliseconds: write `seconds_in(…) * 1000`
1:88: this text is the reason, and no wait; `retry_after_ms` is the wait of a Retry-After header",
    ),
    (
        r#"if ["7","8"].some(|c| c == "7") { retry("quota") } else { abstain() }"#,
        "1:4: this condition holds on every sample",
    ),
    (
        r#"if code == "7" { return retry("throttled") } else { return abstain() } give_up("permanent")"#,
        "1:72: nothing comes here: all before it returns",
    ),
    (
        r#"if message.to_lower().contains("Rate Limit") { return retry("throttled") } abstain()"#,
        "1:4: this condition never holds on any sample",
    ),
    (
        r#"if code != "7" || code != "8" { return retry("throttled"); } abstain()"#,
        "1:19: this condition holds on every sample",
    ),
    (
        r#"if status >= 500 && status < 500 { return retry("transient"); } give_up("permanent")"#,
        "1:21: this condition never holds on any sample",
    ),
    (
        r#"if kind == "timeout" && code == "" { return retry("transient"); } give_up("permanent")"#,
        "1:25: this condition holds on every sample",
    ),
    (r#"if at_ms > 1700000000 { return retry("transient"); } abstain()"#, "1:4: `at_ms` is in milliseconds since 1970"),
    (
        r#"if elapsed_ms > 5 { return give_up("transient"); } retry("transient")"#,
        "1:4: `elapsed_ms` is in milliseconds: write 5000 for 5 seconds",
    ),
];

#[test]
fn traps_of_classifiers_are_noted_at_their_place() {
    notes(PolicyKind::Retry, TRAPS_OF_CLASSIFIERS);
}

#[test]
fn what_some_sample_fulfils_is_not_noted_in_classifiers() {
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
    notes(PolicyKind::Retry, &scripts.map(|script| (script, "")));
}

#[test]
fn traps_of_admission_scripts_are_noted_at_their_place() {
    notes(
        PolicyKind::Admit,
        &[
            (r#"if method == "post" { return deny("no"); } allow()"#, "1:4: this condition never holds on any sample"),
            (r#"deny("closed")"#, "1:1: the answer is the same on every sample: deny with 403"),
            (
                r#"if endpoint == "a" { loop {} } if method == "GET" { allow() } else { deny("no") }"#,
                r#"1:27: fails where endpoint is "a": Too many operations"#,
            ),
        ],
    );
}

#[test]
fn what_some_sample_fulfils_is_not_noted_in_admission_scripts() {
    let scripts = [
        r#"if label("seller") == "7" { allow(2, #{seller: label("seller")}) } else { deny("no") }"#,
        r#"if method == "POST" && at_ms > 0 { return allow(2); } deny("no", 429)"#,
        r#"if header("x-tenant") == "" { return deny("no tenant"); } allow(1, #{tenant: header("x-tenant")})"#,
        r#"if limit("jd").available < 5 && label("priority") != "high" { return deny("busy", 503); } abstain()"#,
    ];
    notes(PolicyKind::Admit, &scripts.map(|script| (script, "")));
}

#[test]
fn a_condition_in_line_is_noted_at_its_place_in_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "[rules.slow]\nseverity = \"info\"\ncondition = '''\np95 > 5000\n  && error_rate > 10'''\n\
                 [rules.errors]\ncondition = \"error_rate > 10\"\n";
    fs::write(dir.path().join("alerts.toml"), rules).unwrap();
    let file = dir.path().join("alerts.toml").display().to_string();
    let note = "`error_rate` is a fraction of 1: write 0.1 for 10 %";
    assert_eq!(review(&policies_config(dir.path())), [format!("{file}:5:6: {note}"), format!("{file}:7:14: {note}")]);
}

#[test]
fn what_ships_has_no_notes() {
    assert_eq!(review(&policies_config(&shipped())), [""; 0]);
}

/// Samples are bounded by number and by what they take together, and then no condition is judged.
#[test]
fn a_script_that_takes_long_is_not_judged_by_a_part_of_the_samples() {
    let never = "if code == \"7\" && code == \"8\" { retry(\"auth\") } else { abstain() }";
    assert_eq!(noted(PolicyKind::Retry, never), "1:19: this condition never holds on any sample");
    // Each condition on another input brings samples of its own.
    let inputs = ["sub_code", "message", "endpoint", "platform", "kind"];
    let many: String = inputs.iter().map(|input| format!("if {input} == \"timeout\" {{ log({input}); }} ")).collect();
    assert_eq!(noted(PolicyKind::Retry, &format!("{many}\n{never}")), "2:19: this condition never holds on any sample");
    let slow = format!("let n = 0; while n < 60000 {{ n += 1; }}\n{many}\n{never}");
    assert_eq!(noted(PolicyKind::Retry, &slow), "");
}
