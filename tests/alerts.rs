//! Alerting from the rule on disk to the message, and a rule that is edited while it runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate::{Config, Host, Outcome};
use tidegate_core::notify::Sending;
use tidegate_core::{Notification, Notifier, NotifyError};
use tidegate_policy::Policies;
use tokio::sync::mpsc;

/// A channel that hands its messages to the test, and fails the first so many tries.
struct Inbox {
    messages: mpsc::UnboundedSender<String>,
    failures: std::sync::atomic::AtomicU32,
}

impl Notifier for Inbox {
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        let failing = self.failures.load(std::sync::atomic::Ordering::Relaxed) > 0;
        if failing {
            self.failures.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
        Box::pin(async move {
            if failing {
                let message = "the line is busy".to_owned();
                return Err(NotifyError { message, transient: true, retry_after: Some(Duration::from_secs(3)) });
            }
            // The receiver is gone only when the test is over.
            let _ = self.messages.send(notification.title());
            Ok(())
        })
    }
}

struct Scene {
    host: Host,
    messages: mpsc::UnboundedReceiver<String>,
    dir: tempfile::TempDir,
    ticker: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

fn write(dir: &Path, rules: &str) {
    std::fs::write(dir.join("alerts.toml"), rules).unwrap();
}

fn scene(rules: &str, failures: u32) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), rules);
    let mut config = Config::default();
    config.policies.dir = dir.path().to_owned();
    config.alerting.interval = Duration::from_secs(1);
    let (sender, messages) = mpsc::unbounded_channel();
    let inbox: Arc<dyn Notifier> = Arc::new(Inbox { messages: sender, failures: failures.into() });
    let channels = move |_: &_| Ok([("inbox".to_owned(), Arc::clone(&inbox))].into());
    let policies = Policies::open(&config.policies);
    let host = Host::builder().config(config).policies(policies).notifiers(Arc::new(channels)).build().unwrap();
    let ticker = tokio::spawn(host.clone().run(std::future::pending()));
    Scene { host, messages, dir, ticker }
}

impl Scene {
    fn calls(&self, good: u32, bad: u32) {
        for (count, outcome) in [(good, Outcome::Success), (bad, Outcome::Error)] {
            (0..count).for_each(|_| self.host.metrics().record("jd", "e", outcome, Duration::from_millis(9)));
        }
    }

    async fn told(&mut self) -> String {
        self.messages.recv().await.unwrap()
    }

    /// Lets so many ticks pass and says that nobody was told anything.
    async fn silence(&mut self, seconds: u64) {
        let told = tokio::time::timeout(Duration::from_secs(seconds), self.messages.recv()).await;
        assert!(told.is_err(), "{told:?}");
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
async fn an_incident_is_told_once_and_its_end_once() {
    let mut scene = scene(RULE, 0);
    scene.calls(8, 1);
    scene.silence(5).await; // too few samples
    scene.calls(0, 1);
    assert_eq!(scene.told().await, "[critical] high_error_rate firing: jd");
    scene.silence(60).await;
    scene.calls(100, 0);
    assert_eq!(scene.told().await, "[critical] high_error_rate resolved: jd");
    let history = scene.host.alerts().history(Some("jd"), 10).await.unwrap();
    let states: Vec<_> = history.iter().map(|record| record.intent.notification.transition.name()).collect();
    assert_eq!(states, ["resolved", "firing"]);
    assert!(scene.host.alerts().history(Some("pdd"), 10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_busy_channel_is_tried_again() {
    let mut scene = scene(RULE, 2);
    scene.calls(0, 20);
    assert_eq!(scene.told().await, "[critical] high_error_rate firing: jd");
    scene.silence(5).await;
    let history = scene.host.alerts().history(None, 1).await.unwrap();
    let delivery = &history[0].deliveries[0];
    assert!(delivery.delivered);
    assert_eq!(delivery.attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn an_edited_rule_is_in_force_and_a_broken_one_is_not() {
    let mut scene = scene(RULE, 0);
    scene.calls(30, 10);
    assert_eq!(scene.told().await, "[critical] high_error_rate firing: jd");

    write(scene.dir.path(), &RULE.replace("0.1", "0.5"));
    assert!(scene.host.policies().unwrap().reload().refused.is_empty());
    assert_eq!(scene.told().await, "[critical] high_error_rate resolved: jd");

    write(scene.dir.path(), &RULE.replace("error_rate > 0.1", "eror_rate > 0.1"));
    let refused = scene.host.policies().unwrap().reload().refused;
    assert!(refused[0].contains("alerts.toml:3:14: "), "{refused:?}");
    assert!(refused[0].contains("error_rate"), "it says what was meant: {refused:?}");
    scene.silence(30).await; // the old rule, at 0.5, is still the one that judges
    scene.calls(0, 200);
    scene.silence(200).await; // it fires within the cooldown of the first message …
    assert_eq!(scene.told().await, "[critical] high_error_rate firing: jd"); // … and speaks after it
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_is_deleted_while_it_fires_is_resolved() {
    let mut scene = scene(RULE, 0);
    scene.calls(0, 20);
    assert_eq!(scene.told().await, "[critical] high_error_rate firing: jd");
    write(scene.dir.path(), "");
    let refused = scene.host.policies().unwrap().reload().refused;
    assert!(refused[0].contains("alerts.toml:1:1: the file is empty"), "{refused:?}");
    scene.silence(5).await;
    write(scene.dir.path(), "# nothing to watch\n");
    scene.host.policies().unwrap().reload();
    assert_eq!(scene.told().await, "[critical] high_error_rate resolved: jd");
    assert!(scene.host.alerts().active().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_looks_elsewhere_now_ends_where_it_looked() {
    let mut scene = scene(RULE, 0);
    scene.calls(0, 20);
    assert_eq!(scene.told().await, "[critical] high_error_rate firing: jd");
    write(scene.dir.path(), &RULE.replace("0.1\"", "1.0\"\nscope = \"endpoint\""));
    assert!(scene.host.policies().unwrap().reload().refused.is_empty());
    assert_eq!(scene.told().await, "[critical] high_error_rate resolved: jd");
    assert!(scene.host.alerts().active().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_not_configured_is_named_in_the_history() {
    let mut scene = scene(&RULE.replace(r#""inbox""#, r#""pager", "inbox""#), 0);
    scene.calls(0, 20);
    scene.told().await;
    scene.silence(1).await;
    let history = scene.host.alerts().history(None, 10).await.unwrap();
    let errors: Vec<_> = history[0].deliveries.iter().filter_map(|delivery| delivery.error.as_deref()).collect();
    assert_eq!(errors, ["no [channels.pager] in the configuration"]);
}
