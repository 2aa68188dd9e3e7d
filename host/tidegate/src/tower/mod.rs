//! A tower layer that applies a [`Host`]'s limits, retries and metrics to a client service.
//!
//! The layer reads up to [`MAX_INSPECTED_BODY`] bytes of a response to find an error in its body, and up to
//! [`MAX_INSPECTED_ERROR`] bytes if its status is that of an error. A longer body is streamed to the caller unchanged
//! and is not inspected.

mod body;
mod exchange;
mod fields;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
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

use crate::call_error::CallError;
use crate::host::Host;
use crate::pipeline::{Attempt, Retry};
use exchange::{OutgoingRequest, send_attempt};
use fields::plain_text;

/// The maximum size of the body of a successful response that the layer inspects for an error, in bytes. The layer
/// forwards a longer body as soon as more bytes than this have arrived.
pub const MAX_INSPECTED_BODY: usize = 64 * 1024;

/// The maximum size of the body of a response with an error status that the layer inspects, in bytes.
pub const MAX_INSPECTED_ERROR: usize = crate::response::MAX_SEARCHED_BODY;

/// The maximum size of a request body that the layer buffers for retries, in bytes; a longer request is sent once.
pub const MAX_REPLAYED_BODY: usize = 256 * 1024;

/// The response header that holds the number of attempts.
pub const ATTEMPTS_HEADER: &str = "x-tidegate-attempts";

/// The platform and endpoint of a request, and how to limit and retry it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The platform whose limit applies.
    pub platform: String,
    /// The endpoint under which the call is counted in the metrics.
    pub endpoint: String,
    /// The number of tokens that each attempt takes from the limit.
    pub cost: u64,
    /// Whether the platform may execute the request twice. `None` means yes for an idempotent method or a request with
    /// an `Idempotency-Key` header, and no for all others.
    ///
    /// A request that is not idempotent is retried only after a response of class `throttled`, because then the
    /// platform did not execute it.
    pub idempotent: Option<bool>,
    /// Labels of the request for admission policies, for example the seller.
    pub labels: BTreeMap<String, String>,
}

impl Route {
    /// Creates a route with a cost of 1, no labels, and idempotency determined by the request.
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

    /// Sets the number of tokens that each attempt takes from the limit.
    #[must_use]
    pub fn with_cost(self, cost: u64) -> Self {
        Self { cost, ..self }
    }

    /// Sets whether the platform may execute the request twice.
    #[must_use]
    pub fn with_idempotent(self, idempotent: bool) -> Self {
        Self { idempotent: Some(idempotent), ..self }
    }

    /// Adds a label of the request for admission policies.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }
}

type RouteFn = Arc<dyn Fn(&Parts) -> Option<Route> + Send + Sync>;

/// Adds limits, retries and metrics to a client service.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use http::{Request, Response};
/// use tidegate::tower::{Body, BoxError, Route, TidegateLayer};
/// use tidegate::{Config, Host};
/// use tower::{Layer, ServiceExt, service_fn};
/// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
/// let layer = TidegateLayer::new(host, |request| Some(Route::new("jd", request.uri.path()).with_cost(2)));
/// // In place of an HTTP client. With a `tower::ServiceBuilder`: `.layer(layer).service(client)`.
/// let client = service_fn(async |_: Request<Body>| Ok::<_, BoxError>(Response::new(Body::empty())));
/// let response = layer.layer(client).oneshot(Request::new(Body::empty())).await.unwrap();
/// assert_eq!((response.status().as_u16(), &response.headers()["x-tidegate-attempts"]), (200, &"1".parse().unwrap()));
/// # });
/// ```
#[derive(Clone)]
pub struct TidegateLayer {
    host: Host,
    route: RouteFn,
    max_wait: Duration,
    exposed_headers: Arc<[HeaderName]>,
}

impl fmt::Debug for TidegateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TidegateLayer")
            .field("max_wait", &self.max_wait)
            .field("exposed_headers", &self.exposed_headers)
            .finish_non_exhaustive()
    }
}

impl TidegateLayer {
    /// Creates a layer that calls `route` for each request; if it returns `None`, the request is forwarded unchanged.
    ///
    /// The layer responds with 404 to a request whose platform has no limit in the configuration at that time.
    pub fn new(host: Host, route: impl Fn(&Parts) -> Option<Route> + Send + Sync + 'static) -> Self {
        Self { host, route: Arc::new(route), max_wait: Duration::ZERO, exposed_headers: Arc::new([]) }
    }

