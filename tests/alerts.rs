//! Alerting, from the rule file to the message, and edits of rules while the host runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate::channel::ChannelConfig;
use tidegate::{Config, Host, Outcome};
use tidegate_core::notify::SendFuture;
use tidegate_core::{Notification, Notifier, NotifyError};
use tidegate_policy::Policies;
use tokio::sync::mpsc;

/// A notification channel that forwards its messages to the test.
struct TestChannel {
    messages: mpsc::UnboundedSender<String>,
    /// The number of sends that still fail before the first one succeeds.
    failures: std::sync::atomic::AtomicU32,
}

impl Notifier for TestChannel {
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
        let failing = self.failures.load(std::sync::atomic::Ordering::Relaxed) > 0;
        if failing {
            self.failures.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
        Box::pin(async move {
            if failing {
                let message = "the service is busy".to_owned();
                return Err(NotifyError::transient(message).with_retry_after(Duration::from_secs(3)));
            }
            // This fails only if the receiver was dropped, which happens at the end of the test.
            let _ = self.messages.send(notification.title());
            Ok(())
        })
    }
}

struct AlertingHost {
    host: Host,
    messages: mpsc::UnboundedReceiver<String>,
    dir: tempfile::TempDir,
    ticker: tokio::task::JoinHandle<()>,
}

impl Drop for AlertingHost {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

fn write_rules(dir: &Path, rules: &str) {
    std::fs::write(dir.join("alerts.toml"), rules).unwrap();
}

/// Starts a host with these alert rules and a channel whose first `failures` sends fail.
fn start_host(rules: &str, failures: u32) -> AlertingHost {
    let dir = tempfile::tempdir().unwrap();
    write_rules(dir.path(), rules);
    let mut config = Config::with_platforms();
    config.policies.dir = dir.path().to_owned();
    config.alerting.interval = Duration::from_secs(1);
    let (sender, messages) = mpsc::unbounded_channel();
    let inbox = ChannelConfig::from_notifier(Arc::new(TestChannel { messages: sender, failures: failures.into() }));
    config.channels.insert("inbox".to_owned(), inbox);
    let policies = Policies::open(&config.policies);
    let host = Host::builder().config(config).policies(policies).build().unwrap();
    let ticker = tokio::spawn(host.clone().run(std::future::pending()));
    AlertingHost { host, messages, dir, ticker }
}

impl AlertingHost {
    fn record_calls(&self, good: u32, bad: u32) {
        for (count, outcome) in [(good, Outcome::Success), (bad, Outcome::Error)] {
            (0..count).for_each(|_| self.host.metrics().record("jd", "e", outcome, Duration::from_millis(9)));
        }
    }

    async fn next_message(&mut self) -> String {
        self.messages.recv().await.unwrap()
    }

    /// Asserts that no message is sent in the next `seconds` seconds. The clock is paused, so this takes no real time.
    async fn assert_no_message_for(&mut self, seconds: u64) {
        let message = tokio::time::timeout(Duration::from_secs(seconds), self.messages.recv()).await;
        assert!(message.is_err(), "{message:?}");
    }
}

const RULE: &str = r#"
[rules.high_error_rate]
condition = "error_rate > 0.1"
severity = "critical"
window = "5m"
cooldown = "300s"
min_samples = 10
channels = ["inbox"]
"#;

#[tokio::test(start_paused = true)]
async fn firing_and_resolved_are_each_notified_once() {
    let mut alerting = start_host(RULE, 0);
    alerting.record_calls(8, 1);
    alerting.assert_no_message_for(5).await; // too few samples
    alerting.record_calls(0, 1);
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate firing: jd");
    alerting.assert_no_message_for(60).await;
    alerting.record_calls(100, 0);
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate resolved: jd");
    let history = alerting.host.alerts().history(Some("jd"), 10).await.unwrap();
    let states: Vec<_> = history.iter().map(|record| record.routed.notification.transition.as_str()).collect();
    assert_eq!(states, ["resolved", "firing"]);
    assert!(alerting.host.alerts().history(Some("pdd"), 10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn transient_channel_failure_is_retried() {
    let mut alerting = start_host(RULE, 2);
    alerting.record_calls(0, 20);
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate firing: jd");
    alerting.assert_no_message_for(5).await;
    let history = alerting.host.alerts().history(None, 1).await.unwrap();
    let delivery = &history[0].deliveries[0];
    assert!(delivery.delivered);
    assert_eq!(delivery.attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn edited_rule_becomes_active_and_invalid_edit_is_rejected() {
    let mut alerting = start_host(RULE, 0);
    alerting.record_calls(30, 10);
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate firing: jd");

    write_rules(alerting.dir.path(), &RULE.replace("0.1", "0.5"));
    assert!(alerting.host.policies().unwrap().reload().rejected.is_empty());
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate resolved: jd");

    write_rules(alerting.dir.path(), &RULE.replace("error_rate > 0.1", "eror_rate > 0.1"));
    let rejected = alerting.host.policies().unwrap().reload().rejected;
    assert!(rejected["alerts.toml"].contains("alerts.toml:3:14: "), "{rejected:?}");
    assert!(rejected["alerts.toml"].contains("error_rate"), "the suggested name is in the message: {rejected:?}");
    alerting.assert_no_message_for(30).await; // the previous rule, with 0.5, stays active
    alerting.record_calls(0, 200);
    // The alert fires within the cooldown of the first message, so its message is sent after the cooldown.
    alerting.assert_no_message_for(200).await;
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate firing: jd");
}

#[tokio::test(start_paused = true)]
async fn firing_alert_of_deleted_rule_is_resolved() {
    let mut alerting = start_host(RULE, 0);
    alerting.record_calls(0, 20);
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate firing: jd");
    write_rules(alerting.dir.path(), "");
    let rejected = alerting.host.policies().unwrap().reload().rejected;
    assert!(rejected["alerts.toml"].contains("alerts.toml:1:1: the file is empty"), "{rejected:?}");
    alerting.assert_no_message_for(5).await;
    write_rules(alerting.dir.path(), "# nothing to watch\n");
    alerting.host.policies().unwrap().reload();
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate resolved: jd");
    assert!(alerting.host.alerts().active().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn changed_scope_resolves_the_alert_of_the_old_scope() {
    let mut alerting = start_host(RULE, 0);
    alerting.record_calls(0, 20);
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate firing: jd");
    write_rules(alerting.dir.path(), &RULE.replace("0.1\"", "1.0\"\nscope = \"endpoint\""));
    assert!(alerting.host.policies().unwrap().reload().rejected.is_empty());
    assert_eq!(alerting.next_message().await, "[critical] high_error_rate resolved: jd");
    assert!(alerting.host.alerts().active().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn history_records_the_unconfigured_channel() {
    let mut alerting = start_host(&RULE.replace(r#""inbox""#, r#""pager", "inbox""#), 0);
    alerting.record_calls(0, 20);
    alerting.next_message().await;
    alerting.assert_no_message_for(1).await;
    let history = alerting.host.alerts().history(None, 10).await.unwrap();
    let errors: Vec<_> = history[0].deliveries.iter().filter_map(|delivery| delivery.error.as_deref()).collect();
    assert_eq!(errors, ["the configuration has no section [channels.pager]"]);
}
