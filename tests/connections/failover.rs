//! Servers that take each other's place.

use tidegate::redis::ServerState;

use super::load::Load;
use super::{COUNT, count, number, open, patiently, serves};
use crate::servers::{Cluster, Sentinels};

#[tokio::test]
async fn sentinels_lead_to_a_new_master_when_the_old_one_dies() {
    let mut sentinels = Sentinels::start().await;
    let redis = serves(&sentinels.config(), "sentinel").await;
    let mut signal = redis.signal("told");
    patiently(signal.changed()).await;
    let load = Load::start(&redis, "load");
    load.goes_on().await;
    let [old, new] = &mut sentinels.servers;
    old.kill();
    load.goes_on().await;
    new.says(&["ROLE"], "master").await;
    let health = redis.health();
    assert!(health.servers[0].server.as_ref().is_some_and(|server| server.ends_with(&new.port.to_string())));
    // The gap counts as a change, and so does what is told at the new master.
    patiently(signal.changed()).await;
    let told = redis.run(&COUNT, &["told".to_owned()], &[b"told".to_vec()]).await;
    assert_eq!(number(told), Ok(1));
    patiently(signal.changed()).await;
}

#[tokio::test]
async fn a_master_that_sentinels_replace_is_left_though_it_lives() {
    let sentinels = Sentinels::start().await;
    let redis = serves(&sentinels.config(), "sentinel").await;
    let load = Load::start(&redis, "load");
    load.goes_on().await;
    sentinels.replace_master().await;
    let [_, new] = &sentinels.servers;
    new.says(&["ROLE"], "master").await;
    let led = || redis.health().servers[0].server.as_ref().is_some_and(|at| at.ends_with(&new.port.to_string()));
    while !led() {
        load.goes_on().await;
    }
    load.goes_on().await;
}

/// A key whose slot this node has.
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
async fn a_cluster_serves_and_a_slot_that_moves_is_followed() {
    let cluster = Cluster::start().await;
    let redis = serves(&cluster.config(), "cluster").await;
    assert_eq!(redis.health().servers.len(), 3);
    let (key, slot) = key_on(&cluster, 1).await;
    let load = Load::start(&redis, &key);
    load.goes_on().await;
    cluster.begin_move(slot, 1, 2).await;
    load.goes_on().await;
    cluster.end_move(slot, 1, 2, &[&key]).await;
    load.goes_on().await;
    assert_eq!(load.end().await, 0, "a slot moves without a call being lost");
    assert!(cluster.nodes[2].command(&["GET", &key]).await.starts_with('$'));
}

#[tokio::test]
async fn a_dead_shard_leaves_the_others_up() {
    let mut cluster = Cluster::start().await;
    let redis = open(&cluster.config());
    let (dead, _) = key_on(&cluster, 1).await;
    let (alive, _) = key_on(&cluster, 2).await;
    let load = Load::start(&redis, &alive);
    load.goes_on().await;
    patiently(redis.back(&dead)).await;
    assert_eq!(count(&redis, &dead).await, Ok(1));
    cluster.nodes[1].kill();
    let lost = async { while count(&redis, &dead).await.is_ok() {} };
    patiently(lost).await;
    assert!(count(&redis, &dead).await.unwrap_err().is_away());
    let health = redis.health();
    assert_eq!(health.state, ServerState::Partly);
    assert_eq!(health.servers.iter().filter(|server| server.state == ServerState::Up).count(), 2);
    load.goes_on().await;
    assert_eq!(load.end().await, 0, "the others lose nothing");
    cluster.nodes[1].start_again();
    patiently(redis.back(&dead)).await;
    patiently(async {
        while count(&redis, &dead).await.is_err() {
            redis.back(&dead).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_takes_over_from_a_dead_shard_is_followed() {
    let mut cluster = Cluster::start().await;
    cluster.add_replica_of(1).await;
    let redis = open(&cluster.config());
    let (key, _) = key_on(&cluster, 1).await;
    let load = Load::start(&redis, &key);
    load.goes_on().await;
    cluster.nodes[1].kill();
    load.goes_on().await;
    assert!(cluster.nodes[3].command(&["GET", &key]).await.starts_with('$'));
}

#[tokio::test]
async fn a_slot_whose_move_was_broken_off_costs_one_wait_and_is_back_when_the_move_ends() {
    let cluster = Cluster::start().await;
    let redis = open(&cluster.config());
    let (key, slot) = key_on(&cluster, 0).await;
    let both = [key.clone(), format!("{key}:missing")];
    let run = async || redis.run(&COUNT, &both, &[]).await;
    patiently(redis.back(&key)).await;
    assert_eq!(number(run().await), Ok(1));
    cluster.begin_move(slot, 0, 1).await;
    // One key is here and the other would be made there: nobody can run this.
    let error = run().await.unwrap_err();
    assert!(error.is_away() && error.to_string().contains("TRYAGAIN"), "{error}");
    let seen = async {
        while redis.health().state != ServerState::Partly {
            assert!(run().await.is_err());
        }
    };
    patiently(seen).await;
    let (other, _) = key_on(&cluster, 1).await;
    assert_eq!(count(&redis, &other).await, Ok(1), "other slots are not concerned");
    cluster.end_move(slot, 0, 1, &[&key]).await;
    patiently(async {
        while run().await.is_err() {
            redis.back(&key).await
        }
    })
    .await;
}
