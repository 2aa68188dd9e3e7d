//! The tower layer of a gateway, as its callers and its platforms see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tidegate::tower::{ATTEMPTS_HEADER, Body, BoxError, MAX_INSPECTED_BODY, MAX_REPLAYED_BODY, Route, TidegateLayer};
use tidegate::{Config, Host, Quota};
use tower::{Layer, ServiceExt, service_fn};

/// The result of one attempt: a status and a body, or a transport error.
type PlatformResult = Result<(u16, Vec<u8>), std::io::ErrorKind>;

/// The response of the layer, the number of requests that the platform received, and their bodies.
struct Exchange {
    response: Response<Bytes>,
    sent: usize,
    bodies: Vec<Bytes>,
}

async fn host(rate: &str, burst: u64) -> Host {
    let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    host.limiter("taobao").unwrap().update(Quota::new(rate.parse().unwrap(), burst).unwrap()).await.unwrap();
    host
}

/// Sends one request through the layer. The platform returns the results in order and repeats the last one.
async fn send(host: &Host, request: Request<Full<Bytes>>, results: Vec<PlatformResult>) -> Exchange {
    let sent = Arc::new(AtomicUsize::new(0));
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let platform = service_fn({
        let (sent, bodies) = (Arc::clone(&sent), Arc::clone(&bodies));
        move |request: Request<Body>| {
            let result = results[sent.fetch_add(1, Ordering::Relaxed).min(results.len() - 1)].clone();
            let bodies = Arc::clone(&bodies);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                bodies.lock().unwrap().push(body);
                let (status, body) = result.map_err(|kind| BoxError::from(std::io::Error::from(kind)))?;
                Ok::<_, BoxError>(Response::builder().status(status).body(Body::from(body)).unwrap())
            }
        }
    });
    let layer = TidegateLayer::new(host.clone(), |request| {
        let path = request.uri.path();
        path.strip_prefix("/taobao").map(|endpoint| Route::new("taobao", endpoint))
    });
    let (parts, body) = layer.layer(platform).oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let bodies = bodies.lock().unwrap().clone();
    Exchange { response: Response::from_parts(parts, body), sent: sent.load(Ordering::Relaxed), bodies }
}

impl Exchange {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

fn post(path: &str) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from("an order")).unwrap()
}

fn response(status: u16, body: &str) -> PlatformResult {
    Ok((status, body.as_bytes().to_vec()))
}

