//! The alerts that tidegate raises about itself, with a real Redis that fails and recovers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate::internals::redis;
use tidegate::{AlertPhase, AlertRecord, Host, Outcome};
use tidegate_core::{Failure, FleetProcess};
use tidegate_policy::Policies;
use tidegate_redis::internals::RawRequests;

use crate::fleet_leader::{FIRING, Fleet, RESOLVED, asked_until, record_calls, within_timeout};
use crate::servers::{Proxy, RedisServer};

const UNAVAILABLE: &str = "[critical] redis_unavailable firing: redis";
const AVAILABLE: &str = "[critical] redis_unavailable resolved: redis";

/// Starts hosts that find out within 50 ms that Redis is unavailable. Returns when a leader has sent a message.
async fn start_hosts(fleet: &mut Fleet, count: usize) -> Vec<Host> {
    fleet.config.redis.as_mut().unwrap().decide_within = Duration::from_millis(50);
    let hosts: Vec<Host> = (0..count).map(|_| fleet.start().0).collect();
    record_calls(&hosts[0], Outcome::Error, 20);
    assert_eq!(fleet.next_message().await, FIRING);
    assert_eq!(titles(&hosts[0], 1).await, [FIRING]);
    hosts
}

/// Waits until the history has this number of notifications and all are delivered. Returns their titles, oldest first.
async fn titles(host: &Host, count: usize) -> Vec<String> {
    let history = asked_until(host, async || {
        let history = host.alerts().history(None, 100).await.ok()?;
        (history.len() >= count && history.iter().all(is_delivered)).then_some(history)
    });
    let history = history.await;
    history.iter().rev().map(|record| record.routed.notification.title()).collect()
}

