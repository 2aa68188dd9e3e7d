//! The HTTP door, as a worker in any language meets it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidegate::Host;
use tidegate_core::Secret;
use tidegate_policy::Policies;
use tower::ServiceExt;

pub fn host() -> Host {
    let policies = Policies::open(&tidegate_core::config::PoliciesConfig {
        dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../policies").into(),
        ..tidegate::Config::default().policies
    });
    Host::builder().policies(policies).notifiers(Arc::new(tidegate_server::notify::from_config)).build().unwrap()
}

pub fn door() -> Router {
    tidegate_server::http::router(host(), None)
}

pub async fn ask(door: &Router, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    let response = door.clone().oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
}

#[tokio::test(start_paused = true)]
async fn a_worker_asks_calls_and_reports() {
    let door = door();
    let limit = json!({ "rate": "1/10s", "burst": 1 });
    assert_eq!(ask(&door, "PUT", "/v1/limits/jd", Some(limit)).await.0, StatusCode::OK);
    let (status, answer) = ask(&door, "POST", "/v1/limits/jd/acquire", Some(json!({}))).await;
    assert_eq!((status, &answer["decision"], &answer["remaining"]), (StatusCode::OK, &json!("allowed"), &json!(0)));
    // What is never sent is given back, once.
    let receipt = json!({ "receipt": answer["receipt"] });
    assert_eq!(ask(&door, "POST", "/v1/limits/jd/release", Some(receipt.clone())).await.1["available"], 1);
    let (_, answer) = ask(&door, "POST", "/v1/limits/jd/acquire", Some(json!({}))).await;
    assert_eq!(answer["decision"], "allowed");
    assert_eq!(ask(&door, "POST", "/v1/limits/jd/release", Some(receipt)).await.1["available"], 0);
    let (status, answer) = ask(&door, "POST", "/v1/limits/jd/acquire", Some(json!({ "endpoint": "e" }))).await;
    assert_eq!((status, &answer["decision"]), (StatusCode::TOO_MANY_REQUESTS, &json!("limited")));
    let waited = ask(&door, "POST", "/v1/limits/jd/acquire", Some(json!({ "wait_ms": 10_000 }))).await;
    assert_eq!(waited.0, StatusCode::OK);
    let never = ask(&door, "POST", "/v1/limits/jd/acquire", Some(json!({ "cost": 2 }))).await;
    assert_eq!(never, (StatusCode::UNPROCESSABLE_ENTITY, json!({ "decision": "never", "max": 1 })));
    assert_eq!(ask(&door, "POST", "/v1/limits/jd/reset", None).await.1["available"], 1);

    let call = json!({ "platform": "jd", "endpoint": "e", "outcome": "error", "duration_ms": 120.5 });
    assert_eq!(ask(&door, "POST", "/v1/calls", Some(call)).await.0, StatusCode::NO_CONTENT);
    let (_, stats) = ask(&door, "GET", "/v1/metrics?platform=jd&endpoint=e&range=5m", None).await;
    assert_eq!((&stats["count"], &stats["errors"], &stats["limited"]), (&json!(1), &json!(1), &json!(1)));
    let (_, page) = ask(&door, "GET", "/metrics", None).await;
    let labels = r#"platform="jd",endpoint="e""#;
    for line in [
        format!(r#"tidegate_calls_total{{{labels},outcome="error"}} 1"#),
        format!("tidegate_call_duration_seconds_sum{{{labels}}} 0.1205"),
        format!("tidegate_call_duration_seconds_count{{{labels}}} 1"),
    ] {
        assert!(page.as_str().unwrap().lines().any(|one| one == line), "{line}: {page}");
    }
}

#[tokio::test]
async fn every_mistake_gets_one_clear_error_and_changes_nothing() {
    let door = door();
    let before = ask(&door, "GET", "/v1/limits/jd", None).await;
    let rows = [
        ("PUT", "/v1/limits/jd", Some(json!({ "rate": "0/s", "burst": 1 })), 400, "above zero"),
        ("PUT", "/v1/limits/jd", Some(json!({ "rate": "5/s", "burst": 0 })), 400, "at least 1"),
        ("PUT", "/v1/limits/jd", Some(json!({ "rate": "5 per s", "burst": 1 })), 400, "such as"),
        ("PUT", "/v1/limits/jd", Some(json!({ "rate": "5/s" })), 422, "burst"),
        ("PUT", "/v1/limits/dj", Some(json!({ "rate": "5/s", "burst": 1 })), 404, "unknown platform \\\"dj\\\""),
        ("POST", "/v1/limits/jd/acquire", Some(json!({ "costs": 1 })), 422, "costs"),
        ("POST", "/v1/limits/jd/acquire", Some(json!({ "cost": -1 })), 422, "cost"),
        ("POST", "/v1/limits/jd/acquire", None, 415, "application/json"),
        ("POST", "/v1/calls", Some(json!({ "platform": "jd", "endpoint": "e", "outcome": "fine" })), 422, "fine"),
        (
            "POST",
            "/v1/calls",
            Some(json!({ "platform": "jd", "endpoint": "e", "outcome": "error", "duration_ms": -1 })),
            400,
            "duration_ms",
        ),
        (
            "POST",
            "/v1/calls",
            Some(json!({ "platform": "jd", "endpoint": "e", "outcome": "error", "duration_ms": 1e19 })),
            400,
            "from 0 to 86400000",
        ),
        (
            "POST",
            "/v1/calls",
            Some(json!({ "platform": "jd", "endpoint": "e".repeat(129), "outcome": "error" })),
            400,
            "1 to 128 bytes",
        ),
        ("GET", "/v1/metrics?platform=jd&range=yesterday", None, 400, "expected a duration"),
        ("GET", "/v1/metrics", None, 400, "platform"),
        ("GET", "/v1/alerts?platform=dj", None, 404, "unknown platform"),
        ("GET", "/v2", None, 404, "nothing at /v2"),
    ];
    for (method, path, body, status, says) in rows {
        let told = ask(&door, method, path, body).await;
        assert_eq!(told.0.as_u16(), status, "{method} {path}: {}", told.1);
        assert!(told.1["error"].to_string().contains(says), "{method} {path}: {}", told.1);
    }
    assert_eq!(ask(&door, "GET", "/v1/limits/jd", None).await, before);
    assert_eq!(ask(&door, "GET", "/v1/metrics?platform=jd", None).await.1["count"], 0);
}

#[tokio::test]
async fn with_a_token_only_health_is_open() {
    let door = tidegate_server::http::router(host(), Some(Secret::new("open sesame")));
    let with = async |path: &str, token: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        door.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
    };
    assert_eq!(with("/healthz", None).await, 200);
    for path in ["/v1/limits", "/v1/metrics?platform=jd", "/v1/alerts", "/v1/policies", "/metrics"] {
        assert_eq!(with(path, None).await, 401, "{path}");
        assert_eq!(with(path, Some("Bearer open")).await, 401, "{path}");
        assert_eq!(with(path, Some("Basic open sesame")).await, 401, "{path}");
        assert_eq!(with(path, Some("Bearer open sesame")).await, 200, "{path}");
        // A scheme's name has no case (RFC 9110 §11.1).
        assert_eq!(with(path, Some("bearer open sesame")).await, 200, "{path}");
    }
}

