//! One request, sent as often as it may be, and what each sending brought.

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use tidegate_core::{Class, Clock, Failure, FailureKind};
use tower_service::Service;

use super::body::{Body, BoxError, Head, head};
use super::fields::plain;
use super::{PEEK, REPLAY};
use crate::{Failed, read_failure};

/// Whether a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It is idempotent.
    Yes,
    /// Only where the platform turned it away and so did not carry it out.
    IfTurnedAway,
    /// Its body is gone once it is sent.
    No,
}

/// A request and its body, kept to be sent again where it is short enough.
pub struct Outgoing {
    parts: Parts,
    kept: Bytes,
    /// A body that is too long to keep.
    streamed: Mutex<Option<Body>>,
    pub repeat: Repeat,
}

impl Outgoing {
    pub async fn read<B>(mut parts: Parts, body: B, idempotent: Option<bool>) -> Result<Self, BoxError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // A packed answer could not be looked into, and its error would pass for a success.
        parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let keyed = parts.headers.contains_key("idempotency-key");
        let safe = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS].contains(&parts.method);
        let repeat = if idempotent.unwrap_or(safe || keyed) { Repeat::Yes } else { Repeat::IfTurnedAway };
        Ok(match head(Body::new(body), REPLAY).await? {
            Head::Whole(kept) => Self { parts, kept, streamed: Mutex::new(None), repeat },
            Head::Longer(rest) => {
                Self { parts, kept: Bytes::new(), streamed: Mutex::new(Some(rest)), repeat: Repeat::No }
            }
        })
    }

    /// The request anew.
    pub fn request(&self) -> Request<Body> {
        let body = self.streamed.lock().take().unwrap_or_else(|| self.kept.clone().into());
        let mut request = Request::new(body);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self.parts.uri.clone();
        *request.version_mut() = self.parts.version;
        *request.headers_mut() = self.parts.headers.clone();
        *request.extensions_mut() = self.parts.extensions.clone();
        request
    }
}

/// A sending that brought no success.
pub struct Unanswered {
    failure: Failure,
    repeat: Repeat,
    /// What the platform answered, to be passed on if nothing better comes.
    response: Option<Response<Body>>,
}

impl Failed for Unanswered {
    fn failure(&self) -> Failure {
        self.failure.clone()
    }

    fn may_repeat(&self, class: Option<Class>) -> bool {
        match self.repeat {
            Repeat::Yes => true,
            Repeat::IfTurnedAway => class == Some(Class::Throttled) && self.response.is_some(),
            Repeat::No => false,
        }
    }
}

impl Unanswered {
    /// The platform's own answer, or 504 and 502 where there was none.
    pub fn into_response(self) -> Response<Body> {
        let status = match self.failure.kind {
            FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Connection | FailureKind::Response => StatusCode::BAD_GATEWAY,
        };
        self.response.unwrap_or_else(|| plain(status, self.failure.message.unwrap_or_default()))
    }

    fn broken(error: &BoxError, repeat: Repeat) -> Self {
        let kind = if is_timeout(&**error) { FailureKind::Timeout } else { FailureKind::Connection };
        let failure = Failure { kind, message: Some(error.to_string()), ..Failure::default() };
        Self { failure, repeat, response: None }
    }
}

/// Sends a request once and looks for an error in the answer.
pub async fn attempt<S>(
    mut inner: S,
    request: Request<Body>,
    repeat: Repeat,
    platform: String,
    clock: &dyn Clock,
) -> Result<Response<Body>, Unanswered>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    let response = send(&mut inner, request).await.map_err(|error| Unanswered::broken(&error, repeat))?;
    let (parts, body) = response.into_parts();
    let (seen, body) = match head(body, PEEK).await.map_err(|error| Unanswered::broken(&error, repeat))? {
        Head::Whole(bytes) => (bytes.clone(), bytes.into()),
        Head::Longer(body) => (Bytes::new(), body),
    };
    let failure = read_failure(&platform, parts.status, &parts.headers, &seen, clock.unix_ms());
    let response = Response::from_parts(parts, body);
    match failure {
        None => Ok(response),
        Some(failure) => Err(Unanswered { failure, repeat, response: Some(response) }),
    }
}

/// Sends a request that no limit is for.
pub async fn forward<S>(mut inner: S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    let sent = send(&mut inner, request).await;
    sent.unwrap_or_else(|error| Unanswered::broken(&error, Repeat::No).into_response())
}

async fn send<S>(inner: &mut S, request: Request<Body>) -> Result<Response<Body>, BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
    inner.call(request).await.map_err(Into::into)
}

/// Whether a time-out stands anywhere among an error's causes, recognised by type.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.is::<tokio::time::error::Elapsed>()
            || error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
    })
}
