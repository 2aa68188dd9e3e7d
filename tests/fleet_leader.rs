//! Leader election: one process evaluates the alert rules, and each transition is notified once across leader changes.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::channel::ChannelConfig;
use tidegate::internals::redis;
use tidegate::{AlertPhase, AlertRecord, Config, Host, Outcome};
use tidegate_core::config::RedisConfig;
use tidegate_core::notify::SendFuture;
use tidegate_core::{Notification, Notifier, Transition};
use tidegate_policy::Policies;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::servers::{Cluster, RedisServer};

/// A timeout that is long enough for a slow machine. The awaited events usually take a second or two.
const TIMEOUT: Duration = Duration::from_secs(60);

const RULE: &str = r#"
[rules.high_error_rate]
condition = "error_rate > 0.1"
severity = "critical"
min_samples = 20
channels = ["inbox"]
"#;

/// A notification channel that forwards its messages to the test, and can abort the task that sends a message.
pub struct TestChannel {
    messages: mpsc::UnboundedSender<String>,
    /// The tasks to abort at the first message, before its delivery is recorded.
    abort_on_send: Mutex<Vec<AbortHandle>>,
}

impl Notifier for TestChannel {
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
        // This fails only if the receiver was dropped, which happens at the end of the test.
        let _ = self.messages.send(notification.title());
        let tasks = std::mem::take(&mut *self.abort_on_send.lock().unwrap());
        tasks.iter().for_each(AbortHandle::abort);
        let aborted = !tasks.is_empty();
        Box::pin(async move { if aborted { std::future::pending().await } else { Ok(()) } })
    }
}

/// Hosts that share a Redis, with a channel that forwards their messages to the test.
pub struct Fleet {
    pub config: Config,
    /// The policies of the hosts that are built next.
    pub policies: Arc<Policies>,
    inbox: Arc<TestChannel>,
    pub messages: mpsc::UnboundedReceiver<String>,
    running: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Fleet {
    pub fn new(redis: RedisConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("alerts.toml"), RULE).unwrap();
        let redis = redis.with_decide_within(Duration::from_secs(1));
        let mut config = Config::with_platforms().with_redis(redis);
        config.policies.dir = Path::to_owned(dir.path());
        config.alerting.interval = Duration::from_millis(200);
        config.metrics.flush_interval = Duration::from_millis(100);
        let policies = Policies::open(&config.policies);
        let (sender, messages) = mpsc::unbounded_channel();
        let inbox = Arc::new(TestChannel { messages: sender, abort_on_send: Mutex::default() });
        Self { config, policies, inbox, messages, running: JoinSet::new(), _dir: dir }
    }

    /// Builds a host with connections of its own, so that Redis sees it as a separate process.
    fn host(&self) -> Host {
        let mut config = self.config.clone();
        let inbox = Arc::clone(&self.inbox) as Arc<dyn Notifier>;
        config.channels.insert("inbox".to_owned(), ChannelConfig::from_notifier(inbox));
        Host::builder().config(config).policies(Arc::clone(&self.policies)).build().unwrap()
    }

    pub fn start(&mut self) -> (Host, AbortHandle) {
        let host = self.host();
        let running = self.running.spawn(host.clone().run(std::future::pending()));
        (host, running)
    }

    pub async fn next_message(&mut self) -> String {
        within_timeout(self.messages.recv()).await.unwrap()
    }
}

pub async fn within_timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("the future completes within 60 seconds")
}

