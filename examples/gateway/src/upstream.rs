//! The platforms behind the gateway, as a tower service.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderName, Request, Response, Uri};
use http_body_util::BodyExt;
use tidegate::tower::{Body, BoxError};
use tower::Service;

/// Headers that speak of one connection and are not passed on (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Sends `/{platform}/{path}` to the platform's address.
#[derive(Clone)]
pub struct Upstreams {
    client: reqwest::Client,
    addresses: Arc<BTreeMap<String, String>>,
}

impl Upstreams {
    pub fn new(addresses: BTreeMap<String, String>, timeout: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { client: client.map_err(|error| error.to_string())?, addresses: Arc::new(addresses) })
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let (platform, path) = split(&parts.uri).ok_or("the path names no platform")?;
        let address = self.addresses.get(platform).ok_or_else(|| format!("no --upstream for {platform}"))?;
        let query = parts.uri.query().map_or(String::new(), |query| format!("?{query}"));
        let body = body.collect().await?.to_bytes();
        let mut sent = self.client.request(parts.method, format!("{address}{path}{query}")).body(body);
        for (name, value) in parts.headers.iter().filter(|(name, _)| passes(name)) {
            sent = sent.header(name, value);
        }
        // The query may carry a token, so the address stays out of the error.
        let answer = sent.send().await.map_err(reqwest::Error::without_url).map_err(timed_out)?;
        let answer: Response<reqwest::Body> = answer.into();
        let (mut parts, body) = answer.into_parts();
        parts.headers = parts.headers.iter().filter(|(n, _)| passes(n)).map(|(n, v)| (n.clone(), v.clone())).collect();
        Ok(Response::from_parts(parts, Body::new(body)))
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

/// A time-out of the client, told in a type that the layer knows.
fn timed_out(error: reqwest::Error) -> BoxError {
    if error.is_timeout() { std::io::Error::new(std::io::ErrorKind::TimedOut, error).into() } else { error.into() }
}

fn passes(name: &HeaderName) -> bool {
    !HOP_BY_HOP.contains(&name.as_str())
}

/// The platform and the path behind it.
pub fn split(uri: &Uri) -> Option<(&str, &str)> {
    let rest = uri.path().strip_prefix('/')?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (platform, path) = rest.split_at(end);
    (!platform.is_empty()).then_some((platform, path))
}

/// Reads `PLATFORM=URL`.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (platform, url) =
        text.split_once('=').ok_or("expected PLATFORM=URL, such as taobao=https://gw.api.taobao.com")?;
    let url: reqwest::Url = url.parse().map_err(|error| format!("{url}: {error}"))?;
    Ok((platform.to_owned(), url.as_str().trim_end_matches('/').to_owned()))
}
