//! One request, the attempts to send it, and the result of each attempt.

use std::fmt;

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use tidegate_core::{Failure, FailureKind};
use tower_service::Service;

use super::body::{Body, BodyPrefix, BoxError, read_prefix};
use super::fields::plain_text;
use super::{MAX_INSPECTED_BODY, MAX_INSPECTED_ERROR, MAX_REPLAYED_BODY};
use crate::call_error::RetryableError;
use crate::host::Host;

/// A request and its body; the body is buffered for replay if it is short enough.
pub struct OutgoingRequest {
    parts: Parts,
    buffered: Bytes,
    /// A body that is too long to buffer; it can be sent once.
    streamed: Mutex<Option<Body>>,
    /// Whether the platform may execute the request twice.
    pub idempotent: bool,
    /// Whether the request can be sent once only, because its body is consumed when it is sent.
    pub single_use: bool,
}

impl OutgoingRequest {
    pub async fn read<B>(mut parts: Parts, body: B, idempotent: Option<bool>) -> Result<Self, BoxError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // A compressed response cannot be inspected, so an error inside it would be counted as a success.
        parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let has_key = parts.headers.contains_key("idempotency-key");
        let idempotent_method =
            [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS].contains(&parts.method);
        let idempotent = idempotent.unwrap_or(idempotent_method || has_key);
        let (buffered, streamed) = match read_prefix(Body::new(body), MAX_REPLAYED_BODY).await? {
            BodyPrefix::Complete(buffered) => (buffered, None),
            BodyPrefix::Partial { body, .. } => (Bytes::new(), Some(body)),
        };
        let single_use = streamed.is_some();
        Ok(Self { parts, buffered, streamed: Mutex::new(streamed), idempotent, single_use })
    }

    /// Returns a copy of the request for one attempt.
    pub fn request(&self) -> Request<Body> {
        let body = self.streamed.lock().take().unwrap_or_else(|| self.buffered.clone().into());
        let mut request = Request::new(body);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self.parts.uri.clone();
        *request.version_mut() = self.parts.version;
        *request.headers_mut() = self.parts.headers.clone();
        *request.extensions_mut() = self.parts.extensions.clone();
        request
    }
}

/// An attempt that failed.
#[derive(Debug)]
pub struct FailedAttempt {
    failure: Failure,
    /// The platform's response; the caller receives it if no later attempt succeeds.
    response: Option<Response<Body>>,
}

impl RetryableError for FailedAttempt {
    fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

impl fmt::Display for FailedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for FailedAttempt {}

impl FailedAttempt {
    /// Returns the platform's response; without one, 504 for a timeout and 502 for any other failure.
    pub fn into_response(self) -> Response<Body> {
        let status = match self.failure.kind {
            FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Connection | FailureKind::Response => StatusCode::BAD_GATEWAY,
        };
        self.response.unwrap_or_else(|| plain_text(status, self.failure.message.unwrap_or_default()))
    }

    fn without_response(error: &BoxError) -> Self {
        let kind = if is_timeout(&**error) { FailureKind::Timeout } else { FailureKind::Connection };
        let mut failure = Failure::default().with_message(error.to_string());
        failure.kind = kind;
        Self { failure, response: None }
    }
}

/// Sends a request once and checks the response for an error. The failure has the body only if a policy reads it.
pub async fn send_attempt<S>(
    mut inner: S,
    request: Request<Body>,
    platform: &str,
    host: &Host,
) -> Result<Response<Body>, FailedAttempt>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    let response = send(&mut inner, request).await.map_err(|error| FailedAttempt::without_response(&error))?;
    let (parts, body) = response.into_parts();
    // A body that is too long is not searched for an error, but a policy can read its beginning.
    let is_error = parts.status.is_client_error() || parts.status.is_server_error();
    let limit = if is_error { MAX_INSPECTED_ERROR } else { MAX_INSPECTED_BODY };
    let (inspected, read, body) =
        match read_prefix(body, limit).await.map_err(|error| FailedAttempt::without_response(&error))? {
            BodyPrefix::Complete(bytes) => (bytes.clone(), bytes.clone(), bytes.into()),
            BodyPrefix::Partial { read, body } => (Bytes::new(), read, body),
        };
    let failure = host.read_failure(platform, parts.status, &parts.headers, &inspected);
    let response = Response::from_parts(parts, body);
    match failure {
        None => Ok(response),
        Some(failure) => {
            let failure = if failure.body.is_some() { failure.with_body(&read) } else { failure };
            Err(FailedAttempt { failure, response: Some(response) })
        }
    }
}

/// Sends a request that belongs to no platform, without limit and retries.
pub async fn forward<S>(mut inner: S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    let sent = send(&mut inner, request).await;
    sent.unwrap_or_else(|error| FailedAttempt::without_response(&error).into_response())
}

async fn send<S>(inner: &mut S, request: Request<Body>) -> Result<Response<Body>, BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
    inner.call(request).await.map_err(Into::into)
}

/// Returns whether the error or one of its sources is a timeout; it checks their types.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.is::<tokio::time::error::Elapsed>()
            || error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
    })
}
