//! The receivers of notifications in the demo: a mock DingTalk robot that verifies signatures, and a small mail server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::loopback::serve_on_loopback;

/// How long DingTalk accepts a signature.
const SIGNATURE_LIFETIME_MS: u64 = 3_600_000;

/// The messages that a receiver has accepted.
#[derive(Default)]
pub struct Inbox(Mutex<Vec<String>>);

impl Inbox {
    fn push(&self, message: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// Returns the number of messages that contain all of these words.
    pub fn count(&self, words: &[&str]) -> usize {
        let messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().filter(|message| words.iter().all(|word| message.contains(word))).count()
    }
}

/// A mock DingTalk robot that requires signatures.
struct DingTalkRobot {
    secret: String,
    inbox: Arc<Inbox>,
}

/// Starts a robot on a free port and returns its inbox and the URL of its webhook.
pub async fn start_dingtalk_robot(secret: &str) -> Result<(Arc<Inbox>, String), String> {
    let inbox = Arc::new(Inbox::default());
    let robot = Arc::new(DingTalkRobot { secret: secret.to_owned(), inbox: Arc::clone(&inbox) });
    let address = serve_on_loopback(Router::new().route("/robot/send", post(send)).with_state(robot)).await?;
    Ok((inbox, format!("{address}/robot/send?access_token=demo")))
}

/// The query parameters of a signed call.
#[derive(serde::Deserialize)]
struct SignatureQuery {
    timestamp: Option<String>,
    sign: Option<String>,
}

/// Accepts a signed message. Like DingTalk, it reports a wrong signature with HTTP 200 and an error code.
async fn send(
    State(robot): State<Arc<DingTalkRobot>>,
    Query(query): Query<SignatureQuery>,
    Json(message): Json<Value>,
) -> Json<Value> {
    let (timestamp, sign) = (query.timestamp.unwrap_or_default(), query.sign.unwrap_or_default());
    if !has_valid_signature(&robot.secret, &timestamp, &sign, unix_ms()) {
        return Json(json!({"errcode": 310_000, "errmsg": "sign not match"}));
    }
    robot.inbox.push(message.to_string());
    Json(json!({"errcode": 0, "errmsg": "ok"}))
}

/// Returns whether `sign` is base64(HMAC-SHA256(secret, "timestamp\nsecret")) and the timestamp differs from `now_ms`
/// by at most one hour.
fn has_valid_signature(secret: &str, timestamp: &str, sign: &str, now_ms: u64) -> bool {
    let recent = timestamp.parse().is_ok_and(|at: u64| at.abs_diff(now_ms) <= SIGNATURE_LIFETIME_MS);
    let (Ok(sign), Ok(mut mac)) = (BASE64.decode(sign), Hmac::<Sha256>::new_from_slice(secret.as_bytes())) else {
        return false;
    };
    mac.update(format!("{timestamp}\n{secret}").as_bytes());
    recent && mac.verify_slice(&sign).is_ok()
}

fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Starts a mail server on a free port and returns its inbox and the port.
pub async fn start_mail_server() -> Result<(Arc<Inbox>, u16), String> {
    let listener =
        TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| format!("cannot bind a port for mail: {error}"))?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let inbox = Arc::new(Inbox::default());
    let shared_inbox = Arc::clone(&inbox);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // If the client disconnects before the end of its mail, the mail is discarded.
            tokio::spawn(serve_smtp(stream, Arc::clone(&shared_inbox)));
        }
    });
    Ok((inbox, port))
}

/// Implements the part of RFC 5321 that is needed to receive a mail, without timeouts, limits or extensions.
async fn serve_smtp(mut stream: TcpStream, inbox: Arc<Inbox>) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 demo\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" | "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => b"250 demo\r\n",
            "DATA" => {
                write.write_all(b"354 send the mail\r\n").await?;
                let mut mail = String::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    mail.push_str(&line);
                    mail.push('\n');
                }
                inbox.push(mail);
                b"250 accepted\r\n"
            }
            "QUIT" => return write.write_all(b"221 bye\r\n").await,
            _ => b"502 command not implemented\r\n",
        };
        write.write_all(reply).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another program:
    /// `printf '1700000000000\nSECdemo' | openssl dgst -sha256 -hmac SECdemo -binary | base64`.
    const SIGN: &str = "lOvVf9TQCVugV68mGbSZCg0gzOl1SVjxWi1MyVZCUuA=";
    const SIGNED_AT_MS: u64 = 1_700_000_000_000;

    #[test]
    fn signature_is_valid_for_its_secret_and_for_one_hour() {
        let timestamp = SIGNED_AT_MS.to_string();
        let rows = [
            ("valid", "SECdemo", SIGN, SIGNED_AT_MS, true),
            ("an hour old", "SECdemo", SIGN, SIGNED_AT_MS + SIGNATURE_LIFETIME_MS, true),
            ("older than an hour", "SECdemo", SIGN, SIGNED_AT_MS + SIGNATURE_LIFETIME_MS + 1, false),
            ("too far in the future", "SECdemo", SIGN, SIGNED_AT_MS - SIGNATURE_LIFETIME_MS - 1, false),
            ("another secret", "SECother", SIGN, SIGNED_AT_MS, false),
            ("no signature", "SECdemo", "", SIGNED_AT_MS, false),
            ("invalid base64", "SECdemo", "%%%", SIGNED_AT_MS, false),
        ];
        for (case, secret, sign, now, expected) in rows {
            assert_eq!(has_valid_signature(secret, &timestamp, sign, now), expected, "{case}");
        }
        assert!(
            !has_valid_signature("SECdemo", &(SIGNED_AT_MS + 1).to_string(), SIGN, SIGNED_AT_MS),
            "the signature of another timestamp"
        );
        assert!(!has_valid_signature("SECdemo", "now", SIGN, SIGNED_AT_MS), "invalid timestamp");
    }

    #[tokio::test]
    async fn unsigned_message_is_rejected_with_the_error_code_of_dingtalk() {
        let (inbox, webhook) = start_dingtalk_robot("SECdemo").await.unwrap();
        let call = reqwest::Client::new().post(webhook).json(&json!({"msgtype": "text"}));
        let response: Value = call.send().await.unwrap().json().await.unwrap();
        assert_eq!(response["errcode"], 310_000);
        assert_eq!(inbox.count(&[]), 0);
    }

    #[tokio::test]
    async fn mail_is_accepted_after_its_final_dot() {
        let (inbox, port) = start_mail_server().await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let commands =
            "EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: alert\r\n\r\nbody\r\n.\r\nQUIT\r\n";
        stream.write_all(commands.as_bytes()).await.unwrap();
        let mut replies = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut replies).await.unwrap();
        let codes: Vec<_> = replies.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "221"]);
        assert_eq!((inbox.count(&["Subject: alert", "body"]), inbox.count(&["QUIT"])), (1, 0));
    }
}
