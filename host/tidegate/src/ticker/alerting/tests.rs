//! Outages of the store that several processes share: no built-in alert is lost, and none is reported twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use tidegate_core::config::ChannelConfig;
use tidegate_core::notify::SendFuture;
use tidegate_core::store::{AlertChanges, AlertRecord, AlertStates, AlertStore, Delivery, OfflineAlerts, StoreFuture};
use tidegate_core::{Clock, Notification, Notifier, NotifyError, StoreError};

use super::Alerting;
use crate::alerts::{Alerts, MemoryAlerts};
use crate::{Host, SystemClock};

/// What happens to the requests of a process to the shared store.
#[derive(Clone, Copy, Default, PartialEq)]
enum Link {
    #[default]
    Up,
    Down,
    /// The next write is executed, but its reply is lost.
    LosesReply,
}

/// The shared store, as one process reaches it.
struct LinkedStore {
    store: Arc<MemoryAlerts>,
    link: Arc<Mutex<Link>>,
}

impl LinkedStore {
    fn request<'a, T: Send + 'a>(&'a self, request: StoreFuture<'a, T>, is_write: bool) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let link = *self.link.lock();
            if link == Link::Down {
                return Err(unavailable());
            }
            let reply = request.await;
            if link == Link::LosesReply && is_write {
                *self.link.lock() = Link::Down;
                return Err(unavailable());
            }
            reply
        })
    }
}

fn unavailable() -> StoreError {
    StoreError::unavailable("connection refused")
}

impl AlertStore for LinkedStore {
    fn states(&self) -> StoreFuture<'_, AlertStates> {
        self.request(self.store.states(), false)
    }

    fn states_as_leader(&self, token: u64) -> StoreFuture<'_, Option<AlertStates>> {
        self.request(Box::pin(async move { self.store.states_as_leader(token).await }), false)
    }

    fn write(&self, token: u64, changes: AlertChanges) -> StoreFuture<'_, Option<Vec<AlertRecord>>> {
        self.request(Box::pin(async move { self.store.write(token, changes).await }), true)
    }

    fn record_delivery(&self, id: u64, delivery: Delivery) -> StoreFuture<'_, ()> {
        self.request(Box::pin(async move { self.store.record_delivery(id, delivery).await }), false)
    }

    fn add_offline(&self, alerts: OfflineAlerts) -> StoreFuture<'_, ()> {
        self.request(Box::pin(async move { self.store.add_offline(alerts).await }), true)
    }

    fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> StoreFuture<'a, Vec<AlertRecord>> {
        self.request(self.store.history(platform, limit), false)
    }
}

/// A channel that collects what it was sent, and rejects the next messages on demand.
#[derive(Default)]
struct Inbox {
    messages: Mutex<Vec<String>>,
    failures: Mutex<u32>,
}

impl Notifier for Inbox {
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
        let mut failures = self.failures.lock();
        let result = if *failures > 0 {
            *failures -= 1;
            Err(NotifyError::transient("busy"))
        } else {
            self.messages.lock().push(format_transition(notification));
            Ok(())
        };
        Box::pin(std::future::ready(result))
    }
}

fn format_transition(notification: &Notification) -> String {
    format!("{} {}", notification.rule, notification.transition)
}

struct Process {
    alerting: Alerting,
    link: Arc<Mutex<Link>>,
}

/// Processes `p`, `q`, … that share a store and a channel.
struct Fleet {
    store: Arc<MemoryAlerts>,
    inbox: Arc<Inbox>,
    processes: BTreeMap<char, Process>,
    token: u64,
}

