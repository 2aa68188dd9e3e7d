//! One instance acts: whoever leads, an incident is told once, and its end once.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use std::sync::Mutex;
use tidegate::core::config::RedisConfig;
use tidegate::core::notify::Sending;
use tidegate::core::{Notification, Notifier, Transition};
use tidegate::policy::Policies;
use tidegate::{AlertRecord, Config, Host, Outcome};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::servers::{Cluster, Server};

/// Long enough for a slow machine; what happens in time takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

const RULE: &str = r#"
[rules.high_error_rate]
condition = "error_rate > 0.1"
severity = "critical"
min_samples = 20
channels = ["inbox"]
"#;

/// A channel that hands its messages to the test, and may end who sends.
struct Inbox {
    messages: mpsc::UnboundedSender<String>,
    /// Ended by the first message, before anyone can mark it.
    victims: Mutex<Vec<AbortHandle>>,
}

impl Notifier for Inbox {
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        // The receiver is gone only when the test is over.
        let _ = self.messages.send(notification.title());
        let victims = std::mem::take(&mut *self.victims.lock().unwrap());
        victims.iter().for_each(AbortHandle::abort);
        let killed = !victims.is_empty();
        Box::pin(async move { if killed { std::future::pending().await } else { Ok(()) } })
    }
}

struct Fleet {
    config: Config,
    policies: Arc<Policies>,
    inbox: Arc<Inbox>,
    messages: mpsc::UnboundedReceiver<String>,
    running: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Fleet {
    fn on(redis: RedisConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("alerts.toml"), RULE).unwrap();
        let redis = RedisConfig { decide_within: Duration::from_secs(1), ..redis };
        let mut config = Config { redis: Some(redis), ..Config::default() };
        config.policies.dir = Path::to_owned(dir.path());
        config.alerting.interval = Duration::from_millis(200);
        config.metrics.flush = Duration::from_millis(100);
        let policies = Policies::open(&config.policies);
        let (sender, messages) = mpsc::unbounded_channel();
        let inbox = Arc::new(Inbox { messages: sender, victims: Mutex::default() });
        Self { config, policies, inbox, messages, running: JoinSet::new(), _dir: dir }
    }

    /// A process of its own, as far as Redis can tell.
    fn host(&self) -> Host {
        let inbox = Arc::clone(&self.inbox) as Arc<dyn Notifier>;
        let channels = move |_: &_| Ok([("inbox".to_owned(), Arc::clone(&inbox))].into());
        let builder = Host::builder().config(self.config.clone()).policies(Arc::clone(&self.policies));
        builder.notifiers(Arc::new(channels)).build().unwrap()
    }

    fn start(&mut self) -> (Host, AbortHandle) {
        let host = self.host();
        let running = self.running.spawn(host.clone().run(std::future::pending()));
        (host, running)
    }

