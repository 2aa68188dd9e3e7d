//! Channels against receivers on loopback, those that refuse included.

mod dingtalk;
mod email;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::core::{Clock, Notification, Secret, Severity, Stats, Timestamp, Transition};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// What must show nowhere.
const HIDDEN: &str = "hunter2";

/// A clock that stands still, in milliseconds.
#[derive(Default)]
pub(super) struct FakeClock(pub(super) AtomicU64);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::default() + Duration::from_millis(self.unix_ms())
    }

    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) fn notification() -> Notification {
    let stats = Stats {
        count: 200,
        errors: 25,
        limited: 3,
        error_rate: 0.125,
        p50: 80.4,
        p95: 410.0,
        p99: 900.0,
        from_ms: 1_795_406_100_000,
        to_ms: 1_795_406_400_000,
        ..Stats::default()
    };
    Notification {
        rule: "high_error_rate".into(),
        severity: Severity::Critical,
        platform: "taobao".into(),
        endpoint: None,
        transition: Transition::Firing,
        condition: "error_rate > 0.1".into(),
        detail: None,
        stats,
        at_ms: 1_795_406_400_000,
    }
}

/// The only notifier of a configuration with this channel alone.
fn build(config: ChannelConfig) -> Result<Arc<dyn Notifier>, String> {
    from_config(&BTreeMap::from([("ops".to_owned(), config)])).map(|mut built| built.remove("ops").unwrap())
}

fn robot(webhook: String, secret: Option<&str>) -> Arc<dyn Notifier> {
    let secret = secret.map(Secret::new);
    build(ChannelConfig::DingTalk { webhook: Secret::new(webhook), secret }).unwrap()
}

fn mail(port: u16, starttls: bool, to: &[&str]) -> ChannelConfig {
    ChannelConfig::Email {
        host: "127.0.0.1".into(),
        port,
        starttls,
        credentials: Some(("robot".into(), Secret::new(HIDDEN))),
        from: "tidegate <alerts@example.com>".into(),
        to: to.iter().map(|to| (*to).to_owned()).collect(),
    }
}

/// A delivery that must fail, and whose error must show no secret.
async fn refused(notifier: &dyn Notifier) -> NotifyError {
    let error = notifier.send(&notification()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(HIDDEN), "{error:?}");
    error
}

#[test]
fn a_channel_that_cannot_be_built_is_named_and_its_secret_is_not() {
    let webhook = Secret::new(format!("https://[{HIDDEN}"));
    let error = build(ChannelConfig::DingTalk { webhook, secret: None }).err().unwrap();
    assert!(error.starts_with("channels.ops: `webhook` is no address"), "{error}");
    assert!(!error.contains(HIDDEN), "{error}");
    let error = build(mail(25, false, &["a@b@c"])).err().unwrap();
    assert!(error.starts_with("channels.ops: `to` \"a@b@c\" is no address"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_is_left_after_ten_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let webhook = format!("http://127.0.0.1:{port}/?access_token={HIDDEN}");
    for notifier in [robot(webhook, None), build(mail(port, false, &["a@example.com"])).unwrap()] {
        let start = Instant::now();
        let error = refused(&*notifier).await;
        assert!(error.transient, "{error}");
        assert!((TIMEOUT..TIMEOUT + Duration::from_secs(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_may_be_there_later() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let webhook = format!("http://127.0.0.1:{port}/?access_token={HIDDEN}");
    for notifier in [robot(webhook, Some(HIDDEN)), build(mail(port, false, &["a@example.com"])).unwrap()] {
        let error = refused(&*notifier).await;
        assert!(error.transient, "{error}");
        assert!(error.message.contains("cannot be reached"), "{error}");
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_speaks_at_the_level_of_the_severity() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).without_time().finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let log = build(ChannelConfig::Log).unwrap();
    let mut message = notification();
    for (severity, transition) in [
        (Severity::Info, Transition::Firing),
        (Severity::Warning, Transition::StillFiring),
        (Severity::Critical, Transition::Firing),
        (Severity::Critical, Transition::Resolved),
    ] {
        (message.severity, message.transition) = (severity, transition);
        log.send(&message).await.unwrap();
    }
    let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let levels: Vec<_> = written.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(levels, ["INFO", "WARN", "ERROR", "INFO"], "{written}");
    assert!(written.contains("[critical] high_error_rate resolved: taobao; Condition: error_rate > 0.1"), "{written}");
}
