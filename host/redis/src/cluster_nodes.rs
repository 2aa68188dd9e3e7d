//! The nodes of a cluster, and which slots each of them has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tidegate_core::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::address::Address;
use crate::address_source::AddressSource;
use crate::connection::{Connection, connect_timeout};
use crate::keys::Keys;
use crate::node_connection::{ConnectionContext, NodeConnection, Outage};
use crate::node_error::NodeError;
use crate::slots::{self, SlotRange};

/// The minimum time between two updates of the slot map.
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);

/// The assignment of slots to nodes.
#[derive(Clone, Default)]
pub struct SlotMap {
    ranges: Vec<SlotRange>,
    nodes: BTreeMap<String, Arc<ClusterNode>>,
}

/// A node and the connection to it.
pub struct ClusterNode {
    /// The node's address.
    pub address: Address,
    /// The connection to the node.
    pub connection: NodeConnection,
}

/// Whether a cluster has been discovered, and its slot map.
#[derive(Clone)]
pub enum ClusterState {
    /// No node has replied yet. Discovery started at this time.
    Discovering(Timestamp),
    /// No node has provided a slot map yet; the outage has the reason.
    Unavailable(Outage),
    /// The last slot map that a node provided.
    Mapped(Arc<SlotMap>),
}

/// Discovers the nodes and keeps a connection to each.
pub struct ClusterNodes {
    seeds: Vec<Address>,
    keys: Keys,
    context: Arc<ConnectionContext>,
    topology_changed: Arc<Notify>,
    state: watch::Sender<ClusterState>,
}

impl SlotMap {
    /// Returns the nodes, ordered by address.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<ClusterNode>> {
        self.nodes.values()
    }

    /// Returns the node that has a slot.
    pub fn node(&self, slot: u16) -> Option<&Arc<ClusterNode>> {
        let after = self.ranges.partition_point(|range| range.first <= slot);
        let range = self.ranges.get(after.checked_sub(1)?).filter(|range| slot <= range.last)?;
        self.nodes.get(&node_name(&range.host, range.port))
    }
}

impl ClusterNodes {
    /// Creates a cluster without known nodes. `seeds` are the configured addresses.
    pub fn new(seeds: Vec<Address>, keys: Keys, context: Arc<ConnectionContext>) -> Self {
        let topology_changed = Arc::new(Notify::new());
        let state = watch::Sender::new(ClusterState::Discovering(context.clock.now()));
        Self { seeds, keys, context, topology_changed, state }
    }

    /// Returns a receiver, to read the state or to wait for a change.
    pub fn state(&self) -> watch::Receiver<ClusterState> {
        self.state.subscribe()
    }

    /// Requests an update of the slot map.
    pub fn request_update(&self) {
        self.topology_changed.notify_one();
    }

    /// Reads the slot map, and reads it again whenever it may have changed.
    pub async fn keep_updated(self: Arc<Self>) {
        loop {
            let complete = match self.fetch_slot_ranges().await {
                Ok(ranges) => self.update(ranges),
                Err(reason) => {
                    self.mark_unavailable(&reason);
                    false
                }
            };
            // Slots often move one after another; the pause combines their updates.
            sleep(UPDATE_INTERVAL).await;
            if complete {
                self.topology_changed.notified().await;
            }
        }
    }

    /// Returns the last slot map; an empty one if none is known.
    pub fn map(&self) -> Arc<SlotMap> {
        match &*self.state.borrow() {
            ClusterState::Mapped(map) => Arc::clone(map),
            ClusterState::Discovering(_) | ClusterState::Unavailable(_) => Arc::default(),
        }
    }

