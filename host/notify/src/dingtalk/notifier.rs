//! Sends messages to a DingTalk robot.
//!
//! The notifier signs every message, keeps the robot's rate limit and size limit, and checks the error code in the
//! response.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use tidegate_core::config::ChannelError;
use tidegate_core::notify::SendFuture;
use tidegate_core::{Clock, Notification, Notifier, NotifyError, Secret};

use super::DingTalk;
use super::rate_limiter::RobotRateLimiter;
use crate::message;
use crate::receiver::{TIMEOUT, redacted, root_cause};

/// The maximum size of a request body, in bytes.
const MAX_BODY: usize = 20_000;

/// How long DingTalk rejects messages from a robot that exceeded its rate limit.
const RATE_LIMIT_BLOCK: Duration = Duration::from_secs(600);

/// Sends messages to a robot's webhook. The webhook URL contains the token, so no message or error contains the URL.
pub struct DingTalkNotifier {
    webhook: Url,
    signing_secret: Option<Secret>,
    client: Client,
    clock: Arc<dyn Clock>,
    limiter: Arc<RobotRateLimiter>,
}

/// The body of a response from DingTalk.
#[derive(Deserialize)]
struct RobotResponse {
    errcode: i64,
    #[serde(default)]
    errmsg: String,
}

impl DingTalkNotifier {
    pub fn new(
        channel: &DingTalk,
        clock: Arc<dyn Clock>,
        limiter: Arc<RobotRateLimiter>,
    ) -> Result<Self, ChannelError> {
        let webhook = Url::parse(channel.webhook.expose()).map_err(ChannelError::new)?;
        // Following a redirect would send the token to another host.
        let client = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).build();
        let no_client = |error| ChannelError::new(format!("cannot create the HTTP client: {}", root_cause(&error)));
        let signing_secret = channel.signing_secret.clone();
        Ok(Self { webhook, signing_secret, client: client.map_err(no_client)?, clock, limiter })
    }

    async fn deliver(&self, notification: &Notification) -> Result<(), NotifyError> {
        let queue_full = "too many messages are queued: DingTalk accepts 20 per minute from one robot";
        let full = |wait| NotifyError::transient(queue_full).with_retry_after(wait);
        self.limiter.acquire().await.map_err(full)?;
        let request =
            self.client.post(self.signed_url(self.clock.unix_ms())).header("content-type", "application/json");
        match request.body(body(notification)).send().await {
            Ok(response) => self.check_response(response).await,
            Err(error) => Err(connection_error(error)),
        }
    }

    /// Returns the webhook URL with a signature for the time `now_ms`. DingTalk accepts a timestamp that differs from
    /// its own clock by at most one hour.
    fn signed_url(&self, now_ms: u64) -> Url {
        let mut url = self.webhook.clone();
        if let Some(secret) = &self.signing_secret {
            let timestamp = now_ms.to_string();
            // `append_pair` percent-encodes the values, so they must not be encoded before.
            url.query_pairs_mut().append_pair("sign", &sign(secret, &timestamp)).append_pair("timestamp", &timestamp);
        }
        url
    }

    async fn check_response(&self, response: Response) -> Result<(), NotifyError> {
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after(&response);
            let is_transient = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            let message = format!("DingTalk responded with HTTP {}", status.as_u16());
            return Err(if is_transient {
                let error = NotifyError::transient(message);
                match retry_after {
                    Some(wait) => error.with_retry_after(wait),
                    None => error,
                }
            } else {
                NotifyError::permanent(message)
            });
        }
        let body = response.bytes().await.map_err(connection_error)?;
        match serde_json::from_slice::<RobotResponse>(&body) {
            Ok(RobotResponse { errcode: 0, .. }) => Ok(()),
            Ok(response) => Err(self.robot_error(&response)),
            Err(_) => Err(NotifyError::permanent(
                "the response has no `errcode`: check that `webhook` is the URL of a DingTalk robot",
            )),
        }
    }

    /// Returns the error for a response with HTTP 200 and an `errcode` that is not 0.
    fn robot_error(&self, RobotResponse { errcode, errmsg }: &RobotResponse) -> NotifyError {
        let hint = match errcode {
            130_101 => "messages are sent too fast",
            310_000 => {
                "the robot's security settings reject the message: check the signing secret, keywords and IP addresses"
            }
            460_101 | 101_002 => "the message is too long",
            400_402 => "the message has no title",
            _ => "see DingTalk's list of error codes",
        };
        let errmsg = redacted(errmsg, &self.secrets());
        let message = format!("DingTalk rejected the message with errcode {errcode}: {hint} ({errmsg})");
        match errcode {
            130_101 => NotifyError::transient(message).with_retry_after(RATE_LIMIT_BLOCK),
            _ => NotifyError::permanent(message),
        }
    }

    fn secrets(&self) -> Vec<String> {
        let values = self.webhook.query_pairs().map(|(_, value)| value.into_owned());
        values.chain(self.signing_secret.iter().map(|secret| secret.expose().to_owned())).collect()
    }
}

