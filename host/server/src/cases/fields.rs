//! Reads the fields of test cases.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Map, Value};
use tidegate_core::config::Setting;
use tidegate_core::config::reader::{self, Section, choice, integer, number, parsed, scalar, string};
use tidegate_core::failure::headers_from_table;
use tidegate_core::units::parse_duration;
use tidegate_core::{
    Action, Class, Failure, FailureKind, FaultKind, LimitStatus, Quota, Rate, Request, Snapshot, Stats,
};
use tidegate_policy::PolicyKind;

use super::input::PlatformResponse;

/// Reads a failure. Its platform is empty if the case does not name one.
pub fn failure(input: &mut Section<'_>) -> Failure {
    let attempt = input.optional("attempt", integer(1..=u32::MAX.into())).and_then(|count| u32::try_from(count).ok());
    let mut failure = Failure::default().with_attempt(attempt.unwrap_or(1));
    failure.platform = input.optional("platform", string).unwrap_or_default();
    failure.endpoint = input.optional("endpoint", string).unwrap_or_default();
    failure.kind = input.optional("kind", parsed(str::parse::<FailureKind>)).unwrap_or_default();
    failure.elapsed_ms = whole(input, "elapsed_ms").unwrap_or(0);
    failure.at_ms = whole(input, "at_ms").unwrap_or(0);
    failure.status = status(input);
    failure.code = input.optional("code", string);
    failure.sub_code = input.optional("sub_code", string);
    failure.message = input.optional("message", string);
    failure.headers = headers(input);
    failure.retry_after_ms = whole(input, "retry_after_ms");
    failure.body = input.optional("body", string);
    failure
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
    let mut request = Request::new(input.optional("platform", string).unwrap_or_default())
        .with_endpoint(input.optional("endpoint", string).unwrap_or_default())
        .with_method(input.optional("method", string).unwrap_or_else(|| Request::default().method))
        .with_at_ms(whole(input, "at_ms").unwrap_or(0))
        .with_labels(input.values("labels", string));
    request.headers = headers(input);
    request
}

/// Reads the snapshot that a condition is evaluated on.
pub fn snapshot(input: &mut Section<'_>) -> Snapshot {
    let mut snapshot = Snapshot::new(input.optional("platform", string).unwrap_or_default(), stats(input));
    snapshot.endpoint = input.optional("endpoint", string);
    snapshot
}

/// Reads additional windows, by range.
pub fn windows(section: &mut Section<'_>) -> BTreeMap<String, Stats> {
    let tables = section.tables("windows").into_iter();
    let window = |(name, mut table): (reader::SpannedString, Section<'_>)| {
        if !parse_duration(&name.value).is_ok_and(|range| !range.is_zero()) {
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
    let mut stats = Stats::default();
    let success_rate = input.optional("success_rate", number(f64::MIN..=f64::MAX));
    stats.success_rate = success_rate.unwrap_or(stats.success_rate);
    let mut float = |name| input.optional(name, number(f64::MIN..=f64::MAX)).unwrap_or_default();
    stats.total_ms = float("total_ms");
    stats.error_rate = float("error_rate");
    stats.limited_rate = float("limited_rate");
    stats.rps = float("rps");
    stats.p50 = float("p50");
    stats.p95 = float("p95");
    stats.p99 = float("p99");
    let mut count = |name| whole(input, name).unwrap_or_default();
    stats.count = count("count");
    stats.success = count("success");
    stats.errors = count("errors");
    stats.limited = count("limited");
    stats.from_ms = count("from_ms");
    stats.to_ms = count("to_ms");
    stats
}

/// Reads the expected fields of a verdict. They have the same form as in the verdict's JSON.
pub fn expected(expect: &mut Section<'_>, kind: Option<PolicyKind>) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
    put("fault", word(expect, "fault", FaultKind::NAMES));
    match kind {
        Some(PolicyKind::Retry) => {
            put("action", word(expect, "action", Action::NAMES));
            put("class", word(expect, "class", Class::NAMES));
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

/// Reads headers as policies get them, with names in lower case.
fn headers(input: &mut Section<'_>) -> Vec<(String, String)> {
    let headers = headers_from_table(input.values("headers", string));
    headers.unwrap_or_else(|error| {
        input.reject_value("headers", &error.to_string());
        vec![]
    })
}
