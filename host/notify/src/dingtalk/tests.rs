use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tidegate_core::ManualClock;

use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::receiver::TIMEOUT;
use crate::tests::{HIDDEN, NOW_MS, notification, open, parse_channel, send_error};

const SIGNING_SECRET: &str = "SEChunter2";

type QueryPairs = BTreeMap<String, String>;

/// The status, `Retry-After` and body of a response.
type ScriptedResponse = (u16, &'static str, String);

/// A webhook with scripted responses, which records the requests that it receives.
#[derive(Clone, Default)]
struct Webhook {
    responses: Arc<Mutex<VecDeque<ScriptedResponse>>>,
    received: Arc<Mutex<Vec<(QueryPairs, Value)>>>,
}

impl Webhook {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let redirected = get(|| async { "a redirect was followed" });
        let app = Router::new().route("/robot/send", post(receive)).route("/elsewhere", redirected);
        let app = app.with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}/robot/send?access_token={HIDDEN}")
    }

    fn respond(&self, status: u16, retry_after: &'static str, body: impl Into<String>) {
        self.responses.lock().unwrap().push_back((status, retry_after, body.into()));
    }
}

async fn receive(
    State(webhook): State<Webhook>,
    Query(query): Query<QueryPairs>,
    headers: HeaderMap,
    body: String,
) -> Response {
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    webhook.received.lock().unwrap().push((query, serde_json::from_str(&body).unwrap()));
    let (status, retry_after, body) = webhook.responses.lock().unwrap().pop_front().unwrap();
    let headers = [(header::RETRY_AFTER, retry_after), (header::LOCATION, "/elsewhere")];
    (StatusCode::from_u16(status).unwrap(), headers, body).into_response()
}

fn channel(webhook: String, signing_secret: Option<&str>) -> DingTalk {
    let channel = DingTalk::new(Secret::new(webhook)).unwrap();
    match signing_secret {
        Some(secret) => channel.signing_secret(Secret::new(secret)),
        None => channel,
    }
}

fn dingtalk(webhook: String, signing_secret: Option<&str>) -> Arc<dyn Notifier> {
    open(&channel(webhook, signing_secret))
}

fn errcode(errcode: i64, errmsg: &str) -> String {
    format!(r#"{{"errcode":{errcode},"errmsg":"{errmsg}"}}"#)
}

#[tokio::test]
async fn message_is_signed_and_contains_title_and_statistics() {
    let webhook = Webhook::default();
    webhook.respond(200, "", errcode(0, "ok"));
    dingtalk(webhook.serve().await, Some(SIGNING_SECRET)).send(&notification()).await.unwrap();

    let (query, message) = webhook.received.lock().unwrap().remove(0);
    assert_eq!(query["access_token"], HIDDEN);
    let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING_SECRET.as_bytes()).unwrap();
    mac.update(format!("{}\n{SIGNING_SECRET}", query["timestamp"]).as_bytes());
    assert_eq!(STANDARD.decode(&query["sign"]).unwrap(), mac.finalize().into_bytes().as_slice());
    assert_eq!(query["timestamp"], NOW_MS.to_string());

    assert_eq!(message["msgtype"], "markdown");
    assert_eq!(message["markdown"]["title"], "[critical] high_error_rate firing: taobao");
    let expected = "### [critical] high_error_rate firing: taobao\n\n\
                    - **Condition**: error_rate > 0.1\n\
                    - **Attempts**: 200 sent, 25 failed (12.5 %); 3 more refused by the rate limit\n\
                    - **Duration**: p50 80 ms, p95 410 ms, p99 900 ms\n\
                    - **Window**: 2026-11-23 03:55:00 UTC to 2026-11-23 04:00:00 UTC\n\
                    - **Evaluated at**: 2026-11-23 04:00:00 UTC\n";
    assert_eq!(message["markdown"]["text"], expected);
}

#[tokio::test]
async fn message_is_not_signed_without_a_secret() {
    let webhook = Webhook::default();
    webhook.respond(200, "", errcode(0, "ok"));
    dingtalk(webhook.serve().await, None).send(&notification()).await.unwrap();
    let keys: Vec<_> = webhook.received.lock().unwrap()[0].0.keys().cloned().collect();
    assert_eq!(keys, ["access_token"]);
}