fn is_delivered(record: &AlertRecord) -> bool {
    let mut channels = record.routed.channels.iter();
    channels.all(|channel| record.deliveries.iter().any(|delivery| delivery.delivered && delivery.channel == *channel))
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_is_reported_once_by_the_last_leader_and_joins_the_history() {
    let server = RedisServer::start();
    let mut fleet = Fleet::new(server.config());
    let hosts = start_hosts(&mut fleet, 3).await;
    server.pause();
    assert_eq!(fleet.next_message().await, UNAVAILABLE);
    assert!(hosts[1].alerts().active().await.unwrap_err().is_unavailable());
    record_calls(&hosts[2], Outcome::Success, 1_000); // these calls are counted while Redis is unavailable
    server.resume();
    let mut messages = [fleet.next_message().await, fleet.next_message().await];
    messages.sort();
    assert_eq!(messages, [RESOLVED, AVAILABLE]);
    let mut titles = titles(&hosts[0], 4).await;
    assert_eq!(titles[..2], [FIRING, UNAVAILABLE]);
    titles.sort();
    assert_eq!(titles, [FIRING, RESOLVED, UNAVAILABLE, AVAILABLE]);
    assert_eq!(hosts[0].stats("jd", None, Duration::from_secs(3_600)).await.unwrap().count, 1_020);
    assert!(fleet.messages.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_in_which_redis_loses_its_data_joins_the_history() {
    let mut server = RedisServer::start();
    let mut fleet = Fleet::new(server.config());
    let hosts = start_hosts(&mut fleet, 2).await;
    server.kill();
    assert_eq!(fleet.next_message().await, UNAVAILABLE);
    server.restart();
    assert_eq!(fleet.next_message().await, AVAILABLE);
    assert_eq!(titles(&hosts[1], 2).await, [UNAVAILABLE, AVAILABLE]);
    assert!(fleet.messages.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_of_the_leader_alone_joins_the_history_that_its_successor_writes() {
    let server = RedisServer::start();
    let proxy = Proxy::to(&server).await;
    let mut fleet = Fleet::new(proxy.config(&server));
    let _first = start_hosts(&mut fleet, 1).await;
    proxy.set_stalled(true);
    fleet.config.redis = Some(server.config());
    let (second, _) = fleet.start();
    assert_eq!(fleet.next_message().await, UNAVAILABLE);
    // The new leader has its own view of the calls, which is the shared one.
    record_calls(&second, Outcome::Success, 1_000);
    assert_eq!(fleet.next_message().await, RESOLVED);
    proxy.set_stalled(false);
    assert_eq!(fleet.next_message().await, AVAILABLE);
    assert_eq!(titles(&second, 4).await, [FIRING, UNAVAILABLE, RESOLVED, AVAILABLE]);
    assert!(fleet.messages.try_recv().is_err());
}

/// Returns new policies in `dir`, with a retry policy that faults for a 503.
fn open_policies(fleet: &Fleet, dir: &Path) -> Arc<Policies> {
    fs::create_dir_all(dir.join("retry")).unwrap();
    fs::write(dir.join("retry/jd.rhai"), "if code == \"broken\" { throw \"on purpose\" } else { abstain() }").unwrap();
    let mut config = fleet.config.policies.clone();
    config.dir = dir.to_owned();
    let policies = Policies::open(&config);
    assert_eq!(policies.reload().rejected, BTreeMap::new());
    policies
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_in_a_process_that_does_not_lead_is_an_ordinary_alert() {
    let (server, dir) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let mut fleet = Fleet::new(server.config());
    fleet.policies = open_policies(&fleet, dir.path());
    let (leader, _) = fleet.start();
    server.wait_for_reply(&["EXISTS", &redis(&leader).unwrap().keys().lock("tidegate:leader")], ":1").await;
    fleet.policies = open_policies(&fleet, dir.path());
    let (standby, _) = fleet.start();
    let failure = Failure::default().with_platform("jd").with_code("broken");
    for _ in 0..standby.config().policies.max_faults {
        assert_eq!(&*standby.policies().unwrap().classify(&failure).policy, "fallback");
    }
    assert_eq!(fleet.next_message().await, "[warning] policy_quarantined firing: retry/jd.rhai");
    let active = leader.alerts().active().await.unwrap();
    assert_eq!((active[0].rule.as_str(), active[0].state), ("policy_quarantined", AlertPhase::Firing));
    fs::write(dir.path().join("retry/jd.rhai"), "abstain()").unwrap();
    for host in [&standby, &leader] {
        assert_eq!(host.policies().unwrap().reload().rejected, BTreeMap::new());
    }
    assert_eq!(fleet.next_message().await, "[warning] policy_quarantined resolved: retry/jd.rhai");
    assert_eq!(titles(&leader, 2).await.len(), 2);
}

/// Waits until every process of the fleet has announced its policies, and the alert `policies_differ` is as expected.
async fn fleet_when_differing(host: &Host, expected: Option<AlertPhase>) -> Vec<FleetProcess> {
    asked_until(host, async || {
        let active = host.alerts().active().await.unwrap();
        let state = active.iter().find(|alert| alert.rule == "policies_differ").map(|alert| alert.state);
        let fleet = host.fleet().await.unwrap();
        let is_announced = fleet.iter().all(|process| process.info.policies_hash.is_some());
        (state == expected && is_announced).then_some(fleet)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn different_policies_are_noticed_until_they_are_equal_again() {
    let (server, dirs) = (RedisServer::start(), [(); 2].map(|()| tempfile::tempdir().unwrap()));
    let mut fleet = Fleet::new(server.config());
    let hosts = dirs.each_ref().map(|dir| {
        fleet.policies = open_policies(&fleet, dir.path());
        fleet.start().0
    });
    let hashes = |fleet: &[FleetProcess]| -> Vec<Option<String>> {
        fleet.iter().map(|process| process.info.policies_hash.clone()).collect()
    };
    let same = fleet_when_differing(&hosts[0], None).await;
    assert_eq!(same.iter().filter(|process| process.is_self).count(), 1);
    // The second process gets a new version first, and then the first one gets it too.
    for (index, expected) in [(1, Some(AlertPhase::Pending)), (0, None)] {
        fs::write(dirs[index].path().join("retry/jd.rhai"), "retry(\"transient\")").unwrap();
        assert_eq!(hosts[index].policies().unwrap().reload().rejected, BTreeMap::new());
        let processes = fleet_when_differing(&hosts[0], expected).await;
        let hashes = hashes(&processes);
        assert_eq!(hashes.len(), 2);
        assert_eq!(hashes[0] == hashes[1], expected.is_none(), "{hashes:?}");
    }
    assert!(fleet.messages.try_recv().is_err(), "a difference of less than a minute sends no message");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_host_neither_leads_nor_counts() {
    let server = RedisServer::start();
    let fleet = Fleet::new(server.config());
    let builder = Host::builder().config(fleet.config.clone()).policies(Arc::clone(&fleet.policies));
    let host = builder.read_only().build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(host.clone().run(async { drop(stopped.await) }));
    record_calls(&host, Outcome::Success, 1);
    let is_flushed =
        async || host.stats("jd", None, Duration::from_secs(3_600)).await.is_ok_and(|stats| stats.count == 1);
    within_timeout(async { while !is_flushed().await {} }).await;
    assert!(host.locks().list().await.unwrap().is_empty(), "there is no leader");
    assert_eq!(host.fleet().await.unwrap(), []);
    stop.send(()).unwrap();
    within_timeout(running).await.unwrap();
}