/// Asks Redis again until the reply is as expected. Other processes change what is asked for, and send no event. Each
/// question waits for a round trip, or for Redis to be available.
pub async fn asked_until<T>(host: &Host, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within_timeout(async {
        loop {
            if let Some(reply) = ask().await {
                return reply;
            }
            redis(host).unwrap().wait_until_ready().await;
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Waits until every delivery is recorded, and returns the history. If a leader stops before that, its successor sends
/// the message again.
async fn history_when_delivered(host: &Host) -> Vec<AlertRecord> {
    asked_until(host, async || {
        let history = host.alerts().history(None, 10).await.unwrap();
        history.iter().all(|record| record.undelivered_channels().next().is_none()).then_some(history)
    })
    .await
}

pub fn record_calls(host: &Host, outcome: Outcome, count: u32) {
    (0..count).for_each(|_| host.metrics().record("jd", "e", outcome, Duration::from_millis(9)));
}

pub const FIRING: &str = "[critical] high_error_rate firing: jd";
pub const RESOLVED: &str = "[critical] high_error_rate resolved: jd";

#[tokio::test(flavor = "multi_thread")]
async fn twenty_processes_notify_each_transition_once() {
    let server = RedisServer::start();
    let mut fleet = Fleet::new(server.config());
    let hosts: Vec<Host> = (0..20).map(|_| fleet.start().0).collect();
    // Only the calls of all hosts together reach the minimum number of samples.
    hosts.iter().for_each(|host| record_calls(host, Outcome::Error, 1));
    assert_eq!(fleet.next_message().await, FIRING);
    record_calls(&hosts[7], Outcome::Success, 1_000);
    assert_eq!(fleet.next_message().await, RESOLVED);
    let transitions: Vec<Transition> =
        history_when_delivered(&hosts[11]).await.iter().map(|record| record.routed.notification.transition).collect();
    assert_eq!(transitions, [Transition::Resolved, Transition::Firing]);
    assert!(hosts[3].alerts().active().await.unwrap().is_empty());
    assert!(fleet.messages.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_aborted_before_recording_a_delivery_causes_one_repeated_message() {
    let server = RedisServer::start();
    let mut fleet = Fleet::new(server.config());
    let (host, leader) = fleet.start();
    fleet.inbox.abort_on_send.lock().unwrap().push(leader);
    record_calls(&host, Outcome::Error, 20);
    assert_eq!(fleet.next_message().await, FIRING);
    let (next, _) = fleet.start();
    assert_eq!(fleet.next_message().await, FIRING); // the new leader cannot know whether the message was sent
    record_calls(&next, Outcome::Success, 1_000);
    assert_eq!(fleet.next_message().await, RESOLVED);
    let history = history_when_delivered(&next).await;
    assert_eq!(history.len(), 2);
    assert!(history[1].deliveries[0].delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn next_leader_knows_the_firing_alerts() {
    let server = RedisServer::start();
    let mut fleet = Fleet::new(server.config());
    let (first, (stop, stopped)) = (fleet.host(), tokio::sync::oneshot::channel::<()>());
    let leading = tokio::spawn(first.clone().run(async { drop(stopped.await) }));
    record_calls(&first, Outcome::Error, 20);
    assert_eq!(fleet.next_message().await, FIRING);
    let (second, _) = fleet.start();
    stop.send(()).unwrap();
    within_timeout(leading).await.unwrap();
    assert_eq!(second.alerts().active().await.unwrap()[0].state, AlertPhase::Firing);
    record_calls(&second, Outcome::Success, 1_000);
    assert_eq!(fleet.next_message().await, RESOLVED);
}

#[test]
fn standby_replaces_a_crashed_leader() {
    let (leader_runtime, standby_runtime) = [(); 2].map(|()| tokio::runtime::Runtime::new().unwrap()).into();
    let server = RedisServer::start();
    let mut fleet = standby_runtime.block_on(async { Fleet::new(server.config()) });
    let host = leader_runtime.block_on(async { fleet.host() });
    leader_runtime.spawn(host.clone().run(std::future::pending()));
    record_calls(&host, Outcome::Error, 20);
    assert_eq!(standby_runtime.block_on(fleet.next_message()), FIRING);
    leader_runtime.block_on(history_when_delivered(&host));
    // All tasks of this host stop at once, so the leader lock is not released.
    leader_runtime.shutdown_background();
    standby_runtime.block_on(async {
        let (standby, _) = fleet.start();
        record_calls(&standby, Outcome::Success, 1_000);
        assert_eq!(fleet.next_message().await, RESOLVED);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_serves_a_fleet_like_a_single_server() {
    let cluster = Cluster::start().await;
    let mut fleet = Fleet::new(cluster.config());
    let hosts: Vec<Host> = (0..3).map(|_| fleet.start().0).collect();
    record_calls(&hosts[0], Outcome::Error, 10);
    record_calls(&hosts[2], Outcome::Error, 10);
    assert_eq!(fleet.next_message().await, FIRING);
    assert_eq!(history_when_delivered(&hosts[1]).await.len(), 1);
    assert_eq!(hosts[1].alerts().active().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_loss_elects_a_new_leader_that_notifies_again() {
    let server = RedisServer::start();
    let mut fleet = Fleet::new(server.config());
    let hosts: Vec<Host> = (0..2).map(|_| fleet.start().0).collect();
    for _ in 0..2 {
        record_calls(&hosts[0], Outcome::Error, 20);
        assert_eq!(fleet.next_message().await, FIRING);
        history_when_delivered(&hosts[1]).await;
        server.flush().await;
    }
}
