//! Helpers of the tests, and tests of the log channel and of configuration sections.

use std::io;
use std::sync::{Arc, Mutex};

use tidegate_core::config::{Channel, ChannelConfig, ChannelContext, Config, Parser};
use tidegate_core::{Clock, Notification, Notifier, Severity, Stats, Timestamp, Transition};
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// A secret that must not appear in any error.
pub const HIDDEN: &str = "hunter2";

/// The time that the tests' clock shows.
pub const NOW_MS: u64 = 1_795_406_401_000;

/// A clock that follows tokio's time, which tests can pause. Its Unix time never changes.
pub struct TestClock(Instant);

impl TestClock {
    pub fn start() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::default() + self.0.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        NOW_MS
    }
}

pub fn notification() -> Notification {
    let mut stats = Stats::default();
    stats.count = 200;
    stats.errors = 25;
    stats.limited = 3;
    stats.error_rate = 0.125;
    stats.p50 = 80.4;
    stats.p95 = 410.0;
    stats.p99 = 900.0;
    stats.from_ms = 1_795_406_100_000;
    stats.to_ms = 1_795_406_400_000;
    Notification::new("high_error_rate", Severity::Critical, "taobao", Transition::Firing)
        .with_condition("error_rate > 0.1")
        .with_stats(stats)
        .with_at_ms(1_795_406_400_000)
}

pub fn open(channel: &impl Channel) -> Arc<dyn Notifier> {
    channel.open(&ChannelContext::new(TestClock::start())).unwrap()
}

/// Sends a notification and returns the error. Asserts that the error contains no secret.
#[cfg(any(feature = "dingtalk", feature = "email"))]
pub async fn send_error(notifier: &dyn Notifier) -> tidegate_core::NotifyError {
    let error = notifier.send(&notification()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(HIDDEN), "{error:?}");
    error
}

/// Parses a configuration whose secrets cannot refer to an environment.
pub fn parse(text: &str) -> Result<Config, Vec<String>> {
    let config = Parser::new().channel_kinds(&channel_kinds()).parse(text);
    config.map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
}

/// Parses one channel, and asserts that no secret is shown.
pub fn parse_channel(section: &str) -> Result<ChannelConfig, Vec<String>> {
    let channel = parse(&format!("[channels.ops]\n{section}")).map(|mut config| config.channels.remove("ops").unwrap());
    assert!(!format!("{channel:?}").contains(HIDDEN), "{channel:?}");
    channel
}

#[test]
fn unknown_kind_is_rejected_with_the_kinds_of_this_crate() {
    let diagnostics = parse_channel("kind = 'dingtlak'\nwebhook = 'https://hunter2'").unwrap_err();
    let expected = "2:8: channels.ops.kind: unknown channel kind `dingtlak`";
    assert!(matches!(&diagnostics[..], [only] if only.starts_with(expected)), "{diagnostics:?}");
    assert!(diagnostics[0].contains("this program registers"), "{diagnostics:?}");
}

#[cfg(not(feature = "email"))]
#[test]
fn kind_of_a_disabled_feature_is_rejected_with_the_feature() {
    let diagnostics = parse_channel("kind = 'email'\nhost = 'x'").unwrap_err();
    let reason = "requires the feature `email` of the crate `tidegate-notify`";
    assert_eq!(diagnostics, [format!("2:8: channels.ops.kind: the channel kind `email` {reason}")]);
}

#[test]
fn shipped_configuration_has_the_platforms_and_a_log_channel() {
    let config = shipped_config();
    assert_eq!(config.channels, [("log".to_owned(), Log.into())].into());
    assert_eq!(config.limits, Config::with_platforms().limits);
}

#[test]
fn log_channel_has_no_settings() {
    assert_eq!(parse_channel("kind = 'log'").unwrap(), ChannelConfig::from(Log));
    let diagnostics = parse_channel("kind = 'log'\nwebhook = 'https://hunter2'").unwrap_err();
    assert_eq!(diagnostics, ["3:1: channels.ops: unknown key `webhook`; expected `kind`"]);
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
    let log = open(&Log);
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
