//! Mock platforms that respond like Taobao and Pinduoduo, have a scheduled outage, and log when calls arrive.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http_body::Frame;
use serde_json::{Value, json};

use super::loopback::serve_on_loopback;

/// The time of the outage, measured from the first call.
pub const OUTAGE: std::ops::Range<Duration> = Duration::from_secs(6)..Duration::from_millis(8_500);

/// How long the gateway waits for a response.
pub const TIMEOUT: Duration = Duration::from_millis(800);

/// The response of a mock platform to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MockResponse {
    /// The requested order.
    Order,
    /// The requested order after a delay.
    SlowOrder,
    /// HTTP 200 with a temporary error in the body.
    Busy,
    /// HTTP 503.
    Unavailable,
    /// The connection breaks before the response is complete.
    Broken,
    /// No response within the gateway's [`TIMEOUT`].
    Hang,
    /// HTTP 200 with a permanent error in the body.
    NoSuchOrder,
}

/// Returns the percentage of calls with a temporary failure: low before the outage, high during it, medium after it.
fn failure_percent(age: Duration) -> u64 {
    if age < OUTAGE.start {
        5
    } else if age < OUTAGE.end {
        90
    } else {
        16
    }
}

/// The platform that a mock platform imitates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformKind {
    /// Taobao: errors have a `code` and a `sub_code`; the retry policy is a Rhai script.
    Taobao,
    /// Pinduoduo: errors have an `error_code`; the retry policy is a Wasm component.
    Pdd,
}

impl PlatformKind {
    /// Returns the name of the platform.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taobao => "taobao",
            Self::Pdd => "pdd",
        }
    }

    /// Returns the seed of the pseudo-random responses.
    ///
    /// Few calls are made before the outage. With another seed, more than 10 % of them can fail by chance, and the
    /// alert would fire before the outage.
    fn seed(self) -> u64 {
        match self {
            Self::Taobao => 0,
            Self::Pdd => 6 << 32,
        }
    }
}

/// Returns the response to call number `number`. It is the same in every run.
fn response_to(kind: PlatformKind, number: u64, age: Duration) -> MockResponse {
    let random = mix(kind.seed() + number);
    let (failure_percentile, response_percentile) = (random % 100, random / 100 % 100);
    match (failure_percentile < failure_percent(age), response_percentile) {
        (true, 0..50) => MockResponse::Busy,
        (true, 50..75) => MockResponse::Unavailable,
        (true, 75..90) => MockResponse::Broken,
        (true, _) => MockResponse::Hang,
        (false, 0) => MockResponse::NoSuchOrder,
        (false, 1..4) => MockResponse::SlowOrder,
        (false, _) => MockResponse::Order,
    }
}

/// Returns a pseudo-random number for each input: the finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A mock platform with a log of its calls.
pub struct MockPlatform {
    kind: PlatformKind,
    started: Instant,
    arrivals: Mutex<Vec<u64>>,
}