    /// Sets how long a request may wait for the limit before the layer responds with 429. The default is not to wait.
    #[must_use]
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Makes these request headers available to admission policies, in addition to those that `headers` in
    /// `[platforms.NAME]` names. The default is none.
    #[must_use]
    pub fn expose_headers(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exposed_headers = headers.into_iter().collect();
        self
    }

    /// Returns the request in the form that admission policies get.
    fn admission_request(&self, parts: &Parts, route: &Route) -> tidegate_core::Request {
        let config = self.host.config();
        let configured = config.platforms.get(&route.platform).map_or(&[][..], |platform| &platform.headers);
        let exposed = self.exposed_headers.iter().map(HeaderName::as_str);
        let configured = configured.iter().map(String::as_str);
        let configured = configured.filter(|name| !self.exposed_headers.iter().any(|exposed| exposed == name));
        let names = exposed.chain(configured);
        let present = names.filter_map(|name| Some((name, parts.headers.get(name)?.to_str().ok()?)));
        let mut request = tidegate_core::Request::new(route.platform.clone())
            .with_endpoint(route.endpoint.clone())
            .with_method(parts.method.as_str())
            .with_at_ms(self.host.clock().unix_ms())
            .with_labels(route.labels.clone());
        request.headers = present.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        request
    }
}

impl<S> tower_layer::Layer<S> for TidegateLayer {
    type Service = TidegateService<S>;

    fn layer(&self, inner: S) -> TidegateService<S> {
        TidegateService { layer: self.clone(), inner }
    }
}

/// A service that is wrapped by a [`TidegateLayer`].
#[derive(Clone, Debug)]
pub struct TidegateService<S> {
    layer: TidegateLayer,
    inner: S,
}

impl<S, B> Service<Request<B>> for TidegateService<S>
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
        // Each attempt waits until its own clone of the inner service is ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (layer, inner) = (self.layer.clone(), self.inner.clone());
        Box::pin(async move { Ok(layer.handle(inner, request).await) })
    }
}

impl TidegateLayer {
    async fn handle<S, B>(self, inner: S, request: Request<B>) -> Response<Body>
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
        let retry = match self.admit(&parts, &route).await {
            Ok(retry) => retry,
            Err(response) => return *response,
        };
        let outgoing = match OutgoingRequest::read(parts, incoming, route.idempotent).await {
            Ok(outgoing) => outgoing,
            Err(error) => {
                return plain_text(StatusCode::BAD_REQUEST, format!("could not read the request body: {error}"));
            }
        };
        let mut retry = retry.idempotent(outgoing.idempotent);
        if outgoing.single_use {
            retry = retry.max_attempts(1);
        }
        let mut attempts = 0;
        let (last_attempt, outgoing, platform, host) = (&mut attempts, &outgoing, &route.platform, &self.host);
        // The closure owns the service: a reference to it would require that services are `Sync`.
        let result = retry
            .run(move |Attempt { number, .. }| {
                *last_attempt = number;
                send_attempt(inner.clone(), outgoing.request(), platform, host)
            })
            .await;
        let (mut response, limit) = match result {
            Ok(response) => (response, route.platform),
            Err(CallError::GaveUp { error, .. }) => (error.into_response(), route.platform),
            Err(CallError::Refused { refused, .. }) => (fields::refused(&refused), refused.limit),
        };
        // The limit may have been removed from the configuration meanwhile.
        if let Ok(limiter) = self.host.limiter(&limit) {
            fields::add_limit_fields(&mut response, &limit, &limiter);
        }
        response.headers_mut().insert(ATTEMPTS_HEADER, HeaderValue::from(attempts));
        response
    }

    /// Returns the call with the limits that apply to the request, or the response if it is not admitted.
    async fn admit(&self, parts: &Parts, route: &Route) -> Result<Retry, Box<Response<Body>>> {
        let unknown = |error: &dyn std::error::Error| Box::new(plain_text(StatusCode::NOT_FOUND, error.to_string()));
        let retry = self.host.retry(&route.platform).map_err(|error| unknown(&error))?;
        let admitted = self.host.admit(&self.admission_request(parts, route)).await;
        let admitted = admitted.map_err(|error| match error.denied() {
            Some(denied) => Box::new(fields::denied(denied)),
            None => unknown(&error),
        })?;
        Ok(retry.endpoint(&route.endpoint).cost(route.cost).max_wait(self.max_wait).admitted(admitted))
    }
}
