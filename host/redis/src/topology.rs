//! Selects the server that has a key: the only server, or one node of a cluster.

use std::sync::Arc;

use redis::{Cmd, Value};
use tidegate_core::config::{RedisConfig, RedisKind};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::address::Address;
use crate::address_source::{AddressSource, Sentinels};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::keys::Keys;
use crate::node_connection::{ConnectionContext, NodeConnection};
use crate::node_error::NodeError;

/// The servers behind the configured addresses.
pub enum Topology {
    /// One server has every key.
    SingleNode(NodeConnection),
    /// Each node has the keys of some slots.
    Cluster(Cluster),
}

impl Topology {
    /// Creates the connections and starts to connect. Must be called within a tokio runtime.
    pub fn open(config: &RedisConfig, keys: &Keys, context: Arc<ConnectionContext>) -> Result<Self, Error> {
        let addresses = Address::from_config(config)?;
        let single_node = |source| {
            let (probe_key, context) = (keys.probe(""), Arc::clone(&context));
            Self::SingleNode(NodeConnection::new(source, probe_key, context, Arc::new(Notify::new())))
        };
        Ok(match config.kind {
            RedisKind::Sentinel => single_node(AddressSource::Sentinels(Sentinels {
                server: addresses[0].monitored_server(config),
                sentinels: addresses.iter().map(Address::sentinel).collect(),
                master: config.master.clone(),
                last_used: tokio::sync::Mutex::default(),
            })),
            RedisKind::Cluster => Self::Cluster(Cluster::new(addresses, keys.clone(), context)),
            _ => single_node(AddressSource::Fixed(addresses[0].clone())),
        })
    }

    /// Sends commands to the server that has the key.
    pub async fn send(&self, key: &str, commands: &[Cmd], deadline: Instant) -> Result<Vec<Value>, NodeError> {
        match self {
            Self::SingleNode(node) => node.send(commands, false, deadline).await,
            Self::Cluster(cluster) => cluster.send(key, commands, deadline).await,
        }
    }

    /// Waits until the server that has the key can be used.
    pub async fn wait_until_available(&self, key: &str) {
        match self {
            Self::SingleNode(node) => node.wait_until_available().await,
            Self::Cluster(cluster) => cluster.wait_until_available(key).await,
        }
    }

    /// Waits until every known server can be used.
    pub async fn wait_until_ready(&self) {
        match self {
            Self::SingleNode(node) => node.wait_until_available().await,
            Self::Cluster(cluster) => cluster.wait_until_ready().await,
        }
    }

    /// Returns why the server that has the key is unavailable; `None` if it may be available.
    pub fn unavailable_reason(&self, key: &str) -> Option<Arc<str>> {
        match self {
            Self::SingleNode(node) => node.unavailable_reason(),
            Self::Cluster(cluster) => cluster.unavailable_reason(key),
        }
    }

    /// Returns the servers that can be used now; each receives every published message.
    pub fn connected_addresses(&self) -> Vec<Address> {
        match self {
            Self::SingleNode(node) => node.connected_address().into_iter().collect(),
            Self::Cluster(cluster) => {
                cluster.nodes().iter().filter_map(|node| node.connection.connected_address()).collect()
            }
        }
    }

    /// Returns whether the server at `address` no longer belongs to this topology. Subscriptions there must then end.
    pub fn has_left(&self, address: &Address) -> bool {
        match self {
            Self::SingleNode(node) => node.connected_address().is_some_and(|now| now.server() != address.server()),
            Self::Cluster(cluster) => cluster.nodes().iter().all(|node| node.address.server() != address.server()),
        }
    }
}