    async fn told(&mut self) -> String {
        within(self.messages.recv()).await.unwrap()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// The history, once it is known of every message what became of it: who dies before costs one message more.
async fn marked(host: &Host) -> Vec<AlertRecord> {
    within(async {
        loop {
            let history = host.alerts().history(None, 10).await.unwrap();
            if history.iter().all(|record| record.open().next().is_none()) {
                return history;
            }
        }
    })
    .await
}

fn calls(host: &Host, outcome: Outcome, count: u32) {
    (0..count).for_each(|_| host.metrics().record("jd", "e", outcome, Duration::from_millis(9)));
}

const FIRING: &str = "[critical] high_error_rate firing: jd";
const RESOLVED: &str = "[critical] high_error_rate resolved: jd";

#[tokio::test(flavor = "multi_thread")]
async fn twenty_instances_tell_an_incident_once() {
    let server = Server::single();
    let mut fleet = Fleet::on(server.config());
    let hosts: Vec<Host> = (0..20).map(|_| fleet.start().0).collect();
    hosts.iter().for_each(|host| calls(host, Outcome::Error, 1)); // only together they are enough
    assert_eq!(fleet.told().await, FIRING);
    calls(&hosts[7], Outcome::Success, 1_000);
    assert_eq!(fleet.told().await, RESOLVED);
    let told: Vec<Transition> =
        marked(&hosts[11]).await.iter().map(|record| record.intent.notification.transition).collect();
    assert_eq!(told, [Transition::Resolved, Transition::Firing]);
    assert!(hosts[3].alerts().active().await.unwrap().is_empty());
    assert!(fleet.messages.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_ends_between_send_and_mark_costs_at_most_one_more_message() {
    let server = Server::single();
    let mut fleet = Fleet::on(server.config());
    let (host, leader) = fleet.start();
    fleet.inbox.victims.lock().unwrap().push(leader);
    calls(&host, Outcome::Error, 20);
    assert_eq!(fleet.told().await, FIRING);
    let (next, _) = fleet.start();
    assert_eq!(fleet.told().await, FIRING); // it cannot know whether people were told
    calls(&next, Outcome::Success, 1_000);
    assert_eq!(fleet.told().await, RESOLVED);
    let history = marked(&next).await;
    assert_eq!(history.len(), 2);
    assert!(history[1].deliveries[0].delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_knows_what_fires() {
    let server = Server::single();
    let mut fleet = Fleet::on(server.config());
    let (first, (stop, stopped)) = (fleet.host(), tokio::sync::oneshot::channel::<()>());
    let leading = tokio::spawn(first.clone().run(async { drop(stopped.await) }));
    calls(&first, Outcome::Error, 20);
    assert_eq!(fleet.told().await, FIRING);
    let (second, _) = fleet.start();
    stop.send(()).unwrap();
    within(leading).await.unwrap();
    assert_eq!(second.alerts().active().await.unwrap()[0].state, "firing");
    calls(&second, Outcome::Success, 1_000);
    assert_eq!(fleet.told().await, RESOLVED);
}

#[test]
fn a_standby_takes_over_from_a_leader_that_died() {
    let (one, other) = [(); 2].map(|()| tokio::runtime::Runtime::new().unwrap()).into();
    let server = Server::single();
    let mut fleet = other.block_on(async { Fleet::on(server.config()) });
    let host = one.block_on(async { fleet.host() });
    one.spawn(host.clone().run(std::future::pending()));
    calls(&host, Outcome::Error, 20);
    assert_eq!(other.block_on(fleet.told()), FIRING);
    one.block_on(marked(&host));
    // Nothing of it runs any more, so nothing is given back.
    one.shutdown_background();
    other.block_on(async {
        let (standby, _) = fleet.start();
        calls(&standby, Outcome::Success, 1_000);
        assert_eq!(fleet.told().await, RESOLVED);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_away_is_told_once_by_the_one_that_led_and_so_is_its_return() {
    let server = Server::single();
    let mut fleet = Fleet::on(server.config());
    fleet.config.redis.as_mut().unwrap().decide_within = Duration::from_millis(50);
    let hosts: Vec<Host> = (0..3).map(|_| fleet.start().0).collect();
    calls(&hosts[0], Outcome::Error, 20);
    assert_eq!(fleet.told().await, FIRING);
    marked(&hosts[0]).await;
    server.stop();
    assert_eq!(fleet.told().await, "[critical] redis_away firing: redis");
    assert!(hosts[1].alerts().active().await.unwrap_err().is_away());
    calls(&hosts[2], Outcome::Success, 1_000); // counted, and kept
    server.cont();
    let mut told = [fleet.told().await, fleet.told().await];
    told.sort();
    assert_eq!(told, [RESOLVED, "[critical] redis_away resolved: redis"]);
    assert_eq!(hosts[0].figures("jd", None, Duration::from_secs(3_600)).await.unwrap().count, 1_020);
    assert!(fleet.messages.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_serves_a_fleet_as_one_server_does() {
    let cluster = Cluster::start().await;
    let mut fleet = Fleet::on(cluster.config());
    let hosts: Vec<Host> = (0..3).map(|_| fleet.start().0).collect();
    calls(&hosts[0], Outcome::Error, 10);
    calls(&hosts[2], Outcome::Error, 10);
    assert_eq!(fleet.told().await, FIRING);
    assert_eq!(marked(&hosts[1]).await.len(), 1);
    assert_eq!(hosts[1].alerts().active().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_redis_lost_its_data_somebody_leads_and_incidents_are_told_anew() {
    let server = Server::single();
    let mut fleet = Fleet::on(server.config());
    let hosts: Vec<Host> = (0..2).map(|_| fleet.start().0).collect();
    for _ in 0..2 {
        calls(&hosts[0], Outcome::Error, 20);
        assert_eq!(fleet.told().await, FIRING);
        marked(&hosts[1]).await;
        server.flush().await;
    }
}
