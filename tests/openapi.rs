//! The OpenAPI document matches the API: its routes, its examples and its responses.

mod schema;

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use self::schema::{assert_valid, referenced};
use crate::http::{router, send};

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

async fn document() -> Value {
    send(&router(), "GET", "/openapi.json", None).await.1
}

/// Returns the operations of the document with their paths and methods.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

#[tokio::test]
async fn document_describes_exactly_the_methods_of_each_route() {
    let (document, router) = (document().await, router());
    assert!(document["paths"].as_object().unwrap().len() > 10);
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let (status, response) = send(&router, &method.to_uppercase(), &path.replace(['{', '}'], ""), None).await;
            let exists = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(exists, item.get(method).is_some(), "{method} {path}: {status} {response}");
        }
    }
    // A route that is not added by `routes!` would be missing from the document.
    let source = include_str!("../host/server/src/http/mod.rs");
    assert!(!source.contains(".route(") && !source.contains(".nest"), "use `routes!` for every route");
}

#[tokio::test]
async fn every_part_of_the_document_has_a_description() {
    let document = document().await;
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let has_text = |value: &Value| value.as_str().is_some_and(|text| text.len() > 3);
        assert!(has_text(&operation["summary"]), "{method} {path}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{method} {path}: the operation id is not unique"
        );
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(has_text(&response["description"]), "{method} {path} {status}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(has_text(&parameter["description"]), "{method} {path}: {parameter}");
        }
        let is_open = ["/healthz", "/openapi.json"].contains(&path);
        assert_eq!(operation["responses"].get("401").is_none(), is_open, "{method} {path}");
        assert_eq!(operation["security"], if is_open { json!([{}]) } else { Value::Null }, "{method} {path}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name}");
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            // The description of a nullable reference is beside the reference.
            let description = property.get("description").unwrap_or(&property["oneOf"][0]["description"]);
            assert!(description.is_string(), "{name}.{field}: {property}");
        }
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert_valid(&document, schema, example, name);
        }
    }
    let used = referenced(&document);
    let defined: BTreeSet<_> = document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(used, defined);
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
fn example_uri(path: &str, operation: &Value) -> String {
    let mut uri = path.to_owned();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, example) = (parameter["name"].as_str().unwrap(), parameter["example"].to_string());
        let example = example.trim_matches('"');
        match parameter["in"].as_str() {
            Some("path") => uri = uri.replace(&format!("{{{name}}}"), example),
            _ => query.push(format!("{name}={example}")),
        }
    }
    if query.is_empty() { uri } else { format!("{uri}?{}", query.join("&")) }
}

/// Returns the schema of the JSON body of a response.
fn response_schema<'a>(operation: &'a Value, status: &str) -> &'a Value {
    &operation["responses"][status]["content"]["application/json"]["schema"]
}

#[tokio::test]
async fn every_example_gets_the_described_response() {
    let (document, router) = (document().await, router());
    assert_eq!(
        REQUEST_ORDER.into_iter().collect::<BTreeSet<_>>(),
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect()
    );
    let mut token = Value::Null;
    for path in REQUEST_ORDER {
        for (method, operation) in document["paths"][path].as_object().unwrap() {
            let uri = example_uri(path, operation);
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let mut body = schema::resolve(&document, body)["examples"][0].clone();
            if let Some(value) = body.get_mut("fencing_token") {
                *value = token.clone();
            }
            let (status, response) =
                send(&router, &method.to_uppercase(), &uri, (!body.is_null()).then_some(body)).await;
            assert_eq!(status, StatusCode::OK, "{method} {uri}: {response}");
            if path != "/metrics" {
                assert_valid(&document, response_schema(operation, "200"), &response, &uri);
            }
            token = response.get("fencing_token").cloned().unwrap_or(token);
        }
    }
}

