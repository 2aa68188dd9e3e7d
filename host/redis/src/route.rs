//! Which server a key is on.

use std::sync::Arc;

use redis::{Cmd, Value};
use tidegate_core::config::{RedisConfig, RedisKind};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::address::{Address, OpenError};
use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::keys::Keys;
use crate::lane::{Lane, Tally};
use crate::source::{Sentinels, Source};

/// The servers behind the addresses.
pub enum Route {
    /// One server has every key.
    One(Lane),
    /// Each node has the keys of some slots.
    Cluster(Cluster),
}

impl Route {
    /// Begins to connect, within a tokio runtime.
    pub fn open(config: &RedisConfig, keys: &Keys, tally: Arc<Tally>) -> Result<Self, OpenError> {
        let addresses = Address::all(config)?;
        let one = |source| {
            let probe_key = keys.probe("");
            Self::One(Lane::new(source, probe_key, config.decide_within, Arc::clone(&tally), Arc::new(Notify::new())))
        };
        Ok(match config.kind {
            RedisKind::Single => one(Source::Fixed(addresses[0].clone())),
            RedisKind::Sentinel => one(Source::Sentinels(Sentinels {
                server: addresses[0].behind_sentinel(config),
                sentinels: addresses.iter().map(Address::of_sentinel).collect(),
                master: config.master.clone(),
                kept: tokio::sync::Mutex::default(),
            })),
            RedisKind::Cluster => Self::Cluster(Cluster::new(addresses, keys.clone(), config.decide_within, tally)),
        })
    }

    /// Asks the server that has the key.
    pub async fn ask(&self, key: &str, commands: &[Cmd], deadline: Instant) -> Result<Vec<Value>, Fault> {
        match self {
            Self::One(lane) => lane.ask(commands, false, deadline).await,
            Self::Cluster(cluster) => cluster.ask(key, commands, deadline).await,
        }
    }

    /// Ends once the server that has the key can be used.
    pub async fn back(&self, key: &str) {
        match self {
            Self::One(lane) => lane.back().await,
            Self::Cluster(cluster) => cluster.back(key).await,
        }
    }

    /// Why the server that has the key cannot be used, where it is known to be away.
    pub fn away(&self, key: &str) -> Option<Arc<str>> {
        match self {
            Self::One(lane) => lane.away(),
            Self::Cluster(cluster) => cluster.away(key),
        }
    }

    /// Servers that hear what is published anywhere and can be used now.
    pub fn posts(&self) -> Vec<Address> {
        match self {
            Self::One(lane) => lane.up_at().into_iter().collect(),
            Self::Cluster(cluster) => cluster.nodes().iter().filter_map(|node| node.lane.up_at()).collect(),
        }
    }

    /// Whether whoever listens at a server does so in vain.
    pub fn gone_from(&self, post: &Address) -> bool {
        match self {
            Self::One(lane) => lane.up_at().is_some_and(|address| address.place() != post.place()),
            Self::Cluster(cluster) => cluster.nodes().iter().all(|node| node.address.place() != post.place()),
        }
    }
}
