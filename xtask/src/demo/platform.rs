//! Platforms that answer the way Taobao and Pinduoduo do, with a bad spell on schedule, and keep their own logs.

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

use super::listen;

/// When the platform is down, counted from its first call.
pub const OUTAGE: std::ops::Range<Duration> = Duration::from_secs(6)..Duration::from_millis(8_500);

/// How long the gateway waits for an answer.
pub const TIMEOUT: Duration = Duration::from_millis(800);

/// What the platform makes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was asked for.
    Order,
    /// The same, after a while.
    SlowOrder,
    /// HTTP 200 with a passing error inside.
    Busy,
    /// HTTP 503.
    Unavailable,
    /// The connection breaks off before an answer.
    Broken,
    /// No answer within the gateway's [`TIMEOUT`].
    Hangs,
    /// HTTP 200 with an error inside that no retry mends.
    NoSuchOrder,
}

/// How many of 100 calls fail in passing: calm first, then down, then shaky.
fn failing(age: Duration) -> u64 {
    if age < OUTAGE.start {
        5
    } else if age < OUTAGE.end {
        90
    } else {
        16
    }
}

/// Whose errors a platform speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `code` and `sub_code`; its classifier is a Rhai script.
    Taobao,
    /// `error_code`; its classifier is a Wasm component.
    Pdd,
}

impl Dialect {
    /// The platform's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taobao => "taobao",
            Self::Pdd => "pdd",
        }
    }

    /// Where its dice begin. With a seed picked blindly chance alone may pass 10 % of the few calls of the calm
    /// seconds, and the alert would fire before the outage.
    fn seed(self) -> u64 {
        match self {
            Self::Taobao => 0,
            Self::Pdd => 6 << 32,
        }
    }
}

/// The answer to call number `number`, the same in every run.
fn answer(dialect: Dialect, number: u64, age: Duration) -> Answer {
    let dice = scatter(dialect.seed() + number);
    let (hundred, kind) = (dice % 100, dice / 100 % 100);
    match (hundred < failing(age), kind) {
        (true, 0..50) => Answer::Busy,
        (true, 50..75) => Answer::Unavailable,
        (true, 75..90) => Answer::Broken,
        (true, _) => Answer::Hangs,
        (false, 0) => Answer::NoSuchOrder,
        (false, 1..4) => Answer::SlowOrder,
        (false, _) => Answer::Order,
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014): neighbours in, unrelated numbers out.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The platform's log.
pub struct Platform {
    dialect: Dialect,
    started: Instant,
    arrivals: Mutex<Vec<u64>>,
}

impl Platform {
    /// Starts the platform on a free port and tells its address.
    pub async fn start(dialect: Dialect) -> Result<(Arc<Self>, String), String> {
        let platform = Arc::new(Self { dialect, started: Instant::now(), arrivals: Mutex::default() });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&platform));
        Ok((platform, listen(router).await?))
    }

    /// Microseconds since the platform started.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When each request came, in microseconds since the platform started.
    pub fn arrivals(&self) -> Vec<u64> {
        self.log().clone()
    }

    /// Writes a request down; tells its number and the time since the first.
    fn note(&self) -> (u64, Duration) {
        let mut arrivals = self.log();
        // Read under the lock, so that the log is in order of time.
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

async fn serve(State(platform): State<Arc<Platform>>) -> Response {
    let (number, age) = platform.note();
    match answer(platform.dialect, number, age) {
        Answer::Order => order(platform.dialect, number),
        Answer::SlowOrder => {
            tokio::time::sleep(TIMEOUT / 2).await;
            order(platform.dialect, number)
        }
        Answer::Busy => busy(platform.dialect),
        Answer::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Answer::Broken => Body::new(BreaksOff).into_response(),
        Answer::Hangs => {
            tokio::time::sleep(TIMEOUT * 3).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Answer::NoSuchOrder => no_such_order(platform.dialect),
    }
}

fn order(dialect: Dialect, number: u64) -> Response {
    Json(match dialect {
        Dialect::Taobao => {
            let trade = json!({"tid": 3_000_000 + number, "status": "TRADE_FINISHED", "payment": "88.00"});
            json!({"trade_fullinfo_get_response": {"trade": trade}})
        }
        Dialect::Pdd => {
            let order = json!({"order_sn": format!("261123-{number}"), "order_status": 3});
            json!({"order_info_get_response": {"order_info": order}})
        }
    })
    .into_response()
}

/// Worth another call, says the platform's documentation.
fn busy(dialect: Dialect) -> Response {
    error(match dialect {
        Dialect::Taobao => json!({"code": 15, "msg": "Remote service error", "sub_code": "isp.remote-service-timeout"}),
        Dialect::Pdd => json!({"error_code": 52_102, "error_msg": "API degraded, retry later", "sub_code": null}),
    })
}

/// Not worth another; Taobao says so by the sub code alone.
fn no_such_order(dialect: Dialect) -> Response {
    error(match dialect {
        Dialect::Taobao => json!({"code": 15, "msg": "Remote service error", "sub_code": "isv.trade-not-exist"}),
        Dialect::Pdd => json!({"error_code": 10_001, "error_msg": "parameter error", "sub_code": null}),
    })
}

fn error(told: Value) -> Response {
    Json(json!({"error_response": told})).into_response()
}

/// A body that fails, upon which the server cuts the connection.
struct BreaksOff;

impl HttpBody for BreaksOff {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 100 calls at this age, how many get an answer that `wanted` picks.
    fn share(age: Duration, wanted: impl Fn(Answer) -> bool) -> f64 {
        (0..10_000).filter(|number| wanted(answer(Dialect::Taobao, *number, age))).count() as f64 / 100.0
    }

    #[test]
    fn calls_fail_as_often_as_the_schedule_says() {
        let passing = |answer| matches!(answer, Answer::Busy | Answer::Unavailable | Answer::Broken | Answer::Hangs);
        for age in [Duration::ZERO, OUTAGE.start, OUTAGE.end] {
            let (seen, said) = (share(age, passing), failing(age) as f64);
            assert!((seen - said).abs() < 1.5, "{seen} of 100 for {said} at {age:?}");
            let beyond_help = share(age, |answer| answer == Answer::NoSuchOrder);
            assert!(beyond_help > 0.0 && beyond_help < 2.0, "{beyond_help} of 100 at {age:?}");
        }
    }

    #[tokio::test]
    async fn every_request_is_in_the_log_up_to_the_first_that_breaks_off() {
        let (platform, address) = Platform::start(Dialect::Pdd).await.unwrap();
        let breaks = (0..).find(|number| answer(Dialect::Pdd, *number, Duration::ZERO) == Answer::Broken).unwrap();
        let client = reqwest::Client::builder().timeout(TIMEOUT * 2).build().unwrap();
        for number in 0..=breaks {
            let answer = client.get(&address).send().await;
            let hangs = answer.as_ref().is_err_and(reqwest::Error::is_timeout);
            assert_eq!(answer.is_err() && !hangs, number == breaks, "call {number}: {answer:?}");
        }
        let arrivals = platform.arrivals();
        assert_eq!(arrivals.len() as u64, breaks + 1);
        assert!(arrivals.is_sorted());
    }
}