#[tokio::test(start_paused = true)]
async fn failed_request_is_retried_until_it_succeeds() {
    let host = host("100/s", 10).await;
    let exchange = send(
        &host,
        get("/taobao/x"),
        vec![response(503, "down"), Err(std::io::ErrorKind::ConnectionReset), response(200, "{}")],
    )
    .await;
    assert_eq!((exchange.status(), exchange.sent, exchange.header(ATTEMPTS_HEADER)), (200, 3, "3"));
    let stats = host.metrics().stats("taobao", Some("/x"), Duration::from_secs(60));
    assert_eq!((stats.count, stats.errors), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn last_failure_is_returned_to_the_caller() {
    let exchange = send(&host("100/s", 10).await, get("/taobao/x"), vec![response(503, "down")]).await;
    assert_eq!((exchange.status(), exchange.response.body().as_ref()), (503, b"down".as_ref()));
    let exchange = send(&host("100/s", 10).await, get("/taobao/x"), vec![Err(std::io::ErrorKind::TimedOut)]).await;
    assert_eq!(exchange.status(), 504);
    let exchange =
        send(&host("100/s", 10).await, get("/taobao/x"), vec![Err(std::io::ErrorKind::ConnectionRefused)]).await;
    assert_eq!(exchange.status(), 502);
}

#[tokio::test(start_paused = true)]
async fn exhausted_limit_returns_429_with_retry_after() {
    let host = host("1/10s", 1).await;
    let first = send(&host, get("/taobao/x"), vec![response(200, "{}")]).await;
    assert_eq!((first.status(), first.header("ratelimit")), (200, r#""taobao";r=0;t=10"#));
    let second = send(&host, get("/taobao/x"), vec![response(200, "{}")]).await;
    assert_eq!((second.status(), second.sent), (429, 0));
    assert_eq!(second.header("retry-after"), "10");
    assert_eq!(second.header("ratelimit-policy"), r#""taobao";q=1;w=10"#);
    assert_eq!(second.header("ratelimit"), r#""taobao";r=0;t=10"#);
}

#[tokio::test(start_paused = true)]
async fn post_is_retried_only_if_throttled_or_with_an_idempotency_key() {
    let down = vec![response(503, "down"), response(200, "{}")];
    assert_eq!(send(&host("100/s", 10).await, post("/taobao/x"), down.clone()).await.sent, 1);
    // A retry is allowed if the platform rejected the request, or if the request has an idempotency key.
    let exchange =
        send(&host("100/s", 10).await, post("/taobao/x"), vec![response(429, "slow down"), response(200, "{}")]).await;
    assert_eq!((exchange.status(), exchange.sent), (200, 2));
    assert_eq!(exchange.bodies, ["an order", "an order"]);
    let mut keyed = post("/taobao/x");
    keyed.headers_mut().insert("idempotency-key", "1".parse().unwrap());
    assert_eq!(send(&host("100/s", 10).await, keyed, down).await.sent, 2);
}

#[tokio::test(start_paused = true)]
async fn layer_requests_an_uncompressed_response() {
    let platform = service_fn(async |request: Request<Body>| {
        assert_eq!(request.headers()["accept-encoding"], "identity");
        Ok::<_, BoxError>(Response::new(Body::from("{}")))
    });
    let service = TidegateLayer::new(host("100/s", 10).await, |_| Some(Route::new("taobao", "x"))).layer(platform);
    let mut request = get("/taobao/x");
    request.headers_mut().insert("accept-encoding", "gzip, br".parse().unwrap());
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn long_bodies_pass_unchanged_in_both_directions() {
    let long = vec![b'x'; MAX_REPLAYED_BODY + 1];
    let request = Request::put("/taobao/x").body(Full::from(long.clone())).unwrap();
    let exchange = send(&host("100/s", 10).await, request, vec![response(503, "down"), response(200, "{}")]).await;
    assert_eq!(
        (exchange.sent, exchange.bodies[0].len()),
        (1, long.len()),
        "a body that is too long to buffer is sent only once"
    );
    let body = vec![b'y'; MAX_INSPECTED_BODY * 3 + 7];
    let exchange = send(&host("100/s", 10).await, get("/taobao/x"), vec![Ok((200, body.clone()))]).await;
    assert_eq!(exchange.response.body().as_ref(), body);
}

#[tokio::test(start_paused = true)]
async fn request_without_a_route_passes_unchanged() {
    let exchange = send(&host("1/d", 1).await, get("/elsewhere"), vec![response(503, "down")]).await;
    assert_eq!((exchange.status(), exchange.sent, exchange.header("ratelimit")), (503, 1, ""));
}

#[tokio::test(start_paused = true)]
async fn unknown_platform_is_rejected() {
    let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    let layer = TidegateLayer::new(host, |_| Some(Route::new("toabao", "x")));
    let service = layer.layer(service_fn(async |_: Request<Body>| Ok::<_, BoxError>(Response::new(Body::from("")))));
    let response = service.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains(r#"unknown platform "toabao""#));
}

#[tokio::test(start_paused = true)]
async fn admission_policies_see_the_headers_that_the_configuration_adds() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("admit")).unwrap();
    let script = r#"deny(`${header("X-Trace")} ${header("X-Other")}.`, 403)"#;
    std::fs::write(dir.path().join("admit/shop.rhai"), script).unwrap();
    let policies = tidegate_policy::Policies::open(&crate::policies::policies_config(dir.path()));
    assert_eq!(policies.reload().rejected, BTreeMap::new());
    let text = "limits.shop = { rate = '1/s', burst = 1 }\nplatforms.shop.headers = ['x-trace']";
    let config = Config::parse(text).unwrap();
    let host = Host::builder().config(config).policies(policies).build().unwrap();
    let layer = TidegateLayer::new(host, |_| Some(Route::new("shop", "x")));
    let service = layer.layer(service_fn(async |_: Request<Body>| Ok::<_, BoxError>(Response::new(Body::from("")))));
    let request = Request::get("/").header("X-Trace", "t").header("X-Other", "secret").body(Full::<Bytes>::default());
    let response = service.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "t .\n");
}

#[tokio::test(start_paused = true)]
async fn platform_has_its_own_retry_bounds() {
    let text = "presets = ['platforms']\nplatforms.taobao.retry = { max_attempts = 2, base_delay = '10ms', max_delay = '10ms' }";
    let config = Config::parse(text).unwrap();
    let host = Host::builder().config(config).build().unwrap();
    let start = tokio::time::Instant::now();
    let exchange = send(&host, get("/taobao/x"), vec![response(503, "down")]).await;
    assert_eq!((exchange.status(), exchange.sent), (503, 2));
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    let down = tidegate::Failure::response(503).with_platform("jd").with_attempt(2);
    let advice = host.advise(&down, tidegate::CallOptions::default()).await;
    assert!(advice.delay().is_some(), "other platforms have the bounds of [retry]");
}