    /// Queries the connected nodes, then the configured addresses, until one of them returns the slots.
    async fn fetch_slot_ranges(&self) -> Result<Vec<SlotRange>, String> {
        let mut command = Cmd::new();
        command.arg("CLUSTER").arg("SLOTS");
        let command = [command];
        let map = self.map();
        for node in map.nodes().filter(|node| node.connection.connected_address().is_some()) {
            let deadline = Instant::now() + connect_timeout(self.context.reply_timeout);
            let replies = node.connection.send(&command, false, deadline).await;
            if let Ok(ranges) = parse_replies(replies, &node.address) {
                return Ok(ranges);
            }
        }
        let mut reason = String::new();
        for seed in &self.seeds {
            let deadline = Instant::now() + connect_timeout(self.context.reply_timeout);
            let ranges = match Connection::open(seed, deadline).await {
                Ok(connection) => parse_replies(connection.send(&command, false, deadline).await, seed),
                Err(error) => Err(error),
            };
            match ranges {
                Ok(ranges) => return Ok(ranges),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    /// Stores a new slot map; returns whether it covers every slot.
    fn update(&self, ranges: Vec<SlotRange>) -> bool {
        let old = self.map();
        let mut nodes: BTreeMap<String, Arc<ClusterNode>> = BTreeMap::new();
        for range in &ranges {
            let name = node_name(&range.host, range.port);
            let node = old.nodes.get(&name).cloned();
            nodes.entry(name).or_insert_with(|| {
                let key = self.probe_key_in(range);
                match node {
                    Some(node) => {
                        node.connection.set_probe_key(key);
                        node
                    }
                    None => self.connect(&range.host, range.port, key),
                }
            });
        }
        let complete = slots::cover_all_slots(&ranges);
        let first = !matches!(*self.state.borrow(), ClusterState::Mapped(_));
        if first || ranges != old.ranges || nodes.len() != old.nodes.len() {
            tracing::info!(nodes = nodes.len(), complete, "cluster slot map updated");
            self.state.send_replace(ClusterState::Mapped(Arc::new(SlotMap { ranges, nodes })));
        }
        complete
    }

    /// Records that no node provided a slot map. An earlier map is kept, because it may still be correct.
    fn mark_unavailable(&self, reason: &str) {
        self.state.send_if_modified(|state| {
            let since = match state {
                ClusterState::Mapped(_) => return false,
                ClusterState::Unavailable(outage) if *outage.reason == *reason => return false,
                ClusterState::Unavailable(outage) => outage.since,
                ClusterState::Discovering(_) => self.context.clock.now(),
            };
            tracing::warn!(reason, "redis cluster unavailable");
            *state = ClusterState::Unavailable(Outage { since, reason: reason.into() });
            true
        });
    }

    /// Returns a key in one of the slots of a range, for probes.
    fn probe_key_in(&self, range: &SlotRange) -> String {
        let in_range = |key: &String| (range.first..=range.last).contains(&slots::slot(key));
        let mut keys = (0u64..).map(|number| self.keys.probe(&format!("{{{number}}}")));
        keys.find(in_range).unwrap_or_default()
    }

    fn connect(&self, host: &str, port: u16, probe_key: String) -> Arc<ClusterNode> {
        let address = self.seeds[0].with_host_port(host, port);
        let source = AddressSource::Fixed(address.clone());
        let (context, topology_changed) = (Arc::clone(&self.context), Arc::clone(&self.topology_changed));
        let connection = NodeConnection::new(source, probe_key, context, topology_changed);
        Arc::new(ClusterNode { address, connection })
    }

    /// Returns the node that the node at `from` redirected to, and connects to it if it is new.
    pub fn redirect_target(&self, from: &Address, name: &str) -> Result<Arc<ClusterNode>, &'static str> {
        let (host, port) = name.rsplit_once(':').ok_or("MOVED: the redirection has no port")?;
        let port = port.parse().map_err(|_| "MOVED: the redirection has an invalid port")?;
        let host = if host.is_empty() { from.host() } else { host };
        let name = node_name(host, port);
        if let Some(node) = self.map().nodes.get(&name) {
            return Ok(Arc::clone(node));
        }
        // The map keeps the node, without slots, until the next update.
        let node = self.connect(host, port, self.keys.probe(""));
        self.state.send_modify(|state| {
            if let ClusterState::Mapped(map) = state {
                Arc::make_mut(map).nodes.insert(name, Arc::clone(&node));
            }
        });
        Ok(node)
    }
}

/// Parses the replies of the node at `address` to `CLUSTER SLOTS`.
fn parse_replies(replies: Result<Vec<Value>, NodeError>, address: &Address) -> Result<Vec<SlotRange>, String> {
    let replies = replies.map_err(|error| error.to_string())?;
    let ranges = replies.first().and_then(slots::parse_slot_ranges).filter(|ranges| !ranges.is_empty());
    let mut ranges = ranges.ok_or_else(|| "CLUSTERDOWN: the cluster has no slots".to_owned())?;
    for range in ranges.iter_mut().filter(|range| range.host.is_empty()) {
        address.host().clone_into(&mut range.host);
    }
    ranges.sort_by_key(|range| range.first);
    Ok(ranges)
}

fn node_name(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}
