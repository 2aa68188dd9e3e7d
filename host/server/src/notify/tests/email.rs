use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

const RECEIVERS: [&str; 2] = ["a@example.com", "Ops <b@example.com>"];

/// A mail server that gives one scripted answer and else plays along; it notes every line it was sent.
struct Sink {
    /// To the command that begins so, this answer is given.
    script: (&'static str, &'static str),
    /// What it offers in answer to EHLO.
    offers: &'static str,
}

impl Sink {
    /// Serves on a free port; each conversation adds its lines to what is returned.
    async fn serve(self) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(vec![]));
        let lines = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that hangs up has said all it wanted to say.
                let _ = self.talk(stream, &lines).await;
            }
        });
        (port, heard)
    }

    async fn talk(&self, stream: TcpStream, heard: &Mutex<Vec<String>>) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 sink ready\r\n").await?;
        let (mut line, mut data) = (String::new(), false);
        while stream.read_line(&mut line).await? > 0 {
            let said = std::mem::take(&mut line).trim_end().to_owned();
            heard.lock().unwrap().push(said.clone());
            let answer = match said.as_str() {
                "." => self.scripted("."),
                _ if data => None,
                _ => self.scripted(&said),
            };
            data = (data && said != ".") || answer.as_deref().is_some_and(|answer| answer.starts_with("354"));
            if let Some(answer) = answer {
                stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
            }
        }
        Ok(())
    }

    fn scripted(&self, said: &str) -> Option<String> {
        let (command, answer) = self.script;
        let verb = said.split([' ', ':']).next().unwrap_or_default();
        Some(match verb {
            _ if said.starts_with(command) => answer.to_owned(),
            "EHLO" => format!("250-sink\r\n250 {}", self.offers),
            "AUTH" => "235 welcome".to_owned(),
            "DATA" => "354 go on".to_owned(),
            _ => "250 fine".to_owned(),
        })
    }
}

async fn channel(sink: Sink, starttls: bool) -> (Arc<dyn Notifier>, Arc<Mutex<Vec<String>>>) {
    let (port, heard) = sink.serve().await;
    (build(mail(port, starttls, &RECEIVERS)).unwrap(), heard)
}

#[tokio::test]
async fn a_mail_reaches_every_receiver_with_its_subject_and_its_figures() {
    let (mail, heard) = channel(Sink { script: ("never", ""), offers: "AUTH PLAIN" }, false).await;
    mail.send(&notification()).await.unwrap();
    let heard = heard.lock().unwrap().join("\n");
    for line in [
        "AUTH PLAIN AHJvYm90AGh1bnRlcjI=", // base64 of "\0robot\0hunter2"
        "MAIL FROM:<alerts@example.com>",
        "RCPT TO:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "Subject: [critical] high_error_rate firing: taobao",
        "Content-Type: text/plain; charset=utf-8",
        "Condition: error_rate > 0.1",
        "Calls: 200, of which 25 failed (12.5 %); 3 more were limited",
        "Durations: p50 80 ms, p95 410 ms, p99 900 ms",
        "Window: 2026-11-23 03:55:00 UTC to 2026-11-23 04:00:00 UTC",
    ] {
        assert!(heard.lines().any(|said| said.starts_with(line)), "{line} is missing in\n{heard}");
    }
}

#[tokio::test]
async fn each_answer_of_a_mail_server_says_whether_to_try_again() {
    let rows = [
        // the command, its answer, transient, words
        ("EHLO", "421 closing", true, "said later with 421: closing"),
        ("AUTH", "535 who is hunter2", false, "refused with 535: who is ***"),
        ("AUTH", "535 what is AHJvYm90AGh1bnRlcjI= for", false, "refused with 535: what is *** for"),
        ("AUTH", "454 not now", true, "said later with 454"),
        ("MAIL", "550 not you", false, "refused with 550: not you"),
        ("RCPT", "450 greylisted", true, "said later with 450: greylisted"),
        ("RCPT", "550 no such user", false, "refused with 550"),
        ("DATA", "451 disk full", true, "said later with 451"),
        (".", "554 spam", false, "refused with 554: spam"),
        (".", "452 too many", true, "said later with 452"),
    ];
    for (command, answer, transient, words) in rows {
        let (mail, _) = channel(Sink { script: (command, answer), offers: "AUTH PLAIN" }, false).await;
        let error = refused(&*mail).await;
        assert_eq!((error.transient, error.retry_after), (transient, None), "{command} {answer}: {error}");
        assert!(error.message.contains(words), "{command} {answer}: {error}");
    }
}

#[tokio::test]
async fn where_starttls_is_demanded_nothing_is_said_without_it() {
    let (mail, heard) = channel(Sink { script: ("never", ""), offers: "AUTH PLAIN" }, true).await;
    let error = refused(&*mail).await;
    assert!(!error.transient && error.message.contains("STARTTLS is not supported"), "{error}");
    let verbs = |heard: &Mutex<Vec<String>>| -> Vec<String> {
        heard.lock().unwrap().iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    assert!(verbs(&heard).iter().all(|verb| verb == "EHLO" || verb == "QUIT"), "{heard:?}");

    let (mail, heard) = channel(Sink { script: ("STARTTLS", "454 no TLS today"), offers: "STARTTLS" }, true).await;
    let error = refused(&*mail).await;
    assert!(error.transient && error.message.contains("no TLS today"), "{error}");
    assert_eq!(verbs(&heard)[..2], ["EHLO", "STARTTLS"]);
    assert!(verbs(&heard)[2..].iter().all(|verb| verb == "QUIT"), "{heard:?}");
}