/// Returns the operation that a request calls.
fn operation<'a>(document: &'a Value, method: &str, uri: &str) -> Option<&'a Value> {
    let segments: Vec<_> = uri.split('?').next().unwrap_or_default().split('/').collect();
    let matches = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        let mut pairs = template.iter().zip(&segments);
        template.len() == segments.len() && pairs.all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    let mut operations = operations(document);
    operations.find(|(path, other, _)| matches(path) && other.eq_ignore_ascii_case(method)).map(|(.., found)| found)
}

#[tokio::test]
async fn refusals_get_the_described_response() {
    let (document, router) = (document().await, router());
    let lock = |owner: &str| json!({ "owner": owner });
    let rows = [
        ("PUT", "/v1/limits/jd", json!({ "rate": "1/h", "burst": 1 }), "200"),
        ("POST", "/v1/limits/jd/acquire", json!({}), "200"),
        ("POST", "/v1/limits/jd/acquire", json!({}), "429"),
        ("POST", "/v1/limits/jd/acquire", json!({ "cost": 2 }), "422"),
        ("POST", "/v1/limits/jd/acquire", json!({ "cost": -2 }), "422"),
        ("POST", "/v1/admit", json!({ "platform": "jd" }), "429"),
        ("POST", "/v1/locks/a/acquire", lock("me"), "200"),
        ("POST", "/v1/locks/a/acquire", lock("you"), "409"),
    ];
    for (method, uri, body, expected) in rows {
        let (status, response) = send(&router, method, uri, Some(body)).await;
        assert_eq!(status.as_str(), expected, "{method} {uri}: {response}");
        assert_valid(&document, response_schema(operation(&document, method, uri).unwrap(), expected), &response, uri);
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
        ("PUT", "/v1/limits/jd", json!({ "rate": "5/s", "burst": -1 }), 422, "burst: expected a whole number"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "1/365d", "burst": u64::MAX }), 400, "cannot be counted exactly"),
        ("PUT", "/v1/limits/jd", json!({ "rate": "5/s", "burst": 1, "bursts": 2 }), 422, "unknown field `bursts`"),
        ("PUT", "/v1/limits/jdd", json!({ "rate": "5/s", "burst": 1 }), 404, "unknown platform"),
        (
            "POST",
            "/v1/limits/jd/acquire",
            json!({ "cost": 1.5 }),
            422,
            "cost: expected a whole number of at least 0, found 1.5",
        ),
        ("POST", "/v1/limits/jd/acquire", json!({ "wait_ms": "1" }), 422, "wait_ms: expected a whole number"),
        ("POST", "/v1/limits/jd/acquire", json!([]), 422, "request body: expected a JSON object, found an array"),
        ("PATCH", "/v1/limits/jd", Value::Null, 405, "`/v1/limits/{platform}` has no method PATCH"),
        ("POST", "/v1/limits/%ff/reset", Value::Null, 400, "path: "),
        (
            "POST",
            "/v1/limits/jd/cancel",
            json!({ "reservation_id": "1.2.3" }),
            400,
            "reservation_id: expected a reservation id that tidegate returned",
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
        (
            "POST",
            "/v1/calls",
            call(json!({ "outcome": "fine" })),
            422,
            "outcome: unknown value `fine`, expected one of",
        ),
        ("POST", "/v1/calls", call(json!({ "endpoint": "" })), 400, "endpoint: expected 1 to 128 bytes"),
        ("POST", "/v1/calls", call(json!({ "endpoint": "a\u{7}b" })), 400, "without control characters"),
        ("POST", "/v1/calls", call(json!({ "endpoint": long })), 400, "endpoint: expected 1 to 128 bytes"),
        ("POST", "/v1/calls", call(json!({ "duration_ms": -1 })), 400, "duration_ms: expected milliseconds"),
        ("POST", "/v1/calls", call(json!({ "duration_ms": 1e300 })), 400, "duration_ms: expected milliseconds"),
        ("POST", "/v1/calls", call(json!({ "attempt": 0 })), 400, "attempt: expected a whole number of at least 1"),
        (
            "POST",
            "/v1/calls",
            call(json!({ "failure": { "status": 70_000 } })),
            422,
            "failure.status: expected a whole number from",
        ),
        ("POST", "/v1/calls", call(json!({ "failure": [] })), 422, "failure: expected a JSON object, found an array"),
        (
            "POST",
            "/v1/calls",
            call(json!({ "failure": { "headers": 5 } })),
            422,
            "failure.headers: expected headers as",
        ),
        (
            "POST",
            "/v1/calls",
            call(json!({ "failure": { "status": 200, "body": "{\"jingdong_x_responce\": {\"code\": \"0\"}}" } })),
            400,
            "failure: neither the status nor the body of the response contains an error",
        ),
        (
            "POST",
            "/v1/calls",
            call(json!({ "failure": { "headers": { "a\n": "1" } } })),
            422,
            "failure.headers: expected",
        ),
        ("POST", "/v1/calls", call(json!({ "failure": { "codes": "1" } })), 422, "unknown field `codes`"),
        ("POST", "/v1/calls", call(json!({ "outcome": "success", "failure": {} })), 400, "failure: allowed only if"),
        ("POST", "/v1/calls", call(json!({ "previous_class": "bad" })), 422, "previous_class: unknown value `bad`"),
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
        (
            "GET",
            "/v1/metrics?platform=jd&range=0h",
            Value::Null,
            400,
            "range: expected a duration above zero and up to",
        ),
        (
            "GET",
            "/v1/metrics?platform=jd&range=31d",
            Value::Null,
            400,
            "range: expected a duration above zero and up to",
        ),
        ("GET", "/v1/metrics?platform=jdd", Value::Null, 404, "unknown platform"),
        ("GET", "/v1/metrics", Value::Null, 400, "query: missing field `platform`"),
        ("GET", "/v1/metrics?platform=jd&platform=pdd", Value::Null, 400, "query: `platform` occurs twice"),
        ("GET", "/v1/alerts?limit=-1", Value::Null, 400, "limit: expected a whole number of at least 0, found \"-1\""),
        ("DELETE", "/metrics", Value::Null, 405, "`/metrics` has no method DELETE"),
        (
            "POST",
            "/v1/admit",
            json!({ "platform": "jd", "headers": { "a b": "1" } }),
            400,
            "headers: expected a valid header name such as `retry-after`, found `a b`",
        ),
        (
            "POST",
            "/v1/admit",
            json!({ "platform": "jd", "headers": { "A": "1", "a": "2" } }),
            400,
            "headers: the header `a` occurs twice",
        ),
        ("GET", "/v1/nothing", Value::Null, 404, "no route matches `/v1/nothing`"),
    ]
}

#[tokio::test]
async fn invalid_input_gets_a_one_line_error_and_changes_nothing() {
    let (document, router) = (document().await, router());
    let requests = [invalid_limit_requests(), invalid_calls(), invalid_lock_requests(), invalid_queries()].concat();
    let before = (send(&router, "GET", "/v1/limits", None).await, send(&router, "GET", "/v1/locks", None).await);
    for (method, path, body, status, message) in requests {
        let (actual, response) = send(&router, method, path, (!body.is_null()).then(|| body.clone())).await;
        assert_eq!(actual.as_u16(), status, "{method} {path} {body}: {response}");
        let error = response["error"].as_str().unwrap_or_else(|| panic!("{method} {path} {body}: {response}"));
        if let Some(operation) = operation(&document, method, path) {
            assert_valid(&document, response_schema(operation, status.to_string().as_str()), &response, path);
        }
        assert!(error.contains(message) && !error.contains('\n'), "{method} {path} {body}: {error}");
    }
    let after = (send(&router, "GET", "/v1/limits", None).await, send(&router, "GET", "/v1/locks", None).await);
    assert_eq!(before, after);
    assert_eq!(send(&router, "GET", "/v1/metrics?platform=jd", None).await.1["count"], 0, "no call was recorded");
}
