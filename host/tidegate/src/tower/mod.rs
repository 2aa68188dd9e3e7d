//! The host as a tower layer: requests pass the limit, failures are judged, what can be sent again is.
//!
//! An answer is read up to [`PEEK`] bytes to find an error inside; what is longer streams through untouched.

mod body;
mod exchange;
mod fields;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tower_service::Service;

pub use body::{Body, BoxError};

use crate::{Attempt, CallError, Host};
use exchange::{Outgoing, attempt};
use fields::plain;

/// How much of an answer is read to find an error inside.
pub const PEEK: usize = 64 * 1024;

/// How much of a request is kept to send it again; a longer one is sent once.
pub const REPLAY: usize = 256 * 1024;

/// Says how many attempts an answer took.
pub const ATTEMPTS: &str = "x-tidegate-attempts";

/// Where a request goes, as limits and metrics name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The platform, whose limit the request passes.
    pub platform: String,
    /// The endpoint, by which it is measured.
    pub endpoint: String,
    /// What it costs of the limit.
    pub cost: u64,
    /// Whether it may be carried out twice; `None` goes by the method and the `Idempotency-Key` header.
    ///
    /// What is not idempotent is sent again only where the platform turned it away (class `throttled`).
    pub idempotent: Option<bool>,
    /// What the gateway knows of the request, such as the seller: admission policies see it.
    pub labels: BTreeMap<String, String>,
}

impl Route {
    /// A request that costs 1 and is idempotent by its method.
    #[must_use]
    pub fn new(platform: impl Into<String>, endpoint: impl Into<String>) -> Self {
        Self {
            platform: platform.into(),
            endpoint: endpoint.into(),
            cost: 1,
            idempotent: None,
            labels: BTreeMap::new(),
        }
    }
}

type Router = Arc<dyn Fn(&Parts) -> Option<Route> + Send + Sync>;

/// Puts limits, retries and metrics around a client service.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use tidegate::{Host, tower::{Layer, Route}};
/// let layer = Layer::new(Host::builder().build().unwrap(), |request| {
///     let platform = request.headers.get("x-platform")?.to_str().ok()?.to_owned();
///     Some(Route::new(platform, request.uri.path()))
/// });
/// # });
/// ```
#[derive(Clone)]
pub struct Layer {
    host: Host,
    route: Router,
    wait: Duration,
    shown: Arc<[HeaderName]>,
}

impl Layer {
    /// A layer that asks `route` where each request goes; one that goes nowhere passes untouched.
    pub fn new(host: Host, route: impl Fn(&Parts) -> Option<Route> + Send + Sync + 'static) -> Self {
        Self { host, route: Arc::new(route), wait: Duration::ZERO, shown: Arc::new([]) }
    }

    /// Lets a request wait this long for the limit before it is answered 429; at once unless said.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

impl Layer {
    /// Shows these headers of requests to admission policies; none unless said.
    #[must_use]
    pub fn show(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.shown = headers.into_iter().collect();
        self
    }

    /// What an admission policy sees of a request.
    fn described(&self, parts: &Parts, route: &Route) -> tidegate_core::Request {
        let shown = self.shown.iter().filter_map(|name| Some((name, parts.headers.get(name)?.to_str().ok()?)));
        tidegate_core::Request {
            platform: route.platform.clone(),
            endpoint: route.endpoint.clone(),
            method: parts.method.as_str().to_owned(),
            at_ms: self.host.clock().unix_ms(),
            headers: shown.map(|(name, value)| (name.as_str().to_owned(), value.to_owned())).collect(),
            labels: route.labels.clone(),
        }
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { layer: self.clone(), inner }
    }
}

/// A service behind a [`Layer`].
#[derive(Clone)]
pub struct Gate<S> {
    layer: Layer,
    inner: S,
}

impl<S, B> Service<Request<B>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each attempt waits for a clone of its own.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (layer, inner) = (self.layer.clone(), self.inner.clone());
        Box::pin(async move { Ok(layer.pass(inner, request).await) })
    }
}

impl Layer {
    async fn pass<S, B>(self, inner: S, request: Request<B>) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, incoming) = request.into_parts();
        let Some(route) = (self.route)(&parts) else {
            let request = Request::from_parts(parts, Body::new(incoming));
            return exchange::forward(inner, request).await;
        };
        let retry = self.host.retry(&route.platform);
        let retry = match retry.and_then(|retry| Ok((retry, self.host.admit(&self.described(&parts, &route))?))) {
            Ok((retry, Ok(admitted))) => {
                retry.endpoint(&route.endpoint).cost(route.cost).wait(self.wait).admitted(admitted)
            }
            Ok((_, Err(denied))) => return fields::denied(&denied),
            Err(unknown) => return plain(StatusCode::NOT_FOUND, unknown.to_string()),
        };
        let limiter = retry.limiter.clone();
        let outgoing = match Outgoing::read(parts, incoming, route.idempotent).await {
            Ok(outgoing) => outgoing,
            Err(error) => return plain(StatusCode::BAD_REQUEST, format!("the request's body broke off: {error}")),
        };
        let mut made = 0;
        let (counted, sent, platform, clock) = (&mut made, &outgoing, &route.platform, &**self.host.clock());
        // The service moves into the closure: a reference to it would demand that services are `Sync`.
        let result = retry
            .run(move |Attempt { number, .. }| {
                *counted = number;
                attempt(inner.clone(), sent.request(), sent.repeat, platform.clone(), clock)
            })
            .await;
        let mut response = match result {
            Ok(response) => response,
            Err(CallError::GaveUp { error, .. }) => error.into_response(),
            Err(CallError::Refused { platform, decision }) => fields::refused(&platform, decision),
        };
        fields::describe(&mut response, &route.platform, &limiter);
        response.headers_mut().insert(ATTEMPTS, HeaderValue::from(made));
        response
    }
}
