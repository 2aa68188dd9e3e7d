//! The tower layer: what a gateway's callers and platforms see of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tidegate::tower::{ATTEMPTS, Body, BoxError, Layer, PEEK, REPLAY, Route};
use tidegate::{Host, Quota, Rate};
use tower::{Layer as _, ServiceExt, service_fn};

/// What a platform answers to its attempts, one after the other; the last is repeated.
type Answers = Vec<Result<(u16, Vec<u8>), std::io::ErrorKind>>;

/// Sends one request through the layer and tells status, attempts, headers' value and body, and how often it was sent.
struct Told {
    response: Response<Bytes>,
    sent: usize,
    bodies: Vec<Bytes>,
}

async fn host(rate: &str, burst: u64) -> Host {
    let host = Host::builder().build().unwrap();
    host.limiter("taobao").unwrap().update(Quota::new(Rate::parse(rate).unwrap(), burst).unwrap()).await.unwrap();
    host
}

async fn send(host: &Host, request: Request<Full<Bytes>>, answers: Answers) -> Told {
    let sent = Arc::new(AtomicUsize::new(0));
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let platform = service_fn({
        let (sent, bodies) = (Arc::clone(&sent), Arc::clone(&bodies));
        move |request: Request<Body>| {
            let answer = answers[sent.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1)].clone();
            let bodies = Arc::clone(&bodies);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                bodies.lock().unwrap().push(body);
                let (status, body) = answer.map_err(|kind| BoxError::from(std::io::Error::from(kind)))?;
                Ok::<_, BoxError>(Response::builder().status(status).body(Body::from(body)).unwrap())
            }
        }
    });
    let layer = Layer::new(host.clone(), |request| {
        let path = request.uri.path();
        path.strip_prefix("/taobao").map(|endpoint| Route::new("taobao", endpoint))
    });
    let (parts, body) = layer.layer(platform).oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let bodies = bodies.lock().unwrap().clone();
    Told { response: Response::from_parts(parts, body), sent: sent.load(Ordering::Relaxed), bodies }
}

impl Told {
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

fn ok(status: u16, body: &str) -> Result<(u16, Vec<u8>), std::io::ErrorKind> {
    Ok((status, body.as_bytes().to_vec()))
}

#[tokio::test(start_paused = true)]
async fn a_request_is_repeated_until_the_platform_answers() {
    let host = host("100/s", 10).await;
    let told =
        send(&host, get("/taobao/x"), vec![ok(503, "down"), Err(std::io::ErrorKind::ConnectionReset), ok(200, "{}")])
            .await;
    assert_eq!((told.status(), told.sent, told.header(ATTEMPTS)), (200, 3, "3"));
    let stats = host.metrics().get("taobao", Some("/x"), Duration::from_secs(60));
    assert_eq!((stats.count, stats.errors), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn what_the_platform_said_last_is_passed_on() {
    let told = send(&host("100/s", 10).await, get("/taobao/x"), vec![ok(503, "down")]).await;
    assert_eq!((told.status(), told.response.body().as_ref()), (503, b"down".as_ref()));
    let told = send(&host("100/s", 10).await, get("/taobao/x"), vec![Err(std::io::ErrorKind::TimedOut)]).await;
    assert_eq!(told.status(), 504);
    let told = send(&host("100/s", 10).await, get("/taobao/x"), vec![Err(std::io::ErrorKind::ConnectionRefused)]).await;
    assert_eq!(told.status(), 502);
}

#[tokio::test(start_paused = true)]
async fn a_full_limit_answers_429_with_when_to_come_back() {
    let host = host("1/10s", 1).await;
    let first = send(&host, get("/taobao/x"), vec![ok(200, "{}")]).await;
    assert_eq!((first.status(), first.header("ratelimit")), (200, r#""taobao";r=0;t=10"#));
    let second = send(&host, get("/taobao/x"), vec![ok(200, "{}")]).await;
    assert_eq!((second.status(), second.sent), (429, 0));
    assert_eq!(second.header("retry-after"), "10");
    assert_eq!(second.header("ratelimit-policy"), r#""taobao";q=1;w=10"#);
    assert_eq!(second.header("ratelimit"), r#""taobao";r=0;t=10"#);
}

#[tokio::test(start_paused = true)]
async fn an_order_is_not_placed_twice() {
    let down = vec![ok(503, "down"), ok(200, "{}")];
    assert_eq!(send(&host("100/s", 10).await, post("/taobao/x"), down.clone()).await.sent, 1);
    // It may be repeated where it was turned away, or where the caller gave it a key.
    let told = send(&host("100/s", 10).await, post("/taobao/x"), vec![ok(429, "slow down"), ok(200, "{}")]).await;
    assert_eq!((told.status(), told.sent), (200, 2));
    assert_eq!(told.bodies, ["an order", "an order"]);
    let mut keyed = post("/taobao/x");
    keyed.headers_mut().insert("idempotency-key", "1".parse().unwrap());
    assert_eq!(send(&host("100/s", 10).await, keyed, down).await.sent, 2);
}

#[tokio::test(start_paused = true)]
async fn the_platform_is_asked_for_an_answer_that_can_be_read() {
    let platform = service_fn(async |request: Request<Body>| {
        assert_eq!(request.headers()["accept-encoding"], "identity");
        Ok::<_, BoxError>(Response::new(Body::from("{}")))
    });
    let service = Layer::new(host("100/s", 10).await, |_| Some(Route::new("taobao", "x"))).layer(platform);
    let mut request = get("/taobao/x");
    request.headers_mut().insert("accept-encoding", "gzip, br".parse().unwrap());
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn long_bodies_pass_whole_in_both_directions() {
    let long = vec![b'x'; REPLAY + 1];
    let request = Request::put("/taobao/x").body(Full::from(long.clone())).unwrap();
    let told = send(&host("100/s", 10).await, request, vec![ok(503, "down"), ok(200, "{}")]).await;
    assert_eq!((told.sent, told.bodies[0].len()), (1, long.len()), "it is gone once it is sent");
    let answer = vec![b'y'; PEEK * 3 + 7];
    let told = send(&host("100/s", 10).await, get("/taobao/x"), vec![Ok((200, answer.clone()))]).await;
    assert_eq!(told.response.body().as_ref(), answer);
}

#[tokio::test(start_paused = true)]
async fn what_no_limit_is_for_passes_untouched() {
    let told = send(&host("1/d", 1).await, get("/elsewhere"), vec![ok(503, "down")]).await;
    assert_eq!((told.status(), told.sent, told.header("ratelimit")), (503, 1, ""));
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_not_configured_is_refused() {
    let host = Host::builder().build().unwrap();
    let layer = Layer::new(host, |_| Some(Route::new("toabao", "x")));
    let service = layer.layer(service_fn(async |_: Request<Body>| Ok::<_, BoxError>(Response::new(Body::from("")))));
    let response = service.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains(r#"unknown platform "toabao""#));
}
