//! Tests channels against receivers on loopback, including receivers that reject messages.

mod dingtalk;
mod email;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_core::{Clock, Notification, Secret, Severity, Stats, Timestamp, Transition};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// A secret that must not appear in any error.
const HIDDEN: &str = "hunter2";

/// A clock that always shows the same time, in milliseconds.
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

/// Builds the notifier of a configuration that contains only this channel.
fn build(config: ChannelConfig) -> Result<Arc<dyn Notifier>, String> {
    from_config(&BTreeMap::from([("ops".to_owned(), config)])).map(|mut notifiers| notifiers.remove("ops").unwrap())
}

fn dingtalk(webhook: String, secret: Option<&str>) -> Arc<dyn Notifier> {
    let secret = secret.map(Secret::new);
    build(ChannelConfig::DingTalk { webhook: Secret::new(webhook), secret }).unwrap()
}

fn email_config(port: u16, starttls: bool, to: &[&str]) -> ChannelConfig {
    ChannelConfig::Email {
        host: "127.0.0.1".into(),
        port,
        starttls,
        credentials: Some(("robot".into(), Secret::new(HIDDEN))),
        from: "tidegate <alerts@example.com>".into(),
        to: to.iter().map(|to| (*to).to_owned()).collect(),
    }
}

/// Sends a notification and returns the error. Asserts that the error contains no secret.
async fn send_error(notifier: &dyn Notifier) -> NotifyError {
    let error = notifier.send(&notification()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(HIDDEN), "{error:?}");
    error
}

#[test]
fn error_of_an_invalid_channel_names_the_channel_and_hides_its_secret() {
    let webhook = Secret::new(format!("https://[{HIDDEN}"));
    let error = build(ChannelConfig::DingTalk { webhook, secret: None }).err().unwrap();
    assert!(error.starts_with("channels.ops: `webhook` is not a valid URL"), "{error}");
    assert!(!error.contains(HIDDEN), "{error}");
    let error = build(email_config(25, false, &["a@b@c"])).err().unwrap();
    assert!(error.starts_with("channels.ops: `to` \"a@b@c\" is not a valid address"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn receiver_that_never_responds_times_out_after_ten_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let webhook = format!("http://127.0.0.1:{port}/?access_token={HIDDEN}");
    for notifier in [dingtalk(webhook, None), build(email_config(port, false, &["a@example.com"])).unwrap()] {
        let start = Instant::now();
        let error = send_error(&*notifier).await;
        assert!(error.transient, "{error}");
        assert!((TIMEOUT..TIMEOUT + Duration::from_secs(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn unreachable_receiver_is_a_transient_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let webhook = format!("http://127.0.0.1:{port}/?access_token={HIDDEN}");
    for notifier in [dingtalk(webhook, Some(HIDDEN)), build(email_config(port, false, &["a@example.com"])).unwrap()] {
        let error = send_error(&*notifier).await;
        assert!(error.transient, "{error}");
        assert!(error.message.contains("cannot be reached"), "{error}");
    }
}

/// A writer that collects log output.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogBuffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn log_channel_uses_the_level_of_the_severity() {
    let buffer = LogBuffer::default();
    let subscriber = tracing_subscriber::fmt().with_writer(buffer.clone()).with_ansi(false).without_time().finish();
    let _guard = tracing::subscriber::set_default(subscriber);
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
    let output = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    let levels: Vec<_> = output.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(levels, ["INFO", "WARN", "ERROR", "INFO"], "{output}");
    let resolved = "alert notification title=\"[critical] high_error_rate resolved: taobao\" \
                    details=\"Condition: error_rate > 0.1; ";
    assert!(output.contains(resolved), "{output}");
}
