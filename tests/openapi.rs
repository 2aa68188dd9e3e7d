//! The OpenAPI document matches the API: its routes, its examples and its responses.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Value, json};

use crate::http::{router, send};

fn document() -> Value {
    serde_json::from_str(include_str!("../host/server/openapi.json")).unwrap()
}

/// Returns every path with its methods, read from the router's source.
fn routes_in_source() -> BTreeMap<String, BTreeSet<String>> {
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
fn document_describes_exactly_the_routes_of_the_router() {
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
    assert_eq!(described, routes_in_source());
}

/// Resolves a reference to `#/components/schemas/X`.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/"));
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

/// Returns the fields of a response that the schema does not describe, and the required fields that it lacks.
fn schema_violations(document: &Value, schema: &Value, response: &Value) -> Vec<String> {
    let schema = resolve(document, schema);
    let (Some(fields), Some(known)) = (response.as_object(), schema["properties"].as_object()) else {
        return Vec::new();
    };
    let unknown = fields.keys().filter(|key| !known.contains_key(*key)).map(|key| format!("{key} is not described"));
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    unknown.chain(required.filter(|key| response.get(*key).is_none()).map(|key| format!("{key} is missing"))).collect()
}

/// The paths in the order in which the test requests them: later requests use what earlier requests created.
const REQUEST_ORDER: [&str; 20] = [
    "/v1/limits",
    "/v1/limits/{platform}",
    "/v1/limits/{platform}/acquire",
    "/v1/limits/{platform}/cancel",
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

/// Returns the URI of an operation with the examples of its parameters.
fn example_uri(path: &str, item: &Value, operation: &Value) -> String {
    let mut uri = path.to_owned();
    for parameter in item["parameters"].as_array().into_iter().flatten() {
        let placeholder = format!("{{{}}}", parameter["name"].as_str().unwrap());
        uri = uri.replace(&placeholder, parameter["example"].as_str().unwrap());
    }
    let query = operation["parameters"].as_array().into_iter().flatten().map(|parameter| {
        let (name, example) = (parameter["name"].as_str().unwrap(), parameter["example"].to_string());
        format!("{name}={}", example.trim_matches('"'))
    });
    let query: Vec<_> = query.collect();
    if query.is_empty() { uri } else { format!("{uri}?{}", query.join("&")) }
}

#[tokio::test]
async fn every_example_gets_the_described_response() {
    let (document, router) = (document(), router());
    assert_eq!(
        REQUEST_ORDER.into_iter().collect::<BTreeSet<_>>(),
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect()
    );
    let mut token = Value::Null;
    for path in REQUEST_ORDER {
        let item = &document["paths"][path];
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let uri = example_uri(path, item, operation);
            let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
            if let Some(value) = body.get_mut("fencing_token") {
                *value = token.clone();
            }
            let (status, response) =
                send(&router, &method.to_uppercase(), &uri, (!body.is_null()).then_some(body)).await;
            assert_eq!(status, StatusCode::OK, "{method} {uri}: {response}");
            let described = &operation["responses"]["200"]["content"]["application/json"];
            let schema = &described["schema"];
            let violations = schema_violations(&document, schema, &response);
            assert_eq!(violations, Vec::<String>::new(), "{method} {uri}: {response}");
            if !described["example"].is_null() {
                let violations = schema_violations(&document, schema, &described["example"]);
                assert_eq!(violations, Vec::<String>::new(), "{uri}");
            }
            token = response.get("fencing_token").cloned().unwrap_or(token);
        }
    }
}

/// A method, a path, a body, the expected status and a part of the expected error.
type InvalidRequest = (&'static str, &'static str, Value, u16, &'static str);

/// Returns an object with additional or replaced fields.
fn with_fields(mut object: Value, fields: &Value) -> Value {
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

/// Returns invalid requests to the routes of limits.
fn invalid_limit_requests() -> Vec<InvalidRequest> {
    vec![
        ("PUT", "/v1/limits/jd", json!({ "rate": "5", "burst": 1 }), 400, "expected tokens and a period"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "0/s", "burst": 1 }), 400, "above zero"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "5/s", "burst": 0 }), 400, "at least 1"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "5/s", "burst": -1 }), 422, "burst"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "1/365d", "burst": u64::MAX }), 400, "cannot be counted exactly"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "5/s", "burst": 1, "bursts": 2 }), 422, "unknown field `bursts`"),
        ("PUT", "/v1/limits/jdd", json!({ "rate": "5/s", "burst": 1 }), 404, "unknown platform"),
        ("POST", "/v1/limits/jd/acquire", json!({ "cost": 1.5 }), 422, "cost"),
        ("POST", "/v1/limits/jd/acquire", json!({ "wait_ms": "1" }), 422, "wait_ms"),
        (
            "POST",
            "/v1/limits/jd/cancel",
            json!({ "reservation_id": "1.2.3" }),
            400,
            "reservation_id: expected a reservation id that `acquire` returned",
        ),
        ("POST", "/v1/limits/jd/cancel", json!({ "reservation_id": "1.2.3.4.5.6.x" }), 400, "reservation_id: expected"),
        ("POST", "/v1/limits/jd/cancel", json!({}), 422, "missing field `reservation_id`"),
        ("POST", "/v1/limits/jdd/reset", Value::Null, 404, "unknown platform"),
    ]
}

