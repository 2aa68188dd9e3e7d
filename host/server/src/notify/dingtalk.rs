//! A DingTalk robot: signed, slow enough, short enough, and its answer read.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use tidegate::core::notify::Sending;
use tidegate::core::{Notification, Notifier, NotifyError, Secret};

use super::pace::Pace;
use super::{TIMEOUT, message, permanent, quoted, root_cause, transient};

/// The most bytes of a message, as sent.
const MAX_BODY: usize = 20_000;

/// How long DingTalk is deaf to a robot that sent too fast.
const SILENCE: Duration = Duration::from_secs(600);

/// A robot's webhook; the address holds its token, so neither is ever shown.
pub(super) struct DingTalk {
    webhook: Url,
    secret: Option<Secret>,
    client: Client,
    pace: Arc<Pace>,
}

#[derive(Deserialize)]
struct Answer {
    errcode: i64,
    #[serde(default)]
    errmsg: String,
}

impl DingTalk {
    pub(super) fn new(webhook: &Secret, secret: Option<Secret>, pace: Arc<Pace>) -> Result<Self, String> {
        let webhook = Url::parse(webhook.expose()).map_err(|error| format!("`webhook` is no address: {error}"))?;
        // A redirect would carry the token to wherever it points.
        let client = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).build();
        let client = client.map_err(|error| format!("no HTTP client: {}", root_cause(&error)))?;
        Ok(Self { webhook, secret, client, pace })
    }

    async fn deliver(&self, notification: &Notification) -> Result<(), NotifyError> {
        let too_many = "too many messages wait: DingTalk takes 20 a minute from a robot";
        self.pace.turn().await.map_err(|wait| transient(too_many, Some(wait)))?;
        let request = self.client.post(self.address(SystemTime::now())).header("content-type", "application/json");
        let sent = request.body(body(notification)).send().await;
        match sent {
            Ok(response) => self.judge(response).await,
            Err(error) => Err(unsent(error)),
        }
    }

    /// The webhook with the signature of this moment; DingTalk wants it by the wall clock, within an hour.
    fn address(&self, now: SystemTime) -> Url {
        let mut url = self.webhook.clone();
        if let Some(secret) = &self.secret {
            let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
            // The pairs are encoded here, and nowhere else.
            url.query_pairs_mut().append_pair("sign", &sign(secret, &timestamp)).append_pair("timestamp", &timestamp);
        }
        url
    }

    async fn judge(&self, response: Response) -> Result<(), NotifyError> {
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after(&response);
            let busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            let message = format!("DingTalk answered HTTP {}", status.as_u16());
            return Err(if busy { transient(message, retry_after) } else { permanent(message) });
        }
        let body = response.bytes().await.map_err(unsent)?;
        match serde_json::from_slice::<Answer>(&body) {
            Ok(Answer { errcode: 0, .. }) => Ok(()),
            Ok(answer) => Err(self.refusal(&answer)),
            Err(_) => Err(permanent("the answer has no errcode: is the webhook that of a DingTalk robot?")),
        }
    }

    /// HTTP 200 with an `errcode` is a refusal.
    fn refusal(&self, Answer { errcode, errmsg }: &Answer) -> NotifyError {
        let hint = match errcode {
            130_101 => "sent too fast",
            310_000 => {
                "the robot's security settings say no: check the signing secret, its keywords or its IP addresses"
            }
            460_101 | 101_002 => "the message is too long",
            400_402 => "the message has no title",
            _ => "see DingTalk's list of error codes",
        };
        let message = format!("DingTalk refused with errcode {errcode}: {hint} ({})", quoted(errmsg, &self.secrets()));
        if *errcode == 130_101 { transient(message, Some(SILENCE)) } else { permanent(message) }
    }

    fn secrets(&self) -> Vec<String> {
        let values = self.webhook.query_pairs().map(|(_, value)| value.into_owned());
        values.chain(self.secret.iter().map(|secret| secret.expose().to_owned())).collect()
    }
}

impl Notifier for DingTalk {
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        Box::pin(self.deliver(notification))
    }
}

/// Base64 of HMAC-SHA256 with the secret as key over `timestamp` in milliseconds, a line break and the secret.
fn sign(secret: &Secret, timestamp: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any length");
    mac.update(format!("{timestamp}\n{}", secret.expose()).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The message as JSON; its text is cut until the whole fits, since escapes make it longer than it looks.
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
        // A byte of text is at most two of JSON; each round halves the excess at least.
        text = message::cut(&text, text.len().saturating_sub(excess.div_ceil(2)));
    }
}

/// The wait in seconds that the receiver asked for.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error of the connection, without the address in it.
fn unsent(error: reqwest::Error) -> NotifyError {
    let error = error.without_url();
    let what = if error.is_timeout() { "DingTalk did not answer in time" } else { "DingTalk cannot be reached" };
    transient(format!("{what}: {}", root_cause(&error)), None)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::notify::tests::notification;

    #[test]
    fn the_signature_is_that_of_the_documented_recipe() {
        // printf '1700000000000\nSECtest' | openssl dgst -sha256 -hmac SECtest -binary | base64
        assert_eq!(sign(&Secret::new("SECtest"), "1700000000000"), "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g=");
    }

    #[test]
    fn the_longest_message_fits_and_is_still_json() {
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
