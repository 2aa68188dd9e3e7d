//! One tracing span per request, with a request id.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::Instrument;

use crate::api::random_id;

/// The header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The maximum length of a request id that a client sends, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// Runs a request in the span `request`, and adds its id to the response. Without a valid id in the request, the id is
/// random.
///
/// The span has the fields `method`, `route` (the template, without names and queries) and `request_id`. Log lines of
/// the request are in this span. The event at the end adds `status` and `duration_ms`. Its level is DEBUG, because a
/// busy server has thousands of requests per second, and ERROR for status 500.
pub async fn trace(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let text = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", method = %request.method(), route, request_id = text);
    let started_at = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, duration_ms) = (response.status().as_u16(), started_at.elapsed().as_secs_f64() * 1e3);
    span.in_scope(|| match response.status() {
        StatusCode::INTERNAL_SERVER_ERROR => tracing::error!(status, duration_ms, "request failed"),
        _ => tracing::debug!(status, duration_ms, "request finished"),
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Returns the id that the request has, or a random one. An id has only visible characters, so that it fits into one
/// line of a log.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_valid = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        !bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID && bytes.iter().all(u8::is_ascii_graphic)
    };
    let given = headers.get(REQUEST_ID).filter(is_valid).cloned();
    // A random id has only hexadecimal digits, which are valid in a header.
    given.unwrap_or_else(|| HeaderValue::from_str(&random_id()).unwrap_or(HeaderValue::from_static("none")))
}