/// Returns invalid reports of calls.
fn invalid_calls() -> Vec<InvalidRequest> {
    let call = |extra: Value| with_fields(json!({ "platform": "jd", "endpoint": "e", "outcome": "error" }), &extra);
    let long = "x".repeat(201);
    vec![
        ("POST", "/v1/calls", call(json!({ "outcome": "fine" })), 422, "unknown variant `fine`"),
        ("POST", "/v1/calls", call(json!({ "endpoint": "" })), 400, "endpoint: expected 1 to 128 bytes"),
        ("POST", "/v1/calls", call(json!({ "endpoint": "a\u{7}b" })), 400, "without control characters"),
        ("POST", "/v1/calls", call(json!({ "endpoint": long })), 400, "endpoint: expected 1 to 128 bytes"),
        ("POST", "/v1/calls", call(json!({ "duration_ms": -1 })), 400, "duration_ms: expected milliseconds"),
        ("POST", "/v1/calls", call(json!({ "duration_ms": 1e300 })), 400, "duration_ms: expected milliseconds"),
        ("POST", "/v1/calls", call(json!({ "attempt": 0 })), 400, "attempt: expected a whole number of at least 1"),
        ("POST", "/v1/calls", call(json!({ "failure": { "status": 70_000 } })), 422, "status"),
        ("POST", "/v1/calls", call(json!({ "failure": { "codes": "1" } })), 422, "unknown field `codes`"),
        ("POST", "/v1/calls", call(json!({ "outcome": "success", "failure": {} })), 400, "failure: allowed only if"),
        ("POST", "/v1/calls", call(json!({ "previous": "bad" })), 422, "previous"),
    ]
}

/// Returns invalid requests to the routes of locks.
fn invalid_lock_requests() -> Vec<InvalidRequest> {
    let lock = |extra: Value| with_fields(json!({ "owner": "me", "fencing_token": 1 }), &extra);
    vec![
        ("POST", "/v1/locks/a/acquire", lock(json!({})), 422, "unknown field `fencing_token`"),
        ("POST", "/v1/locks/a/acquire", json!({ "owner": "" }), 400, "invalid lock owner: expected 1 to 200 bytes"),
        (
            "POST",
            "/v1/locks/a/acquire",
            json!({ "owner": "me", "ttl_ms": 0 }),
            400,
            "invalid ttl of 0 ms: expected 100 ms to 1 day",
        ),
        ("POST", "/v1/locks/a/acquire", json!({ "owner": "me", "ttl_ms": u64::MAX }), 400, "expected 100 ms to 1 day"),
        ("POST", "/v1/locks/a/acquire", json!({ "owner": "me", "id": "a b" }), 400, "expected no whitespace"),
        ("POST", "/v1/locks/a%0Ab/acquire", json!({ "owner": "me" }), 400, "without control characters"),
        ("POST", "/v1/locks/a/extend", lock(json!({})), 409, "no longer"),
        ("POST", "/v1/locks/a/release", lock(json!({})), 409, "no longer"),
        ("DELETE", "/v1/locks/a", Value::Null, 404, "lock \"a\" is not held"),
    ]
}

/// Returns invalid requests to the other routes.
fn invalid_queries() -> Vec<InvalidRequest> {
    vec![
        ("GET", "/v1/metrics?platform=jd&range=1y", Value::Null, 400, "range: "),
        ("GET", "/v1/metrics?platform=jdd", Value::Null, 404, "unknown platform"),
        ("GET", "/v1/metrics", Value::Null, 400, "platform"),
        ("GET", "/v1/alerts?limit=-1", Value::Null, 400, "limit"),
        ("GET", "/v1/nothing", Value::Null, 404, "no route matches `/v1/nothing`"),
    ]
}

#[tokio::test]
async fn invalid_input_gets_a_one_line_error_and_changes_nothing() {
    let router = router();
    let requests = [invalid_limit_requests(), invalid_calls(), invalid_lock_requests(), invalid_queries()].concat();
    let before = (send(&router, "GET", "/v1/limits", None).await, send(&router, "GET", "/v1/locks", None).await);
    for (method, path, body, status, message) in requests {
        let (actual, response) = send(&router, method, path, (!body.is_null()).then(|| body.clone())).await;
        assert_eq!(actual.as_u16(), status, "{method} {path} {body}: {response}");
        let error = response["error"].as_str().unwrap_or_else(|| panic!("{method} {path} {body}: {response}"));
        assert!(error.contains(message) && !error.contains('\n'), "{method} {path} {body}: {error}");
    }
    let after = (send(&router, "GET", "/v1/limits", None).await, send(&router, "GET", "/v1/locks", None).await);
    assert_eq!(before, after);
    assert_eq!(send(&router, "GET", "/v1/metrics?platform=jd", None).await.1["count"], 0, "no call was recorded");
}
