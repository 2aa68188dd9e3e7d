//! Failover: Sentinels, cluster nodes and slots that move to other servers.

use tidegate_redis::ServerState;
use tidegate_redis::internals::RawRequests;

use super::load::Load;
use super::{COUNT, assert_usable, count, integer_reply, open, within_timeout};
use crate::servers::{Cluster, Sentinels};

#[tokio::test]
async fn sentinel_failover_connects_to_the_new_master() {
    let mut sentinels = Sentinels::start().await;
    let redis = assert_usable(&sentinels.config(), "sentinel").await;
    let mut signal = redis.signal("changed");
    within_timeout(signal.changed()).await;
    let load = Load::start(&redis, "load");
    load.wait_for_progress().await;
    let [old, new] = &mut sentinels.servers;
    old.kill();
    load.wait_for_progress().await;
    new.wait_for_reply(&["ROLE"], "master").await;
    let health = redis.health();
    assert!(health.servers[0].server.as_ref().is_some_and(|server| server.ends_with(&new.port.to_string())));
    // The gap in the subscription is reported as a change, and so is a message that is published on the new master.
    within_timeout(signal.changed()).await;
    let reply = redis.run(&COUNT, &["counter".to_owned()], &[b"changed".to_vec()]).await;
    assert_eq!(integer_reply(reply), Ok(1));
    within_timeout(signal.changed()).await;
}

#[tokio::test]
async fn calls_move_to_the_new_master_while_the_old_one_still_runs() {
    let sentinels = Sentinels::start().await;
    let redis = assert_usable(&sentinels.config(), "sentinel").await;
    let load = Load::start(&redis, "load");
    load.wait_for_progress().await;
    sentinels.failover().await;
    let [_, new] = &sentinels.servers;
    new.wait_for_reply(&["ROLE"], "master").await;
    let uses_new_master = || {
        let health = redis.health();
        health.servers[0].server.as_ref().is_some_and(|address| address.ends_with(&new.port.to_string()))
    };
    while !uses_new_master() {
        load.wait_for_progress().await;
    }
    load.wait_for_progress().await;
}

/// Returns a key in a slot of this node, and the slot.
async fn key_on(cluster: &Cluster, node: usize) -> (String, u16) {
    for number in 0.. {
        let key = format!("load:{{{number}}}");
        let (owner, slot) = cluster.owner(&key).await;
        if owner == node {
            return (key, slot);
        }
    }
    unreachable!("each node has a third of the slots")
}

#[tokio::test]
async fn no_call_is_lost_while_a_cluster_slot_migrates() {
    let cluster = Cluster::start().await;
    let redis = assert_usable(&cluster.config(), "cluster").await;
    assert_eq!(redis.health().servers.len(), 3);
    let (key, slot) = key_on(&cluster, 1).await;
    let load = Load::start(&redis, &key);
    load.wait_for_progress().await;
    cluster.start_migration(slot, 1, 2).await;
    load.wait_for_progress().await;
    cluster.finish_migration(slot, 1, 2, &[&key]).await;
    load.wait_for_progress().await;
    assert_eq!(load.stop().await, 0, "no call is lost while the slot moves");
    assert!(cluster.nodes[2].command(&["GET", &key]).await.starts_with('$'));
}

#[tokio::test]
async fn failed_cluster_node_leaves_the_other_nodes_up() {
    let mut cluster = Cluster::start().await;
    let redis = open(&cluster.config());
    let (failed_key, _) = key_on(&cluster, 1).await;
    let (healthy_key, _) = key_on(&cluster, 2).await;
    let load = Load::start(&redis, &healthy_key);
    load.wait_for_progress().await;
    within_timeout(redis.wait_until_available(&failed_key)).await;
    assert_eq!(count(&redis, &failed_key).await, Ok(1));
    cluster.nodes[1].kill();
    let outage = async { while count(&redis, &failed_key).await.is_ok() {} };
    within_timeout(outage).await;
    assert!(count(&redis, &failed_key).await.unwrap_err().is_unavailable());
    let health = redis.health();
    assert_eq!(health.state, ServerState::Degraded);
    assert_eq!(health.servers.iter().filter(|server| server.state == ServerState::Up).count(), 2);
    load.wait_for_progress().await;
    assert_eq!(load.stop().await, 0, "the other nodes lose no call");
    cluster.nodes[1].restart();
    within_timeout(redis.wait_until_available(&failed_key)).await;
    within_timeout(async {
        while count(&redis, &failed_key).await.is_err() {
            redis.wait_until_available(&failed_key).await;
        }
    })
    .await;
}

#[tokio::test]
async fn commands_go_to_the_replica_that_replaces_a_failed_node() {
    let mut cluster = Cluster::start().await;
    cluster.add_replica_of(1).await;
    let redis = open(&cluster.config());
    let (key, _) = key_on(&cluster, 1).await;
    let load = Load::start(&redis, &key);
    load.wait_for_progress().await;
    cluster.nodes[1].kill();
    load.wait_for_progress().await;
    assert!(cluster.nodes[3].command(&["GET", &key]).await.starts_with('$'));
}

#[tokio::test]
async fn interrupted_slot_migration_makes_only_that_slot_unavailable_until_it_completes() {
    let cluster = Cluster::start().await;
    let redis = open(&cluster.config());
    let (key, slot) = key_on(&cluster, 0).await;
    let keys = [key.clone(), format!("{key}:missing")];
    let run = async || redis.run(&COUNT, &keys, &[]).await;
    within_timeout(redis.wait_until_available(&key)).await;
    assert_eq!(integer_reply(run().await), Ok(1));
    cluster.start_migration(slot, 0, 1).await;
    // One key is on the old node and the missing key would be created on the new one, so no node can run this script.
    let error = run().await.unwrap_err();
    assert!(error.is_unavailable() && error.to_string().contains("TRYAGAIN"), "{error}");
    let degraded = async {
        while redis.health().state != ServerState::Degraded {
            assert!(run().await.is_err());
        }
    };
    within_timeout(degraded).await;
    let (other, _) = key_on(&cluster, 1).await;
    assert_eq!(count(&redis, &other).await, Ok(1), "other slots still work");
    cluster.finish_migration(slot, 0, 1, &[&key]).await;
    within_timeout(async {
        while run().await.is_err() {
            redis.wait_until_available(&key).await
        }
    })
    .await;
}
