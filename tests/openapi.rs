//! The OpenAPI document says what the door does: its routes, its examples, its answers.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Value, json};

use crate::http::{ask, door};

fn document() -> Value {
    serde_json::from_str(include_str!("../host/server/openapi.json")).unwrap()
}

/// Each path with its methods, as the router's own source has them.
fn routed() -> BTreeMap<String, BTreeSet<String>> {
    let source = include_str!("../host/server/src/http/mod.rs");
    let routes = source.split(".route(\"").skip(1).map(|rest| rest.split_once("\", ").unwrap());
    routes
        .map(|(path, rest)| {
            let line = rest.lines().next().unwrap();
            let methods =
                ["get", "put", "post", "delete"].into_iter().filter(|method| line.contains(&format!("{method}(")));
            (path.to_owned(), methods.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = document();
    let described: BTreeMap<String, BTreeSet<String>> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters").cloned();
            (path.clone(), methods.collect())
        })
        .collect();
    assert!(described.len() > 10);
    assert_eq!(described, routed());
}

/// Replaces `#/components/schemas/X` by what stands there.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/"));
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

/// What an answer has that the schema does not know, or lacks that it demands.
fn faults(document: &Value, schema: &Value, answer: &Value) -> Vec<String> {
    let schema = resolve(document, schema);
    let (Some(fields), Some(known)) = (answer.as_object(), schema["properties"].as_object()) else { return Vec::new() };
    let unknown = fields.keys().filter(|key| !known.contains_key(*key)).map(|key| format!("{key} is not described"));
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    unknown.chain(required.filter(|key| answer.get(*key).is_none()).map(|key| format!("{key} is missing"))).collect()
}

#[tokio::test]
async fn every_example_is_answered_as_described() {
    let (document, door) = (document(), door());
    // In the order of a worker's day, so that what one makes the next one finds.
    let paths = [
        "/v1/limits",
        "/v1/limits/{platform}",
        "/v1/limits/{platform}/acquire",
        "/v1/limits/{platform}/release",
        "/v1/limits/{platform}/reset",
        "/v1/admit",
        "/v1/calls",
        "/v1/metrics",
        "/v1/locks/{name}/acquire",
        "/v1/locks",
        "/v1/locks/{name}/extend",
        "/v1/locks/{name}/release",
        "/v1/locks/{name}/acquire",
        "/v1/locks/{name}",
        "/v1/alerts",
        "/v1/policies",
        "/v1/redis",
        "/metrics",
        "/healthz",
        "/openapi.json",
    ];
    assert_eq!(
        paths.into_iter().collect::<BTreeSet<_>>(),
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect()
    );
    let mut token = Value::Null;
    for path in paths {
        let item = &document["paths"][path];
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let mut uri = path.to_owned();
            for parameter in item["parameters"].as_array().into_iter().flatten() {
                uri = uri.replace(
                    &format!("{{{}}}", parameter["name"].as_str().unwrap()),
                    parameter["example"].as_str().unwrap(),
                );
            }
            let query = operation["parameters"].as_array().into_iter().flatten();
            let query: Vec<_> = query
                .map(|one| {
                    format!("{}={}", one["name"].as_str().unwrap(), one["example"].to_string().trim_matches('"'))
                })
                .collect();
            let uri = if query.is_empty() { uri } else { format!("{uri}?{}", query.join("&")) };
            let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
            if let Some(known) = body.get_mut("fencing_token") {
                *known = token.clone();
            }
            let (status, answer) = ask(&door, &method.to_uppercase(), &uri, (!body.is_null()).then_some(body)).await;
            assert_eq!(status, StatusCode::OK, "{method} {uri}: {answer}");
            let described = &operation["responses"]["200"]["content"]["application/json"];
            assert_eq!(
                faults(&document, &described["schema"], &answer),
                Vec::<String>::new(),
                "{method} {uri}: {answer}"
            );
            if !described["example"].is_null() {
                assert_eq!(
                    faults(&document, &described["schema"], &described["example"]),
                    Vec::<String>::new(),
                    "{uri}"
                );
            }
            token = answer.get("fencing_token").cloned().unwrap_or(token);
        }
    }
}

