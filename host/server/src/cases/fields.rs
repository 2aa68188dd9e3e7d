//! Reads the fields of test cases.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Map, Value};
use tidegate_core::config::Setting;
use tidegate_core::config::reader::{self, Section, choice, integer, number, parsed, scalar, string};
use tidegate_core::units::parse_duration;
use tidegate_core::{Failure, FailureKind, FaultKind, LimitStatus, Quota, Rate, Request, Snapshot, Stats};
use tidegate_policy::PolicyKind;

use super::input::PlatformResponse;

const CLASSES: [&str; 5] = ["throttled", "quota", "transient", "auth", "permanent"];

/// Reads a failure. Its platform is empty if the case does not name one.
pub fn failure(input: &mut Section<'_>) -> Failure {
    let kinds = [
        ("timeout", FailureKind::Timeout),
        ("connection", FailureKind::Connection),
        ("response", FailureKind::Response),
    ];
    let attempt = input.optional("attempt", integer(1..=u32::MAX.into())).and_then(|count| u32::try_from(count).ok());
    Failure {
        platform: input.optional("platform", string).unwrap_or_default(),
        endpoint: input.optional("endpoint", string).unwrap_or_default(),
        kind: input.optional("kind", choice(&kinds)).unwrap_or_default(),
        attempt: attempt.unwrap_or(1),
        elapsed_ms: whole(input, "elapsed_ms").unwrap_or(0),
        at_ms: whole(input, "at_ms").unwrap_or(0),
        status: status(input),
        code: input.optional("code", string),
        sub_code: input.optional("sub_code", string),
        message: input.optional("message", string),
        headers: lower_case_names(input.values("headers", string)),
        retry_after_ms: whole(input, "retry_after_ms"),
        body: input.optional("body", string),
    }
}

/// Reads an HTTP response of a platform.
pub fn response(input: &mut Section<'_>) -> Option<PlatformResponse> {
    let status = if input.contains_key("status") {
        status(input)
    } else {
        input.required("status", integer(100..=999)).and(None)
    };
    let headers = input.values("headers", string);
    let body = input.optional("body", string).unwrap_or_default();
    let response = PlatformResponse::new(status?, &headers, body);
    if response.is_none() {
        input.reject_value("headers", "expected valid HTTP header names and values");
    }
    response
}

/// Reads a request. Its platform is empty if the case does not name one.
pub fn request(input: &mut Section<'_>) -> Request {
    Request {
        platform: input.optional("platform", string).unwrap_or_default(),
        endpoint: input.optional("endpoint", string).unwrap_or_default(),
        method: input.optional("method", string).unwrap_or_else(|| Request::default().method),
        at_ms: whole(input, "at_ms").unwrap_or(0),
        headers: lower_case_names(input.values("headers", string)),
        labels: input.values("labels", string),
    }
}

/// Reads the snapshot that a condition is evaluated on.
pub fn snapshot(input: &mut Section<'_>) -> Snapshot {
    Snapshot {
        platform: input.optional("platform", string).unwrap_or_default(),
        endpoint: input.optional("endpoint", string),
        stats: stats(input),
    }
}

/// Reads additional windows, by range.
pub fn windows(section: &mut Section<'_>) -> BTreeMap<String, Stats> {
    let tables = section.tables("windows").into_iter();
    let window = |(name, mut table): (reader::SpannedString, Section<'_>)| {
        if parse_duration(&name.value).is_err() {
            table.reject("expected a duration such as \"1h\" as the key");
        }
        (name.value, stats(&mut table))
    };
    tables.map(window).collect()
}