impl Fleet {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = Arc::new(MemoryAlerts::new(Arc::clone(&clock)));
        let inbox = Arc::new(Inbox::default());
        let process = |name| {
            let host = Host::builder().clock(Arc::clone(&clock)).build().unwrap();
            let link = Arc::new(Mutex::new(Link::Up));
            let alerts = Alerts::new(Arc::new(LinkedStore { store: Arc::clone(&store), link: Arc::clone(&link) }));
            let channel = ChannelConfig::from_notifier(Arc::clone(&inbox) as Arc<dyn Notifier>);
            alerts.set_channels(&[("inbox".to_owned(), channel)].into(), &clock).unwrap();
            (name, Process { alerting: Alerting::with_alerts(&host, alerts), link })
        };
        let processes = ['p', 'q'].into_iter().map(process).collect();
        Self { store, inbox, processes, token: 0 }
    }

    /// Executes steps that are separated by spaces:
    /// - `p:lead`: p becomes leader and runs one tick, or evaluates built-in alerts in memory if the tick fails;
    /// - `p:down`, `p:up`, `p:lose`: the link of p to the store breaks, works, or loses the reply to its next write;
    /// - `p:unavailable=9`: the requests of p for leadership fail for 9 s, twice a second;
    /// - `p:standby`: p learns whether another process leads;
    /// - `busy=2`: the channel rejects the next 2 messages;
    /// - `wait=9`: 9 s pass.
    async fn run(&mut self, steps: &str) {
        for step in steps.split_whitespace() {
            let (action, number) = step.split_once('=').unwrap_or((step, "0"));
            let number: u32 = number.parse().unwrap();
            match action.split_once(':') {
                None if action == "wait" => wait(number).await,
                None => *self.inbox.failures.lock() = number,
                Some((name, action)) => self.act(name.parse().unwrap(), action, number).await,
            }
            // The deliveries that the step started end, or wait for their next attempt.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn act(&mut self, name: char, action: &str, seconds: u32) {
        self.token += 1;
        let Process { alerting, link } = self.processes.get_mut(&name).unwrap();
        match action {
            "down" => *link.lock() = Link::Down,
            "up" => *link.lock() = Link::Up,
            "lose" => *link.lock() = Link::LosesReply,
            "lead" => {
                alerting.was_leader = true;
                if let Err(error) = alerting.tick(self.token).await {
                    alerting.leadership_lost().await;
                    alerting.record_redis_failure(&error).await;
                }
            }
            "unavailable" => {
                for _ in 0..2 * seconds {
                    alerting.record_redis_failure(&unavailable()).await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
            "standby" => {
                if let Err(error) = alerting.record_other_leader().await {
                    alerting.record_redis_failure(&error).await;
                }
            }
            other => panic!("unknown action {other}"),
        }
    }

    fn messages(&self) -> Vec<String> {
        self.inbox.messages.lock().clone()
    }

    /// Returns the history, oldest first. A notification without a successful delivery is marked.
    fn history(&self) -> Vec<String> {
        let format = |record: AlertRecord| {
            let delivered = record.deliveries.iter().any(|delivery| delivery.delivered);
            let mark = if delivered { "" } else { " (undelivered)" };
            format_transition(&record.routed.notification) + mark
        };
        self.store.records().into_iter().map(format).collect()
    }
}

async fn wait(seconds: u32) {
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
}

const FIRING: &str = "redis_unavailable firing";
const STILL: &str = "redis_unavailable still_firing";
const RESOLVED: &str = "redis_unavailable resolved";

#[tokio::test(start_paused = true)]
async fn outage_is_reported_once_and_joins_the_history() {
    let rows: [(&str, &str, &[&str]); 14] = [
        ("an outage of 2 s", "p:lead p:down p:unavailable=2 p:up p:lead", &[]),
        ("the last leader leads again", "p:lead p:down p:unavailable=9 p:up p:lead p:lead", &[FIRING, RESOLVED]),
        ("another process leads", "p:lead p:down p:unavailable=9 q:lead p:up p:standby q:lead", &[FIRING, RESOLVED]),
        ("a process that never led", "p:lead q:down q:unavailable=9 q:up p:lead", &[]),
        ("the longer outage", "p:lead p:down p:unavailable=304 p:up p:lead", &[FIRING, STILL, RESOLVED]),
        (
            "the reply to the addition is lost",
            "p:lead p:down p:unavailable=9 p:lose p:lead p:up p:lead",
            &[FIRING, RESOLVED],
        ),
        (
            "the reply is lost, and another process leads",
            "p:lead p:down p:unavailable=9 p:lose p:standby q:lead p:up p:standby q:lead",
            &[FIRING, RESOLVED],
        ),
        (
            "a second outage within the cooldown",
            "p:lead p:down p:unavailable=9 p:up p:lead p:down p:unavailable=9 p:up p:lead",
            &[FIRING, RESOLVED],
        ),
        (
            "a second outage after the cooldown",
            "p:lead p:down p:unavailable=9 p:up p:lead wait=300 p:lead p:down p:unavailable=9 p:up p:lead",
            &[FIRING, RESOLVED, FIRING, RESOLVED],
        ),
        (
            "the next leader knows the cooldown",
            "p:lead p:down p:unavailable=9 p:up p:lead q:lead q:down q:unavailable=9 q:up p:standby q:lead",
            &[FIRING, RESOLVED],
        ),
        (
            "the reply to `resolved` is lost",
            "p:lead p:down p:unavailable=9 p:up p:standby p:lose p:lead p:down p:unavailable=9 p:up p:lead",
            &[FIRING, RESOLVED],
        ),
        ("a busy channel during the outage", "p:lead busy=2 p:down p:unavailable=9 p:up p:lead", &[FIRING, RESOLVED]),
        (
            "the leader continues a delivery",
            "p:lead busy=1 p:down p:unavailable=4 p:up p:lead wait=9 p:lead",
            &[FIRING, RESOLVED],
        ),
        (
            "only the leader continues a delivery whose addition may have succeeded",
            "p:lead busy=1 p:down p:unavailable=4 p:lose p:lead p:unavailable=60 q:lead p:up p:standby q:lead",
            &[FIRING, RESOLVED],
        ),
    ];
    for (name, steps, expected) in rows {
        let mut fleet = Fleet::new();
        fleet.run(steps).await;
        let mut messages = fleet.messages();
        assert_eq!(fleet.history(), expected, "{name}: history");
        // A delivery that is tried again may come after a later one.
        if steps.contains("busy") {
            messages.sort_unstable();
        }
        assert_eq!(messages, expected, "{name}: messages");
    }
}

#[tokio::test(start_paused = true)]
async fn outage_of_one_process_and_then_of_its_successor_are_both_in_the_history() {
    let mut fleet = Fleet::new();
    fleet.run("p:lead p:down p:unavailable=9 q:lead q:down p:unavailable=5 q:unavailable=9").await;
    assert_eq!(fleet.messages(), [FIRING, FIRING], "each last leader reports its own outage");
    fleet.run("p:up p:standby q:up q:standby p:lead").await;
    assert_eq!(fleet.history(), [FIRING, FIRING, RESOLVED]);
    assert_eq!(fleet.messages(), [FIRING, FIRING, RESOLVED]);
}

#[tokio::test(start_paused = true)]
async fn process_that_stops_during_an_outage_delivers_what_it_has() {
    let mut fleet = Fleet::new();
    fleet.run("p:lead busy=1 p:down p:unavailable=4").await;
    fleet.processes.get_mut(&'p').unwrap().alerting.drain().await;
    assert_eq!(fleet.messages(), [FIRING]);
    assert_eq!(fleet.history(), [""; 0], "the history is in the store, which is unavailable");
}

/// One step of a random history. `p` and `q` never lead at the same time, as with the leader lock.
fn random_step() -> impl Strategy<Value = String> {
    let process = prop_oneof![Just('p'), Just('q')];
    let action = prop_oneof![
        4 => Just("lead"),
        3 => Just("standby"),
        2 => Just("down"),
        3 => Just("up"),
        2 => Just("lose"),
        3 => Just("unavailable=4"),
        1 => Just("unavailable=310"),
    ];
    (process, action).prop_map(|(process, action)| format!("{process}:{action}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_outages_lose_no_message_and_repeat_none(steps in prop::collection::vec(random_step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut fleet = Fleet::new();
            fleet.run(&steps.join(" ")).await;
            fleet.run("p:up q:up q:standby p:lead wait=60 p:lead").await;
            let (mut messages, mut history) = (fleet.messages(), fleet.history());
            messages.sort_unstable();
            history.sort_unstable();
            prop_assert_eq!(messages, history);
            Ok(())
        })?;
    }
}