#[tokio::test]
async fn each_error_says_whether_and_when_to_retry() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let rows = [
        // status, Retry-After, body, transient, retry_after, message
        (
            200,
            "",
            errcode(130_101, "send too fast"),
            true,
            seconds(600),
            "errcode 130101: messages are sent too fast (send too fast)",
        ),
        (200, "", errcode(310_000, "sign not match"), false, None, "check the signing secret"),
        (200, "", errcode(460_101, "message too long"), false, None, "the message is too long"),
        (200, "", errcode(101_002, "message too long"), false, None, "the message is too long"),
        (200, "", errcode(400_402, "miss param"), false, None, "the message has no title"),
        (200, "", errcode(12_345, "token hunter2, key SEChunter2"), false, None, "errcode 12345"),
        (200, "", "<html>".to_owned(), false, None, "no `errcode`"),
        (200, "", "{}".to_owned(), false, None, "no `errcode`"),
        (302, "", String::new(), false, None, "HTTP 302"),
        (403, "9", String::new(), false, None, "HTTP 403"),
        (429, "7", String::new(), true, seconds(7), "HTTP 429"),
        (500, "", String::new(), true, None, "HTTP 500"),
    ];
    for (status, header, body, transient, retry_after, message) in rows {
        // Each row uses its own robot, so that the robot's rate limit does not apply.
        let webhook = Webhook::default();
        webhook.respond(status, header, body);
        let error = send_error(&*dingtalk(webhook.serve().await, Some(SIGNING_SECRET))).await;
        assert_eq!((error.is_transient(), error.retry_after()), (transient, retry_after), "{status} {error}");
        assert!(error.message().contains(message), "{status} {error}");
    }
}

#[tokio::test]
async fn message_that_would_wait_too_long_is_not_sent() {
    let webhook = Webhook::default();
    let clock = Arc::new(ManualClock::default());
    let limiter = Arc::new(RobotRateLimiter::new(clock.clone()).unwrap());
    // Ten messages are sent at once, and a hundred wait for up to ten minutes.
    let mut waiting = vec![];
    for _ in 0..110 {
        let limiter = Arc::clone(&limiter);
        waiting.push(tokio::spawn(async move { limiter.acquire().await }));
        tokio::task::yield_now().await;
    }
    let notifier = DingTalkNotifier::new(&channel(webhook.serve().await, None), clock, limiter).unwrap();
    let error = send_error(&notifier).await;
    assert_eq!((error.is_transient(), error.retry_after()), (true, Some(Duration::from_secs(606))));
    assert_eq!(webhook.received.lock().unwrap().len(), 0);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn webhook_that_never_responds_times_out_after_ten_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/?access_token={HIDDEN}", listener.local_addr().unwrap());
    let notifier = dingtalk(webhook, None);
    let start = Instant::now();
    let error = send_error(&*notifier).await;
    assert!(error.is_transient(), "{error}");
    assert!((TIMEOUT..TIMEOUT + Duration::from_secs(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn unreachable_webhook_is_a_transient_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/?access_token={HIDDEN}", listener.local_addr().unwrap());
    drop(listener);
    let error = send_error(&*dingtalk(webhook, Some(HIDDEN))).await;
    assert!(error.is_transient() && error.message().contains("cannot be reached"), "{error}");
}

#[test]
fn section_is_read() {
    let webhook = "https://oapi.dingtalk.com/robot/send?access_token=hunter2";
    let section = format!("kind = 'dingtalk'\nwebhook = '{webhook}'\n");
    assert_eq!(parse_channel(&section).unwrap(), channel(webhook.to_owned(), None).into());
    let signed = parse_channel(&(section + "secret = 'hunter2'")).unwrap();
    assert_eq!(signed, channel(webhook.to_owned(), Some("hunter2")).into());
}

#[test]
fn mistakes_of_a_section_are_reported_without_secrets() {
    let expected = "expected the complete URL that DingTalk shows, starting with https://";
    let rows = [
        ("", "1:11: channels.ops: `webhook` is missing; give `webhook`, `webhook_env` or `webhook_file`".to_owned()),
        (
            "webhook = 'hunter2'",
            format!("3:11: channels.ops.webhook: {expected}; the value is not a URL: relative URL without a base"),
        ),
        (
            "webhook = 'https://[hunter2'",
            format!("3:11: channels.ops.webhook: {expected}; the value is not a URL: invalid IPv6 address"),
        ),
        ("webhook = 'ftp://hunter2'", format!("3:11: channels.ops.webhook: {expected}")),
        ("webhook = 'https://a'\nsecret = ''", "4:10: channels.ops.secret: the value is empty".to_owned()),
    ];
    for (keys, expected) in rows {
        assert_eq!(parse_channel(&format!("kind = 'dingtalk'\n{keys}")).unwrap_err(), [expected], "{keys}");
    }
}