#[tokio::test]
async fn health_tells_what_is_set_aside_and_a_directory_that_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("policies");
    std::fs::create_dir_all(root.join("retry")).unwrap();
    let script = "if code == \"9\" { throw \"no\" } abstain()";
    std::fs::write(root.join("retry/jd.rhai"), script).unwrap();
    let shipped = tidegate::Config::default().policies;
    let policies =
        Policies::open(&tidegate_core::config::PoliciesConfig { dir: root.clone(), max_faults: 2, ..shipped });
    let notifiers = Arc::new(tidegate_server::notify::from_config);
    let host = Host::builder().policies(Arc::clone(&policies)).notifiers(notifiers).build().unwrap();
    let door = tidegate_server::http::router(host, None);
    let health = async || {
        let told = ask(&door, "GET", "/healthz", None).await.1;
        (told["status"].clone(), told["policies"]["set_aside"].clone(), told["policies"]["readable"].clone())
    };
    assert_eq!(health().await, (json!("ok"), json!(0), json!(true)));
    for _ in 0..2 {
        let failure = tidegate_core::Failure { platform: "jd".into(), code: Some("9".into()), ..Default::default() };
        assert!(policies.classify(&failure).fault.is_some());
    }
    assert_eq!(health().await, (json!("stale"), json!(1), json!(true)));
    std::fs::write(root.join("retry/jd.rhai"), "abstain()").unwrap();
    policies.reload();
    assert_eq!(health().await, (json!("ok"), json!(0), json!(true)), "an edit forgives");
    std::fs::rename(&root, dir.path().join("gone")).unwrap();
    policies.reload();
    assert_eq!(health().await, (json!("stale"), json!(0), json!(false)));
    let told = ask(&door, "GET", "/v1/policies", None).await.1;
    assert!(told["trouble"].as_str().unwrap().contains("the policies read last stay in force"), "{told}");
    std::fs::rename(dir.path().join("gone"), &root).unwrap();
    policies.reload();
    assert_eq!(health().await, (json!("ok"), json!(0), json!(true)));
}

