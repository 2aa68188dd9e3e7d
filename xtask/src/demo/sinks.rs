//! Who receives alerts in the demo: a robot that checks signatures as DingTalk does, and a small mail server.

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

use super::listen;

/// DingTalk takes a signature for an hour.
const SIGNATURE_LIFE_MS: u64 = 3_600_000;

/// What a receiver took.
#[derive(Default)]
pub struct Inbox(Mutex<Vec<String>>);

impl Inbox {
    fn take(&self, message: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// How many messages hold all of these words.
    pub fn count(&self, words: &[&str]) -> usize {
        let messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().filter(|message| words.iter().all(|word| message.contains(word))).count()
    }
}

/// A robot that demands signatures.
struct Robot {
    secret: String,
    inbox: Arc<Inbox>,
}

/// Starts the robot on a free port; tells what it took and the webhook's address.
pub async fn robot(secret: &str) -> Result<(Arc<Inbox>, String), String> {
    let inbox = Arc::new(Inbox::default());
    let robot = Arc::new(Robot { secret: secret.to_owned(), inbox: Arc::clone(&inbox) });
    let address = listen(Router::new().route("/robot/send", post(send)).with_state(robot)).await?;
    Ok((inbox, format!("{address}/robot/send?access_token=demo")))
}

/// The parameters that a signed webhook is called with.
#[derive(serde::Deserialize)]
struct Signed {
    timestamp: Option<String>,
    sign: Option<String>,
}

/// As DingTalk does, it says no with HTTP 200.
async fn send(
    State(robot): State<Arc<Robot>>,
    Query(signed): Query<Signed>,
    Json(message): Json<Value>,
) -> Json<Value> {
    let (timestamp, sign) = (signed.timestamp.unwrap_or_default(), signed.sign.unwrap_or_default());
    if !is_signed(&robot.secret, &timestamp, &sign, unix_ms()) {
        return Json(json!({"errcode": 310_000, "errmsg": "sign not match"}));
    }
    robot.inbox.take(message.to_string());
    Json(json!({"errcode": 0, "errmsg": "ok"}))
}

/// Whether `sign` is base64(HMAC-SHA256(secret, "timestamp\nsecret")) and the timestamp is within the hour.
fn is_signed(secret: &str, timestamp: &str, sign: &str, now_ms: u64) -> bool {
    let recent = timestamp.parse().is_ok_and(|at: u64| at.abs_diff(now_ms) <= SIGNATURE_LIFE_MS);
    let (Ok(sign), Ok(mut mac)) = (BASE64.decode(sign), Hmac::<Sha256>::new_from_slice(secret.as_bytes())) else {
        return false;
    };
    mac.update(format!("{timestamp}\n{secret}").as_bytes());
    recent && mac.verify_slice(&sign).is_ok()
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Starts a mail server on a free port; tells what it took and the port.
pub async fn mailbox() -> Result<(Arc<Inbox>, u16), String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| format!("no port for mail: {error}"))?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let inbox = Arc::new(Inbox::default());
    let taken = Arc::clone(&inbox);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that hangs up in the middle of its mail has sent none.
            tokio::spawn(converse(stream, Arc::clone(&taken)));
        }
    });
    Ok((inbox, port))
}

/// The part of RFC 5321 that a mail needs, without time-outs, limits or extensions.
async fn converse(mut stream: TcpStream, inbox: Arc<Inbox>) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 demo\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" | "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => b"250 demo\r\n",
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let mut mail = String::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    mail.push_str(&line);
                    mail.push('\n');
                }
                inbox.take(mail);
                b"250 taken\r\n"
            }
            "QUIT" => return write.write_all(b"221 bye\r\n").await,
            _ => b"502 not known here\r\n",
        };
        write.write_all(reply).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed apart from this code: `printf '1700000000000\nSECdemo' | openssl dgst -sha256 -hmac SECdemo -binary |
    /// base64`.
    const SIGN: &str = "lOvVf9TQCVugV68mGbSZCg0gzOl1SVjxWi1MyVZCUuA=";
    const AT: u64 = 1_700_000_000_000;

    #[test]
    fn only_the_secret_s_own_signature_of_the_last_hour_is_taken() {
        let at = AT.to_string();
        let rows = [
            ("good", "SECdemo", SIGN, AT, true),
            ("an hour old", "SECdemo", SIGN, AT + SIGNATURE_LIFE_MS, true),
            ("older", "SECdemo", SIGN, AT + SIGNATURE_LIFE_MS + 1, false),
            ("too early", "SECdemo", SIGN, AT - SIGNATURE_LIFE_MS - 1, false),
            ("another secret", "SECother", SIGN, AT, false),
            ("none", "SECdemo", "", AT, false),
            ("no base64", "SECdemo", "%%%", AT, false),
        ];
        for (case, secret, sign, now, expected) in rows {
            assert_eq!(is_signed(secret, &at, sign, now), expected, "{case}");
        }
        assert!(!is_signed("SECdemo", &(AT + 1).to_string(), SIGN, AT), "the signature of another moment");
        assert!(!is_signed("SECdemo", "now", SIGN, AT), "no timestamp");
    }

    #[tokio::test]
    async fn an_unsigned_message_is_refused_as_dingtalk_does() {
        let (inbox, webhook) = robot("SECdemo").await.unwrap();
        let call = reqwest::Client::new().post(webhook).json(&json!({"msgtype": "text"}));
        let answer: Value = call.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["errcode"], 310_000);
        assert_eq!(inbox.count(&[]), 0);
    }

    #[tokio::test]
    async fn a_mail_is_taken_at_its_final_dot() {
        let (inbox, port) = mailbox().await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let talk = "EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: fire\r\n\r\nhot\r\n.\r\nQUIT\r\n";
        stream.write_all(talk.as_bytes()).await.unwrap();
        let mut replies = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut replies).await.unwrap();
        let codes: Vec<_> = replies.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "221"]);
        assert_eq!((inbox.count(&["Subject: fire", "hot"]), inbox.count(&["QUIT"])), (1, 0));
    }
}