/// Reads the state of limits, by name.
pub fn limits(section: &mut Section<'_>) -> BTreeMap<String, LimitStatus> {
    let tables = section.tables("limits").into_iter();
    tables.map(|(name, mut table)| (name.value, limit(&mut table))).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range contains only whole numbers that f64 represents exactly"
)]
fn limit(input: &mut Section<'_>) -> LimitStatus {
    const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
    let one = Quota::per_second(NonZeroU32::MIN);
    let rate = input.optional("rate", parsed(str::parse::<Rate>)).unwrap_or_else(|| one.rate());
    let mut status = LimitStatus::full(one);
    status.rate = rate;
    status.burst = whole(input, "burst").unwrap_or_default();
    status.available = input.optional("available", number(-MAX_WHOLE..=MAX_WHOLE)).unwrap_or_default() as i64;
    status.full_in = Duration::from_millis(whole(input, "full_in_ms").unwrap_or_default());
    status
}

fn stats(input: &mut Section<'_>) -> Stats {
    let mut float = |name| input.optional(name, number(f64::MIN..=f64::MAX)).unwrap_or_default();
    let [total_ms, error_rate, success_rate] = ["total_ms", "error_rate", "success_rate"].map(&mut float);
    let [limited_rate, rps, p50, p95, p99] = ["limited_rate", "rps", "p50", "p95", "p99"].map(&mut float);
    let mut count = |name| whole(input, name).unwrap_or_default();
    let [count, success, errors, limited, from_ms, to_ms] =
        ["count", "success", "errors", "limited", "from_ms", "to_ms"].map(&mut count);
    Stats {
        count,
        success,
        errors,
        limited,
        total_ms,
        error_rate,
        success_rate,
        limited_rate,
        rps,
        p50,
        p95,
        p99,
        from_ms,
        to_ms,
    }
}

/// Reads the expected fields of a verdict. They have the same form as in the verdict's JSON.
pub fn expected(expect: &mut Section<'_>, kind: Option<PolicyKind>) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
    put("fault", word(expect, "fault", &FaultKind::ALL.map(FaultKind::name)));
    match kind {
        Some(PolicyKind::Retry) => {
            put("action", word(expect, "action", &["retry", "give_up", "default"]));
            put("class", word(expect, "class", &CLASSES));
            put("after_ms", whole(expect, "after_ms").map(Value::from));
            put("reason", expect.optional("reason", string).map(Value::from));
            put("success", expect.optional("success", true_value).map(Value::from));
        }
        Some(PolicyKind::Admit) => {
            put("action", word(expect, "action", &["allow", "deny", "default"]));
            put("cost", whole(expect, "cost").map(Value::from));
            let scope = expect.contains_key("scope").then(|| expect.values("scope", string));
            put(
                "scope",
                scope.map(|scope| scope.into_iter().map(|(name, value)| (name, Value::from(value))).collect()),
            );
            put("reason", expect.optional("reason", string).map(Value::from));
            put("status", status(expect).map(Value::from));
        }
        Some(PolicyKind::Alert) | None => {
            put("state", word(expect, "state", &["firing", "quiet"]));
            put("detail", expect.optional("detail", string).map(Value::from));
        }
    }
    if expect.is_empty() {
        expect.reject("expected at least one field, because a case without expected fields cannot fail");
    }
    Value::Object(fields)
}

fn whole(input: &mut Section<'_>, name: &'static str) -> Option<u64> {
    input.optional(name, integer(0..=u64::MAX))
}

fn status(input: &mut Section<'_>) -> Option<u16> {
    input.optional("status", integer(100..=999)).and_then(|status| u16::try_from(status).ok())
}

fn word(expect: &mut Section<'_>, name: &'static str, words: &[&'static str]) -> Option<Value> {
    let words: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
    expect.optional(name, choice(&words)).map(Value::from)
}

fn true_value(value: &reader::TomlValue<'_>) -> Option<bool> {
    match scalar(value)? {
        Setting::Flag(true) => Some(true),
        _ => value.reject("expected true, which means that the response is not a failure"),
    }
}

/// Returns headers as policies get them, with names in lower case.
fn lower_case_names(headers: BTreeMap<String, String>) -> Vec<(String, String)> {
    headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}
