//! The HTTP API, as a worker in any language uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidegate::{Config, Host};
use tidegate_core::Secret;
use tidegate_policy::Policies;
use tower::ServiceExt;

pub fn host() -> Host {
    let policies = Policies::open(
        &tidegate_core::config::PoliciesConfig::default().with_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies")),
    );
    Host::builder().config(tidegate_notify::shipped_config()).policies(policies).build().unwrap()
}

pub fn router() -> Router {
    tidegate_server::http::router(host(), None)
}

/// Sends a request and returns the status and the body. A body that is not JSON is returned as a string.
pub async fn send(router: &Router, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    let response = router.clone().oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
}

#[tokio::test(start_paused = true)]
async fn worker_acquires_calls_and_reports() {
    let router = router();
    let limit = json!({ "rate": "1/10s", "burst": 1 });
    assert_eq!(send(&router, "PUT", "/v1/limits/jd", Some(limit)).await.0, StatusCode::OK);
    let (status, response) = send(&router, "POST", "/v1/limits/jd/acquire", Some(json!({}))).await;
    assert_eq!((status, &response["decision"], &response["remaining"]), (StatusCode::OK, &json!("allowed"), &json!(0)));
    // A reservation that is not used is cancelled, once.
    let reservation = json!({ "reservation_id": response["reservation_id"] });
    assert_eq!(send(&router, "POST", "/v1/limits/jd/cancel", Some(reservation.clone())).await.1["available"], 1);
    let (_, response) = send(&router, "POST", "/v1/limits/jd/acquire", Some(json!({}))).await;
    assert_eq!(response["decision"], "allowed");
    assert_eq!(send(&router, "POST", "/v1/limits/jd/cancel", Some(reservation)).await.1["available"], 0);
    let (status, response) = send(&router, "POST", "/v1/limits/jd/acquire", Some(json!({ "endpoint": "e" }))).await;
    assert_eq!((status, &response["decision"]), (StatusCode::TOO_MANY_REQUESTS, &json!("limited")));
    let waited = send(&router, "POST", "/v1/limits/jd/acquire", Some(json!({ "wait_ms": 10_000 }))).await;
    assert_eq!(waited.0, StatusCode::OK);
    let never = send(&router, "POST", "/v1/limits/jd/acquire", Some(json!({ "cost": 2 }))).await;
    assert_eq!(never, (StatusCode::UNPROCESSABLE_ENTITY, json!({ "decision": "never", "max_cost": 1 })));
    assert_eq!(send(&router, "POST", "/v1/limits/jd/reset", None).await.1["available"], 1);

    let call = json!({ "platform": "jd", "endpoint": "e", "outcome": "error", "duration_ms": 120.5 });
    assert_eq!(send(&router, "POST", "/v1/calls", Some(call)).await.0, StatusCode::NO_CONTENT);
    let (_, stats) = send(&router, "GET", "/v1/metrics?platform=jd&endpoint=e&range=5m", None).await;
    assert_eq!((&stats["count"], &stats["errors"], &stats["limited"]), (&json!(1), &json!(1), &json!(1)));
    let (_, page) = send(&router, "GET", "/metrics", None).await;
    let labels = r#"platform="jd",endpoint="e""#;
    for line in [
        format!(r#"tidegate_calls_total{{{labels},outcome="error"}} 1"#),
        format!("tidegate_call_duration_seconds_sum{{{labels}}} 0.1205"),
        format!("tidegate_call_duration_seconds_count{{{labels}}} 1"),
    ] {
        assert!(page.as_str().unwrap().lines().any(|page_line| page_line == line), "{line}: {page}");
    }
}

#[tokio::test]
async fn malformed_body_is_rejected() {
    let router = router();
    let acquire = "/v1/limits/jd/acquire";
    let rows = [
        (acquire, Some("text/plain"), "{}", 415, "expected the header `Content-Type: application/json`"),
        (acquire, None, "{}", 415, "expected the header `Content-Type: application/json`"),
        (acquire, Some("application/json"), "{", 400, "request body: invalid JSON: EOF while parsing an object"),
        (acquire, Some("application/json"), r#"{"cost": 1e400}"#, 400, "number out of range"),
        (
            acquire,
            Some("application/json"),
            r#"{"cost": 1, "cost": 2}"#,
            400,
            "request body: `cost` occurs twice at line 1 column 18",
        ),
        (
            "/v1/admit",
            Some("application/json"),
            r#"{"platform": "jd", "labels": {"a": "1", "\u0061": "2"}}"#,
            400,
            "request body: labels: `a` occurs twice",
        ),
        (
            acquire,
            Some("application/json"),
            r#"{"co\u001bst": 1}"#,
            422,
            r"unknown field `co\u{1b}st`, expected one of",
        ),
    ];
    for (path, content_type, body, status, message) in rows {
        let mut request = Request::post(path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let response = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let actual = response.status().as_u16();
        let response: Value =
            serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        let error = response["error"].as_str().unwrap();
        assert!(actual == status && error.contains(message), "{body}: {actual} {error}");
    }
    let (status, response) = send(&router, "GET", &format!("/v2/{}", "x".repeat(5_000)), None).await;
    assert_eq!((status.as_u16(), response["error"].as_str().unwrap().chars().count()), (404, 1_001), "{response}");
}

#[tokio::test]
async fn token_is_required_for_every_route_except_health() {
    let router = tidegate_server::http::router(host(), Some(Secret::new("open sesame")));
    let status = async |path: &str, token: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
    };
    assert_eq!(status("/healthz", None).await, 200);
    for path in ["/v1/limits", "/v1/metrics?platform=jd", "/v1/alerts", "/v1/policies", "/metrics"] {
        assert_eq!(status(path, None).await, 401, "{path}");
        assert_eq!(status(path, Some("Bearer open")).await, 401, "{path}");
        assert_eq!(status(path, Some("Basic open sesame")).await, 401, "{path}");
        assert_eq!(status(path, Some("Bearer open sesame")).await, 200, "{path}");
        // The name of a scheme is case-insensitive (RFC 9110 §11.1).
        assert_eq!(status(path, Some("bearer open sesame")).await, 200, "{path}");
    }
}

#[tokio::test]
async fn wrong_method_gets_a_json_error_and_the_allowed_methods() {
    let router = tidegate_server::http::router(host(), Some(Secret::new("open sesame")));
    let rows = [
        ("/v1/limits/jd", Some("Bearer open sesame"), 405, Some("GET,HEAD,PUT")),
        ("/v1/limits/jd", None, 401, None),
        ("/healthz", None, 405, Some("GET,HEAD")),
    ];
    for (path, token, status, allowed) in rows {
        let mut request = Request::patch(path);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        let allow = response.headers().get("allow").map(|allow| allow.to_str().unwrap().to_owned());
        assert!(allowed.is_none() || allow.as_deref() == allowed, "{path}: {allow:?}");
        let body: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert!(body["error"].is_string(), "{path}: {body}");
    }
}

#[tokio::test]
async fn health_reports_quarantined_policies_and_an_unreadable_directory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("policies");
    std::fs::create_dir_all(root.join("retry")).unwrap();
    let script = "if code == \"9\" { throw \"no\" } abstain()";
    std::fs::write(root.join("retry/jd.rhai"), script).unwrap();
    let shipped = Config::default().policies;
    let policies = Policies::open(&shipped.with_dir(root.clone()).with_max_faults(2));
    let host = Host::builder().policies(Arc::clone(&policies)).build().unwrap();
    let router = tidegate_server::http::router(host, None);
    let health = async || {
        let health = send(&router, "GET", "/healthz", None).await.1;
        (health["status"].clone(), health["policies"]["quarantined"].clone(), health["policies"]["readable"].clone())
    };
    assert_eq!(health().await, (json!("ok"), json!(0), json!(true)));
    for _ in 0..2 {
        let failure = tidegate_core::Failure::default().with_platform("jd").with_code("9");
        assert!(policies.classify(&failure).fault.is_some());
    }
    assert_eq!(health().await, (json!("stale"), json!(1), json!(true)));
    std::fs::write(root.join("retry/jd.rhai"), "abstain()").unwrap();
    policies.reload();
    assert_eq!(health().await, (json!("ok"), json!(0), json!(true)), "an edit ends the quarantine");
    std::fs::rename(&root, dir.path().join("gone")).unwrap();
    policies.reload();
    assert_eq!(health().await, (json!("stale"), json!(0), json!(false)));
    let policies_page = send(&router, "GET", "/v1/policies", None).await.1;
    assert!(
        policies_page["directory_error"].as_str().unwrap().contains("the last good policies stay active"),
        "{policies_page}"
    );
    std::fs::rename(dir.path().join("gone"), &root).unwrap();
    policies.reload();
    assert_eq!(health().await, (json!("ok"), json!(0), json!(true)));
}

#[tokio::test]
async fn without_a_token_local_programs_are_served_and_web_pages_are_rejected() {
    let router = router();
    let rows = [
        ("127.0.0.1:8700", None, 200),
        ("localhost:8700", None, 200),
        ("[::1]:8700", None, 200),
        ("127.0.0.1", None, 200),
        ("evil.example:8700", None, 403),
        ("127.0.0.1.evil.example", None, 403),
        ("localhost@evil.example", None, 403),
        ("é.example", None, 403),
        ("", None, 403),
        ("127.0.0.1:8700", Some("http://127.0.0.1:8700"), 200),
        ("127.0.0.1:8700", Some("http://127.0.0.1:3000"), 403),
        ("127.0.0.1:8700", Some("http://evil.example"), 403),
        ("evil.example", Some("http://evil.example"), 403),
        ("127.0.0.1:8700", Some("null"), 403),
    ];
    for (host, origin, status) in rows {
        let mut request = Request::post("/v1/limits/jd/reset").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{host} {origin:?}");
    }
}

#[tokio::test]
async fn reported_failure_gets_retry_advice() {
    let router = router();
    let report = |extra: Value| {
        let mut call = json!({ "platform": "jd", "endpoint": "e", "outcome": "error", "duration_ms": 5 });
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let router = router.clone();
        async move { send(&router, "POST", "/v1/calls", Some(call)).await.1 }
    };
    let rows = [
        (json!({ "failure": { "status": 503 } }), "retry", "transient", 500..=1_500),
        (json!({ "failure": { "status": 503 }, "attempt": 2 }), "retry", "transient", 1_000..=3_000),
        (json!({ "failure": { "kind": "timeout" } }), "retry", "transient", 500..=1_500),
        // A requested wait is honored in full, plus a little jitter.
        (json!({ "failure": { "status": 429, "retry_after_ms": 20_000 } }), "retry", "throttled", 20_000..=20_500),
        (
            json!({ "failure": { "status": 429, "headers": { "Retry-After": "20" } } }),
            "retry",
            "throttled",
            20_000..=20_500,
        ),
        (json!({ "failure": { "status": 503 }, "attempt": 5 }), "max_attempts", "transient", 0..=0),
        (json!({ "failure": { "status": 503 }, "elapsed_ms": 120_000 }), "deadline", "transient", 0..=0),
        (json!({ "failure": { "status": 404 } }), "verdict", "permanent", 0..=0),
        // A call that is not idempotent is retried only if the platform throttled it.
        (json!({ "failure": { "status": 503 }, "idempotent": false }), "not_idempotent", "transient", 0..=0),
        (json!({ "failure": { "status": 429 }, "idempotent": false }), "retry", "throttled", 500..=1_500),
        // A worker that can refresh its credentials does so once.
        (json!({ "failure": { "status": 401 } }), "credentials", "auth", 0..=0),
        (json!({ "failure": { "status": 401 }, "refreshes_credentials": true }), "retry", "auth", 500..=1_500),
        (
            json!({ "failure": { "status": 401 }, "refreshes_credentials": true, "previous_class": "auth", "attempt": 2 }),
            "verdict",
            "auth",
            0..=0,
        ),
    ];
    let count = rows.len();
    for (extra, action_or_reason, class, delays) in rows {
        let advice = report(extra.clone()).await;
        let expected = match action_or_reason {
            "retry" => ("retry", Value::Null, class),
            reason => ("give_up", json!(reason), class),
        };
        let actual = (&advice["action"], &advice["give_up_reason"], &advice["class"]);
        assert_eq!(actual, (&json!(expected.0), &expected.1, &json!(expected.2)), "{extra}: {advice}");
        let delay = advice["delay_ms"].as_u64();
        assert_eq!(delay.is_some(), action_or_reason == "retry", "{extra}: {advice}");
        assert!(delays.contains(&delay.unwrap_or(0)), "{extra}: {advice}");
    }
    let (_, stats) = send(&router, "GET", "/v1/metrics?platform=jd", None).await;
    assert_eq!(stats["errors"], count, "every failure is counted once");
}

#[tokio::test(start_paused = true)]
async fn failure_of_a_reported_call_is_read_from_its_body() {
    let text = "limits.shop = { rate = '1/s', burst = 1 }\nplatforms.shop.error = { at = '/err', code = 'no' }";
    let config = Config::parse(text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("retry")).unwrap();
    let script = r#"if code == "7" { retry("throttled", 2000) } else { give_up("permanent", code) }"#;
    std::fs::write(dir.path().join("retry/shop.rhai"), script).unwrap();
    let policies = Policies::open(&crate::policies::policies_config(dir.path()));
    assert_eq!(policies.reload().rejected, BTreeMap::new());
    let router =
        tidegate_server::http::router(Host::builder().config(config).policies(policies).build().unwrap(), None);
    let report =
        |failure: Value| json!({ "platform": "shop", "endpoint": "e", "outcome": "error", "failure": failure });
    let rows = [
        (json!({ "status": 200, "body": r#"{"err":{"no":7}}"# }), "throttled", json!(null)),
        (json!({ "status": 200, "body": r#"{"err":{"no":8}}"# }), "permanent", json!("8")),
        (json!({ "status": 200, "code": "9", "body": r#"{"err":{"no":7}}"# }), "permanent", json!("9")),
        (json!({ "status": 200, "code": "7", "body": "{}" }), "throttled", json!(null)),
    ];
    for (failure, class, reason) in rows {
        let (status, advice) = send(&router, "POST", "/v1/calls", Some(report(failure.clone()))).await;
        assert_eq!(
            (status, &advice["class"], &advice["reason"]),
            (StatusCode::OK, &json!(class), &reason),
            "{failure}"
        );
        let retry_after = if class == "throttled" { json!(2_000) } else { Value::Null };
        assert_eq!(advice["retry_after_ms"], retry_after, "{failure}");
    }
}