impl MockPlatform {
    /// Starts a platform on a free port and returns it with its URL.
    pub async fn start(kind: PlatformKind) -> Result<(Arc<Self>, String), String> {
        let platform = Arc::new(Self { kind, started: Instant::now(), arrivals: Mutex::default() });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&platform));
        Ok((platform, serve_on_loopback(router).await?))
    }

    /// Returns the number of microseconds since the platform started.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns the arrival time of each call, in microseconds since the platform started.
    pub fn arrivals(&self) -> Vec<u64> {
        self.log().clone()
    }

    /// Logs a call and returns its number and the time since the first call.
    fn record_call(&self) -> (u64, Duration) {
        let mut arrivals = self.log();
        // The clock is read while the lock is held, so that the log is sorted by time.
        let now = self.now_us();
        let number = arrivals.len() as u64;
        let first = *arrivals.first().unwrap_or(&now);
        arrivals.push(now);
        (number, Duration::from_micros(now - first))
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.arrivals.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn serve(State(platform): State<Arc<MockPlatform>>) -> Response {
    let (number, age) = platform.record_call();
    match response_to(platform.kind, number, age) {
        MockResponse::Order => order(platform.kind, number),
        MockResponse::SlowOrder => {
            tokio::time::sleep(TIMEOUT / 2).await;
            order(platform.kind, number)
        }
        MockResponse::Busy => busy(platform.kind),
        MockResponse::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        MockResponse::Broken => Body::new(BrokenBody).into_response(),
        MockResponse::Hang => {
            tokio::time::sleep(TIMEOUT * 3).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        MockResponse::NoSuchOrder => no_such_order(platform.kind),
    }
}

fn order(kind: PlatformKind, number: u64) -> Response {
    Json(match kind {
        PlatformKind::Taobao => {
            let trade = json!({"tid": 3_000_000 + number, "status": "TRADE_FINISHED", "payment": "88.00"});
            json!({"trade_fullinfo_get_response": {"trade": trade}})
        }
        PlatformKind::Pdd => {
            let order = json!({"order_sn": format!("261123-{number}"), "order_status": 3});
            json!({"order_info_get_response": {"order_info": order}})
        }
    })
    .into_response()
}

/// Returns an error that the platform's documentation describes as temporary.
fn busy(kind: PlatformKind) -> Response {
    error(match kind {
        PlatformKind::Taobao => {
            json!({"code": 15, "msg": "Remote service error", "sub_code": "isp.remote-service-timeout"})
        }
        PlatformKind::Pdd => json!({"error_code": 52_102, "error_msg": "API degraded, retry later", "sub_code": null}),
    })
}

/// Returns a permanent error. For Taobao, only the sub code distinguishes it from a temporary one.
fn no_such_order(kind: PlatformKind) -> Response {
    error(match kind {
        PlatformKind::Taobao => json!({"code": 15, "msg": "Remote service error", "sub_code": "isv.trade-not-exist"}),
        PlatformKind::Pdd => json!({"error_code": 10_001, "error_msg": "parameter error", "sub_code": null}),
    })
}

fn error(details: Value) -> Response {
    Json(json!({"error_response": details})).into_response()
}

/// A body that fails, which makes the server close the connection.
struct BrokenBody;

impl HttpBody for BrokenBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the percentage of calls at this age whose response matches `predicate`.
    fn percentage(age: Duration, predicate: impl Fn(MockResponse) -> bool) -> f64 {
        (0..10_000).filter(|number| predicate(response_to(PlatformKind::Taobao, *number, age))).count() as f64 / 100.0
    }

    #[test]
    fn failure_percentage_follows_the_schedule() {
        let temporary = |response| {
            matches!(
                response,
                MockResponse::Busy | MockResponse::Unavailable | MockResponse::Broken | MockResponse::Hang
            )
        };
        for age in [Duration::ZERO, OUTAGE.start, OUTAGE.end] {
            let (actual, expected) = (percentage(age, temporary), failure_percent(age) as f64);
            assert!((actual - expected).abs() < 1.5, "{actual} % instead of {expected} % at {age:?}");
            let permanent = percentage(age, |response| response == MockResponse::NoSuchOrder);
            assert!(permanent > 0.0 && permanent < 2.0, "{permanent} % at {age:?}");
        }
    }

    #[tokio::test]
    async fn log_contains_every_call_including_one_whose_connection_breaks() {
        let (platform, address) = MockPlatform::start(PlatformKind::Pdd).await.unwrap();
        let is_broken = |number: &u64| response_to(PlatformKind::Pdd, *number, Duration::ZERO) == MockResponse::Broken;
        let broken = (0..).find(is_broken).unwrap();
        let client = reqwest::Client::builder().timeout(TIMEOUT * 2).build().unwrap();
        for number in 0..=broken {
            let response = client.get(&address).send().await;
            let timed_out = response.as_ref().is_err_and(reqwest::Error::is_timeout);
            assert_eq!(response.is_err() && !timed_out, number == broken, "call {number}: {response:?}");
        }
        let arrivals = platform.arrivals();
        assert_eq!(arrivals.len() as u64, broken + 1);
        assert!(arrivals.is_sorted());
    }
}
