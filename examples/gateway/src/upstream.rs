//! The platforms behind the gateway, as a tower service.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::State;
use axum::middleware::Next;
use axum::response::IntoResponse;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use tidegate::tower::{Body, BoxError, MAX_REPLAYED_BODY};
use tower::Service;

/// Headers that belong to one connection and are not forwarded (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Forwards `/{platform}/{path}` to the platform's base URL.
#[derive(Clone)]
pub struct Upstreams {
    client: reqwest::Client,
    base_urls: Arc<BTreeMap<String, String>>,
}

impl Upstreams {
    pub fn new(base_urls: BTreeMap<String, String>, timeout: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { client: client.map_err(|error| error.to_string())?, base_urls: Arc::new(base_urls) })
    }

    /// Returns the base URL of the platform that the path names, and the rest of the path.
    fn find<'a>(&'a self, uri: &'a Uri) -> Result<(&'a str, &'a str), String> {
        let (platform, path) = split(uri).ok_or("expected a path such as /taobao/router/rest")?;
        let base_url = self.base_urls.get(platform);
        let base_url =
            base_url.ok_or_else(|| format!("unknown platform {platform:?}: there is no --upstream for it"))?;
        Ok((base_url, path))
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let (base_url, path) = self.find(&parts.uri)?;
        let query = parts.uri.query().map_or(String::new(), |query| format!("?{query}"));
        let mut outgoing = self.client.request(parts.method, format!("{base_url}{path}{query}"));
        outgoing = match body.size_hint().exact() {
            Some(length) if length <= MAX_REPLAYED_BODY as u64 => outgoing.body(body.collect().await?.to_bytes()),
            _ => outgoing.body(reqwest::Body::wrap_stream(body.into_data_stream())),
        };
        // The query can contain a token, so the error must not contain the URL.
        let response = outgoing.headers(forwarded(&parts.headers)).send().await.map_err(reqwest::Error::without_url);
        let (mut parts, body) = Response::<reqwest::Body>::from(response.map_err(upstream_error)?).into_parts();
        parts.headers = forwarded(&parts.headers);
        Ok(Response::from_parts(parts, Body::new(body.map_err(upstream_error))))
    }
}