#[tokio::test]
async fn bad_input_gets_one_clear_error_and_changes_nothing() {
    let door = door();
    let long = "x".repeat(201);
    let call = |extra: Value| {
        let mut call = json!({ "platform": "jd", "endpoint": "e", "outcome": "error" });
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        call
    };
    let lock = |extra: Value| {
        let mut lock = json!({ "owner": "me", "fencing_token": 1 });
        lock.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        lock
    };
    let rows = [
        ("PUT", "/v1/limits/jd", json!({ "rate": "5", "burst": 1 }), 400, "expected tokens and a period"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "0/s", "burst": 1 }), 400, "above zero"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "5/s", "burst": 0 }), 400, "at least 1"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "5/s", "burst": -1 }), 422, "burst"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "1/365d", "burst": u64::MAX }), 400, "beyond exact counting"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "5/s", "burst": 1, "bursts": 2 }), 422, "unknown field `bursts`"),
        ("PUT", "/v1/limits/jdd", json!({ "rate": "5/s", "burst": 1 }), 404, "unknown platform"),
        ("POST", "/v1/limits/jd/acquire", json!({ "cost": 1.5 }), 422, "cost"),
        ("POST", "/v1/limits/jd/acquire", json!({ "wait_ms": "1" }), 422, "wait_ms"),
        (
            "POST",
            "/v1/limits/jd/release",
            json!({ "receipt": "1.2.3" }),
            400,
            "receipt: expected a receipt as `acquire`",
        ),
        ("POST", "/v1/limits/jd/release", json!({ "receipt": "1.2.3.4.5.6.x" }), 400, "receipt: expected"),
        ("POST", "/v1/limits/jd/release", json!({}), 422, "missing field `receipt`"),
        ("POST", "/v1/limits/jdd/reset", Value::Null, 404, "unknown platform"),
        ("POST", "/v1/calls", call(json!({ "outcome": "fine" })), 422, "unknown variant `fine`"),
        ("POST", "/v1/calls", call(json!({ "endpoint": "" })), 400, "endpoint: expected 1 to 128 bytes"),
        ("POST", "/v1/calls", call(json!({ "endpoint": "a\u{7}b" })), 400, "without control characters"),
        ("POST", "/v1/calls", call(json!({ "endpoint": long })), 400, "endpoint: expected 1 to 128 bytes"),
        ("POST", "/v1/calls", call(json!({ "duration_ms": -1 })), 400, "duration_ms: expected milliseconds"),
        ("POST", "/v1/calls", call(json!({ "duration_ms": 1e300 })), 400, "duration_ms: expected milliseconds"),
        ("POST", "/v1/calls", call(json!({ "attempt": 0 })), 400, "attempt: expected a whole number of at least 1"),
        ("POST", "/v1/calls", call(json!({ "failure": { "status": 70_000 } })), 422, "status"),
        ("POST", "/v1/calls", call(json!({ "failure": { "codes": "1" } })), 422, "unknown field `codes`"),
        ("POST", "/v1/calls", call(json!({ "outcome": "success", "failure": {} })), 400, "failure: only a call"),
        ("POST", "/v1/calls", call(json!({ "previous": "bad" })), 422, "previous"),
        ("POST", "/v1/locks/a/acquire", lock(json!({})), 422, "unknown field `fencing_token`"),
        ("POST", "/v1/locks/a/acquire", json!({ "owner": "" }), 400, "owner of a lock of 1 to 200 bytes"),
        ("POST", "/v1/locks/a/acquire", json!({ "owner": "me", "ttl_ms": 0 }), 400, "from 100 ms to 1 day, not 0 ms"),
        ("POST", "/v1/locks/a/acquire", json!({ "owner": "me", "ttl_ms": u64::MAX }), 400, "from 100 ms to 1 day"),
        ("POST", "/v1/locks/a/acquire", json!({ "owner": "me", "id": "a b" }), 400, "without spaces"),
        ("POST", "/v1/locks/a%0Ab/acquire", json!({ "owner": "me" }), 400, "without control characters"),
        ("POST", "/v1/locks/a/extend", lock(json!({})), 409, "no longer"),
        ("POST", "/v1/locks/a/release", lock(json!({})), 409, "no longer"),
        ("DELETE", "/v1/locks/a", Value::Null, 404, "nobody holds a lock named \"a\""),
        ("GET", "/v1/metrics?platform=jd&range=1y", Value::Null, 400, "range: "),
        ("GET", "/v1/metrics?platform=jdd", Value::Null, 404, "unknown platform"),
        ("GET", "/v1/metrics", Value::Null, 400, "platform"),
        ("GET", "/v1/alerts?limit=-1", Value::Null, 400, "limit"),
        ("GET", "/v1/nothing", Value::Null, 404, "nothing at /v1/nothing"),
    ];
    let before = (ask(&door, "GET", "/v1/limits", None).await, ask(&door, "GET", "/v1/locks", None).await);
    for (method, path, body, status, words) in rows {
        let (said, answer) = ask(&door, method, path, (!body.is_null()).then(|| body.clone())).await;
        assert_eq!(said.as_u16(), status, "{method} {path} {body}: {answer}");
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{method} {path} {body}: {answer}"));
        assert!(error.contains(words) && !error.contains('\n'), "{method} {path} {body}: {error}");
    }
    let after = (ask(&door, "GET", "/v1/limits", None).await, ask(&door, "GET", "/v1/locks", None).await);
    assert_eq!(before, after);
    assert_eq!(ask(&door, "GET", "/v1/metrics?platform=jd", None).await.1["count"], 0, "nothing was half recorded");
}
