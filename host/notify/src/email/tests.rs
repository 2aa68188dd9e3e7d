use std::io;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::*;
use crate::receiver::TIMEOUT;
use crate::tests::{HIDDEN, notification, open, parse, parse_channel, send_error};

const RECIPIENTS: [&str; 2] = ["a@example.com", "Ops <b@example.com>"];

/// A mail server with one scripted reply. It accepts everything else and records every line that it receives.
struct MailSink {
    /// The prefix of a command, and the reply to it.
    script: (&'static str, &'static str),
    /// The extension in the reply to EHLO.
    extension: &'static str,
}

impl MailSink {
    /// Serves on a free port. Returns the port and the lines that all connections receive.
    async fn serve(self) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(vec![]));
        let lines = received.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // An error means that the client closed the connection.
                let _ = self.serve_connection(stream, &lines).await;
            }
        });
        (port, received)
    }

    async fn serve_connection(&self, stream: TcpStream, received: &Mutex<Vec<String>>) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 sink ready\r\n").await?;
        let (mut line, mut data) = (String::new(), false);
        while stream.read_line(&mut line).await? > 0 {
            let command = std::mem::take(&mut line).trim_end().to_owned();
            received.lock().unwrap().push(command.clone());
            let reply = match command.as_str() {
                "." => self.reply("."),
                _ if data => None,
                _ => self.reply(&command),
            };
            data = (data && command != ".") || reply.as_deref().is_some_and(|reply| reply.starts_with("354"));
            if let Some(reply) = reply {
                stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            }
        }
        Ok(())
    }

    fn reply(&self, command: &str) -> Option<String> {
        let (prefix, reply) = self.script;
        let verb = command.split([' ', ':']).next().unwrap_or_default();
        Some(match verb {
            _ if command.starts_with(prefix) => reply.to_owned(),
            "EHLO" => format!("250-sink\r\n250 {}", self.extension),
            "AUTH" => "235 authenticated".to_owned(),
            "DATA" => "354 start mail input".to_owned(),
            _ => "250 ok".to_owned(),
        })
    }
}

fn email(port: u16, starttls: bool) -> Email {
    let email = Email::new("127.0.0.1", port, "tidegate <alerts@example.com>", &RECIPIENTS).unwrap();
    let email = email.credentials("robot", Secret::new(HIDDEN));
    if starttls { email } else { email.without_encryption() }
}

async fn channel(sink: MailSink, starttls: bool) -> (Arc<dyn Notifier>, Arc<Mutex<Vec<String>>>) {
    let (port, received) = sink.serve().await;
    (open(&email(port, starttls)), received)
}

#[tokio::test]
async fn mail_reaches_every_recipient_with_subject_and_statistics() {
    let (mail, received) = channel(MailSink { script: ("never", ""), extension: "AUTH PLAIN" }, false).await;
    mail.send(&notification()).await.unwrap();
    let received = received.lock().unwrap().join("\n");
    for line in [
        "AUTH PLAIN AHJvYm90AGh1bnRlcjI=", // base64 of "\0robot\0hunter2"
        "MAIL FROM:<alerts@example.com>",
        "RCPT TO:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "Subject: [critical] high_error_rate firing: taobao",
        "Date: Mon, 23 Nov 2026 04:00:01 +0000",
        "Content-Type: text/plain; charset=utf-8",
        "Condition: error_rate > 0.1",
        "Attempts: 200 sent, 25 failed (12.5 %); 3 more refused by the rate limit",
        "Duration: p50 80 ms, p95 410 ms, p99 900 ms",
        "Window: 2026-11-23 03:55:00 UTC to 2026-11-23 04:00:00 UTC",
    ] {
        assert!(received.lines().any(|received| received.starts_with(line)), "{line} is missing in\n{received}");
    }
}

