//! Each HTTP request has a tracing span and a request id.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::Request;
use tidegate_core::Secret;
use tower::ServiceExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::http::host;

/// A log that the test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_request_is_logged_with_its_route_and_without_its_values() {
    // While only one subscriber exists, tracing asks the one of the current thread whether a message is of interest,
    // and keeps the answer. A test in another thread would switch off the messages of this one.
    let _other: tracing::Dispatch = tracing_subscriber::registry().into();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG);
    let _guard = subscriber.with_ansi(false).with_writer(move || writer.clone()).set_default();
    let router = tidegate_server::http::router(host(), Some(Secret::new("hunter2-token")));
    log.take();
    let rows = [
        ("PUT", "/v1/limits/jd", "method=PUT route=\"/v1/limits/{platform}\"", 400),
        ("GET", "/v1/metrics?platform=hunter2-platform", "method=GET route=\"/v1/metrics\"", 404),
        ("GET", "/hunter2-path", "method=GET route=\"none\"", 404),
        ("PATCH", "/healthz", "method=PATCH route=\"/healthz\"", 405),
    ];
    for (method, uri, fields, status) in rows {
        let request = Request::builder().method(method).uri(uri).header("authorization", "Bearer hunter2-token");
        let request = request.header("content-type", "application/json").header("x-request-id", "trace-7");
        let response =
            router.clone().oneshot(request.body(Body::from(r#"{"rate":"hunter2-rate","burst":1}"#)).unwrap()).await;
        let response = response.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-request-id"]),
            (status, &"trace-7".parse().unwrap())
        );
        let text = log.take();
        let line =
            text.lines().find(|line| line.contains("request finished")).unwrap_or_else(|| panic!("{uri}: {text}"));
        let expected = format!("request{{{fields} request_id=\"trace-7\"}}: ");
        assert!(line.contains("DEBUG") && line.contains(&expected), "{line}");
        assert!(line.contains(&format!("status={status} duration_ms=")), "{line}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn request_without_a_valid_id_gets_a_random_one() {
    let router = crate::http::router();
    let id = async |given: &[u8]| {
        let mut request = Request::get("/healthz");
        if !given.is_empty() {
            request = request.header("x-request-id", given);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id(b"Caller.1/2").await, "Caller.1/2");
    let mut ids = std::collections::BTreeSet::new();
    for invalid in ["", "a b", "x\u{e9}", &"x".repeat(129)] {
        let id = id(invalid.as_bytes()).await;
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{invalid}: {id}");
        assert!(ids.insert(id), "ids are unique");
    }
}