impl Service<Request<Body>> for Upstreams {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// Converts an error of the client. A timeout becomes an [`std::io::Error`], which the tower layer recognizes.
fn upstream_error(error: reqwest::Error) -> BoxError {
    if error.is_timeout() { std::io::Error::new(std::io::ErrorKind::TimedOut, error).into() } else { error.into() }
}

/// Returns the headers to forward: all except hop-by-hop headers and those that `Connection` names.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<_> = named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    let is_forwarded =
        |name: &HeaderName| !HOP_BY_HOP.contains(&name.as_str()) && !named.iter().any(|other| other == name.as_str());
    let forwarded = headers.iter().filter(|(name, _)| is_forwarded(name));
    forwarded.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Rejects paths that can leave the upstream's base path: those with dot segments, plain or encoded, and those with
/// backslashes, which some servers read as `/`.
pub async fn reject_dot_segments(request: axum::extract::Request, next: Next) -> axum::response::Response {
    let path = request.uri().path().to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    if path.contains('\\') || path.split('/').any(|segment| segment == "." || segment == "..") {
        return (StatusCode::BAD_REQUEST, "expected a path without dot segments or backslashes\n").into_response();
    }
    next.run(request).await
}

/// Rejects a request for a platform without an upstream before it takes a token or is counted as a failed call.
pub async fn require_upstream(
    State(upstreams): State<Upstreams>,
    request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    if let Err(error) = upstreams.find(request.uri()) {
        return (StatusCode::NOT_FOUND, error + "\n").into_response();
    }
    next.run(request).await
}

/// Splits a URI path into the platform and the rest of the path.
pub fn split(uri: &Uri) -> Option<(&str, &str)> {
    let rest = uri.path().strip_prefix('/')?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (platform, path) = rest.split_at(end);
    (!platform.is_empty()).then_some((platform, path))
}

/// Parses `PLATFORM=URL`.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (platform, url) =
        text.split_once('=').ok_or("expected PLATFORM=URL, for example taobao=https://gw.api.taobao.com")?;
    let url: reqwest::Url = url.parse().map_err(|error| format!("{url}: {error}"))?;
    Ok((platform.to_owned(), url.as_str().trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_headers_are_not_forwarded() {
        let headers = [("connection", "x-secret, close"), ("x-secret", "1"), ("te", "x"), ("x-forwarded", "1")];
        let headers = headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = headers.collect::<Vec<(HeaderName, http::HeaderValue)>>().into_iter().collect();
        assert_eq!(forwarded(&headers).keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-forwarded"]);
    }

    #[tokio::test]
    async fn platform_without_an_upstream_is_not_found() {
        let base_urls = BTreeMap::from([("taobao".to_owned(), "http://localhost".to_owned())]);
        let upstreams = Upstreams::new(base_urls, Duration::from_secs(1)).unwrap();
        let require = axum::middleware::from_fn_with_state(upstreams, require_upstream);
        let app = axum::Router::new().fallback(async || "in").layer(require);
        for (path, status) in [("/taobao/router/rest", 200), ("/taobao", 200), ("/jd/x", 404), ("/", 404)] {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(app.clone(), request).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path}");
        }
    }

    #[tokio::test]
    async fn path_cannot_leave_the_base_path() {
        let app = axum::Router::new().fallback(async || "in").layer(axum::middleware::from_fn(reject_dot_segments));
        let rows = [
            ("/taobao/router/rest", 200),
            ("/taobao/v1.2/a..b", 200),
            ("/taobao/../admin", 400),
            ("/taobao/%2e%2E/admin", 400),
            ("/taobao/.%2e/admin", 400),
            ("/taobao/x%2f..%2fadmin", 400),
            ("/taobao/..%5cadmin", 400),
        ];
        for (path, status) in rows {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(app.clone(), request).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path}");
        }
    }

    /// A body whose first part arrives and whose rest never does.
    struct StalledBody(bool);

    impl HttpBody for StalledBody {
        type Data = bytes::Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, BoxError>>> {
            let first = std::mem::replace(&mut self.0, false);
            if first { Poll::Ready(Some(Ok(http_body::Frame::data("part".into())))) } else { Poll::Pending }
        }
    }

    fn upstreams(address: std::net::SocketAddr, timeout: Duration) -> Upstreams {
        Upstreams::new([("jd".to_owned(), format!("http://{address}"))].into(), timeout).unwrap()
    }

    #[tokio::test]
    async fn long_request_body_is_streamed_to_the_platform() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let first_part = async |request: axum::extract::Request| {
            let frame = request.into_body().frame().await.unwrap().unwrap();
            frame.into_data().unwrap()
        };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(first_part)).await });
        let request = Request::post("/jd/upload").body(Body::new(StalledBody(true))).unwrap();
        // A proxy that buffers the whole body first would never receive this response.
        let limit = Duration::from_secs(20);
        let response = tokio::time::timeout(limit, upstreams(address, limit).call(request)).await;
        let body = response.expect("the first part arrives").unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "part");
    }

    #[tokio::test]
    async fn stalled_response_body_is_a_timeout() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal").unwrap();
            // Keep the connection open until the test ends.
            sender.send(stream).unwrap();
        });
        let host = tidegate::Host::builder().config(tidegate::Config::with_platforms()).build().unwrap();
        let layer = tidegate::tower::TidegateLayer::new(host, |_| Some(tidegate::tower::Route::new("jd", "/x")));
        let service = tower::Layer::layer(&layer, upstreams(address, Duration::from_millis(100)));
        // A POST that the platform may have executed is not retried.
        let request = Request::post("/jd/x").body(Body::from("order")).unwrap();
        let response = tower::ServiceExt::oneshot(service, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        drop(receiver);
    }
}