#[tokio::test]
async fn without_a_token_programs_on_this_machine_are_served_and_web_pages_are_not() {
    let door = door();
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
        let response = door.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{host} {origin:?}");
    }
}

#[tokio::test]
async fn a_worker_that_reports_a_failure_learns_whether_and_when_to_try_again() {
    let door = door();
    let report = |extra: Value| {
        let mut call = json!({ "platform": "jd", "endpoint": "e", "outcome": "error", "duration_ms": 5 });
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let door = door.clone();
        async move { ask(&door, "POST", "/v1/calls", Some(call)).await.1 }
    };
    let rows = [
        (json!({ "failure": { "status": 503 } }), "retry", "transient", 500..=1_500),
        (json!({ "failure": { "status": 503 }, "attempt": 2 }), "retry", "transient", 1_000..=3_000),
        (json!({ "failure": { "kind": "timeout" } }), "retry", "transient", 500..=1_500),
        // An asked wait is kept whole, with a little jitter on top.
        (json!({ "failure": { "status": 429, "retry_after_ms": 20_000 } }), "retry", "throttled", 20_000..=20_500),
        (
            json!({ "failure": { "status": 429, "headers": { "Retry-After": "20" } } }),
            "retry",
            "throttled",
            20_000..=20_500,
        ),
        (json!({ "failure": { "status": 503 }, "attempt": 5 }), "give_up", "transient", 0..=0),
        (json!({ "failure": { "status": 503 }, "elapsed_ms": 120_000 }), "give_up", "transient", 0..=0),
        (json!({ "failure": { "status": 404 } }), "give_up", "permanent", 0..=0),
        // What may not be carried out twice is repeated only where it was turned away.
        (json!({ "failure": { "status": 503 }, "idempotent": false }), "give_up", "transient", 0..=0),
        (json!({ "failure": { "status": 429 }, "idempotent": false }), "retry", "throttled", 500..=1_500),
        // Credentials are renewed once, by whoever can.
        (json!({ "failure": { "status": 401 } }), "give_up", "auth", 0..=0),
        (json!({ "failure": { "status": 401 }, "refreshes_credentials": true }), "retry", "auth", 500..=1_500),
        (
            json!({ "failure": { "status": 401 }, "refreshes_credentials": true, "previous": "auth", "attempt": 2 }),
            "give_up",
            "auth",
            0..=0,
        ),
    ];
    let count = rows.len();
    for (extra, action, class, delays) in rows {
        let answer = report(extra.clone()).await;
        assert_eq!((&answer["action"], &answer["class"]), (&json!(action), &json!(class)), "{extra}: {answer}");
        let delay = answer["delay_ms"].as_u64();
        assert_eq!(delay.is_some(), action == "retry", "{extra}: {answer}");
        assert!(delays.contains(&delay.unwrap_or(0)), "{extra}: {answer}");
    }
    let (_, stats) = ask(&door, "GET", "/v1/metrics?platform=jd", None).await;
    assert_eq!(stats["errors"], count, "each was counted, once");
}