#[tokio::test]
async fn each_smtp_error_is_classified_as_transient_or_permanent() {
    let rows = [
        // command, reply, transient, message
        ("EHLO", "421 closing", true, "temporary error 421: closing"),
        ("AUTH", "535 wrong password hunter2", false, "permanent error 535: wrong password ***"),
        ("AUTH", "535 rejected AHJvYm90AGh1bnRlcjI= today", false, "permanent error 535: rejected *** today"),
        ("AUTH", "454 try later", true, "temporary error 454"),
        ("MAIL", "550 sender rejected", false, "permanent error 550: sender rejected"),
        ("RCPT", "450 greylisted", true, "temporary error 450: greylisted"),
        ("RCPT", "550 no such user", false, "permanent error 550"),
        ("DATA", "451 disk full", true, "temporary error 451"),
        (".", "554 spam", false, "permanent error 554: spam"),
        (".", "452 too many", true, "temporary error 452"),
    ];
    for (command, reply, transient, message) in rows {
        let (mail, _) = channel(MailSink { script: (command, reply), extension: "AUTH PLAIN" }, false).await;
        let error = send_error(&*mail).await;
        assert_eq!((error.is_transient(), error.retry_after()), (transient, None), "{command} {reply}: {error}");
        assert!(error.message().contains(message), "{command} {reply}: {error}");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_starttls_if_it_is_required() {
    let (mail, received) = channel(MailSink { script: ("never", ""), extension: "AUTH PLAIN" }, true).await;
    let error = send_error(&*mail).await;
    assert!(!error.is_transient() && error.message().contains("STARTTLS is not supported"), "{error}");
    let verbs = |received: &Mutex<Vec<String>>| -> Vec<String> {
        received.lock().unwrap().iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    assert!(verbs(&received).iter().all(|verb| verb == "EHLO" || verb == "QUIT"), "{received:?}");

    let (mail, received) =
        channel(MailSink { script: ("STARTTLS", "454 no TLS today"), extension: "STARTTLS" }, true).await;
    let error = send_error(&*mail).await;
    assert!(error.is_transient() && error.message().contains("no TLS today"), "{error}");
    assert_eq!(verbs(&received)[..2], ["EHLO", "STARTTLS"]);
    assert!(verbs(&received)[2..].iter().all(|verb| verb == "QUIT"), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn mail_server_that_never_responds_times_out_after_ten_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let notifier = open(&email(listener.local_addr().unwrap().port(), false));
    let start = Instant::now();
    let error = send_error(&*notifier).await;
    assert!(error.is_transient(), "{error}");
    assert!((TIMEOUT..TIMEOUT + Duration::from_secs(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn unreachable_mail_server_is_a_transient_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = send_error(&*open(&email(port, false))).await;
    assert!(error.is_transient() && error.message().contains("cannot be reached"), "{error}");
}

#[test]
fn section_is_read() {
    let section = "kind = 'email'\nhost = 'smtp.example.com'\nport = 587\ntls = 'starttls'\nusername = 'u'\n\
                   password = 'hunter2'\nfrom = 'tidegate <a@b.c>'\nto = ['d@e.f', 'g@h.i']";
    let email = Email::new("smtp.example.com", 587, "tidegate <a@b.c>", &["d@e.f", "g@h.i"]).unwrap();
    assert_eq!(parse_channel(section).unwrap(), email.credentials("u", Secret::new("hunter2")).into());
    let section = "kind = 'email'\nhost = 'h'\nport = 25\ntls = 'none'\nfrom = 'a@b'\nto = ['c@d']";
    let email = Email::new("h", 25, "a@b", &["c@d"]).unwrap();
    assert_eq!(parse_channel(section).unwrap(), email.without_encryption().into());
}

#[test]
fn mistakes_of_a_section_are_reported_without_secrets() {
    let text = r#"[channels.e]
kind = "email"
host = "smtp://x/"
port = 65536
tls = "yes"
username = "u"
from = "ops"
to = ["a@b", "c@", 5]
[channels.f]
kind = "email"
host = "x"
port = 25
tls = "none"
password = "hunter2"
from = "a@b"
to = []
"#;
    let address = "expected an address such as \"ops@example.com\" or \"Ops <ops@example.com>\", found";
    let expected = [
        r#"3:8: channels.e.host: expected a host name such as "smtp.example.com""#,
        "4:8: channels.e.port: expected a whole number from 1 to 65535, found 65536",
        r#"5:7: channels.e.tls: expected "starttls" or "none", found "yes""#,
        "6:12: channels.e.username: a user name requires a password; give `password`, `password_env` or `password_file`",
        &format!("7:8: channels.e.from: {address} \"ops\""),
        &format!("8:14: channels.e.to: {address} \"c@\""),
        "8:20: channels.e.to: expected a string in quotes, found an integer",
        "14:12: channels.f.password: a password requires a user name; give `username`",
        "16:6: channels.f.to: expected at least one recipient",
    ];
    assert_eq!(parse(text).unwrap_err(), expected);
}

#[test]
fn invalid_addresses_are_rejected_without_a_file_too() {
    let error = |host: &str, from: &str, to: &[&str]| Email::new(host, 25, from, to).unwrap_err().to_string();
    assert_eq!(error("h", "a@b", &[]), "expected at least one recipient");
    assert!(error("h", "a@b", &["a@b@c"]).ends_with("found \"a@b@c\""));
    assert!(error("h", "ops", &["a@b"]).ends_with("found \"ops\""));
    assert!(error("smtp://h", "a@b", &["a@b"]).starts_with("expected a host name"));
}