impl Notifier for DingTalkNotifier {
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
        Box::pin(self.deliver(notification))
    }
}

/// Returns the Base64 of an HMAC-SHA256. The key is the secret. The data is `timestamp` in milliseconds, a line feed
/// and the secret.
fn sign(secret: &Secret, timestamp: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC accepts keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any length");
    mac.update(format!("{timestamp}\n{}", secret.expose()).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Returns the request body as JSON. The text is truncated until the body fits: JSON escapes can double its size.
fn body(notification: &Notification) -> String {
    let title = message::title(notification);
    let facts = message::facts(notification).into_iter().map(|(name, value)| format!("- **{name}**: {value}\n"));
    let mut text = format!("### {title}\n\n{}", facts.collect::<String>());
    loop {
        let markdown = json!({ "title": title, "text": text });
        let body = json!({ "msgtype": "markdown", "markdown": markdown }).to_string();
        let excess = body.len().saturating_sub(MAX_BODY);
        if excess == 0 {
            return body;
        }
        // One byte of text becomes at most two bytes of JSON, so each round at least halves the excess.
        text = message::truncate(&text, text.len().saturating_sub(excess.div_ceil(2)));
    }
}

/// Returns the wait that the `Retry-After` header asks for, if it is a number of seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Converts a connection error. The message does not contain the URL.
fn connection_error(error: reqwest::Error) -> NotifyError {
    let error = error.without_url();
    let message = if error.is_timeout() { "DingTalk did not respond in time" } else { "DingTalk cannot be reached" };
    NotifyError::transient(format!("{message}: {}", root_cause(&error)))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::tests::notification;

    #[test]
    fn signature_matches_the_documented_algorithm() {
        // printf '1700000000000\nSECtest' | openssl dgst -sha256 -hmac SECtest -binary | base64
        assert_eq!(sign(&Secret::new("SECtest"), "1700000000000"), "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g=");
    }

    #[test]
    fn longest_message_fits_and_is_valid_json() {
        for (filler, count) in [("x", 50_000), ("\"", 50_000), ("速", 20_000), ("\\\n", 30_000), ("x", 10)] {
            let mut long = notification();
            long.detail = Some(filler.repeat(count));
            long.endpoint = Some(filler.repeat(count));
            let body = body(&long);
            assert!(body.len() <= MAX_BODY, "{filler}: {} bytes", body.len());
            assert!(count < 100 || body.len() > MAX_BODY * 9 / 10, "{filler}: cut to {} bytes", body.len());
            let json: Value = serde_json::from_str(&body).unwrap();
            assert!(
                json["markdown"]["title"].as_str().unwrap().starts_with("[critical] high_error_rate firing: taobao")
            );
        }
    }
}
