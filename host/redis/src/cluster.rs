//! A cluster: one connection for each node, so that a dead node does not block requests to the others.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::address::Address;
use crate::cluster_nodes::{ClusterNode, ClusterNodes, ClusterState};
use crate::keys::Keys;
use crate::migrating_slots::MigratingSlots;
use crate::node_connection::ConnectionContext;
use crate::node_error::NodeError;
use crate::slots;

/// The maximum number of nodes to which one request is sent while keys move between nodes.
const MAX_REDIRECTS: usize = 4;
/// The pause before a request is repeated, if its keys are split between two nodes.
const TRY_AGAIN_PAUSE: Duration = Duration::from_millis(5);

/// The nodes of a cluster, with a task that keeps the slot map up to date until this value is dropped.
pub struct Cluster {
    nodes: Arc<ClusterNodes>,
    migrating_slots: MigratingSlots,
    slot_map_task: AbortHandle,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.slot_map_task.abort();
    }
}

impl Cluster {
    /// Starts to discover the nodes; must be called within a tokio runtime.
    pub fn new(seeds: Vec<Address>, keys: Keys, context: Arc<ConnectionContext>) -> Self {
        let nodes = Arc::new(ClusterNodes::new(seeds, keys, context));
        let slot_map_task = tokio::spawn(Arc::clone(&nodes).keep_updated()).abort_handle();
        Self { nodes, migrating_slots: MigratingSlots::default(), slot_map_task }
    }

    /// Returns a receiver, to read the state or to wait for a change.
    pub fn state(&self) -> watch::Receiver<ClusterState> {
        self.nodes.state()
    }

    /// Returns the nodes that are known now.
    pub fn nodes(&self) -> Vec<Arc<ClusterNode>> {
        self.nodes.map().nodes().cloned().collect()
    }

    /// Sends commands to the node that has the key, and follows redirections. Only commands that did not run are sent
    /// again.
    pub async fn send(&self, key: &str, commands: &[Cmd], deadline: Instant) -> Result<Vec<Value>, NodeError> {
        let slot = slots::slot(key);
        if let Some(unavailable) = self.migrating_slots.get(slot) {
            return Err(NodeError::Unavailable(unavailable.reason.to_string()));
        }
        let mut node = self.node(slot, deadline).await?;
        let mut asking = false;
        let mut redirects = 0;
        loop {
            let target = match node.connection.send(commands, asking, deadline).await {
                Err(NodeError::Moved(target)) => {
                    self.nodes.request_update();
                    asking = false;
                    target
                }
                Err(NodeError::Ask(target)) => {
                    asking = true;
                    target
                }
                Err(NodeError::TryAgain) if Instant::now() + TRY_AGAIN_PAUSE < deadline => {
                    sleep(TRY_AGAIN_PAUSE).await;
                    continue;
                }
                Err(NodeError::TryAgain) => return Err(self.slot_unavailable(slot, &NodeError::TryAgain.to_string())),
                result => return result,
            };
            redirects += 1;
            if redirects == MAX_REDIRECTS {
                return Err(self.slot_unavailable(slot, "MOVED: the nodes disagree on which node has the key"));
            }
            let next = self.nodes.redirect_target(&node.address, &target);
            node = next.map_err(|reason| self.slot_unavailable(slot, reason))?;
        }
    }

    fn slot_unavailable(&self, slot: u16, reason: &str) -> NodeError {
        self.migrating_slots.mark_unavailable(slot, reason);
        NodeError::Unavailable(reason.to_owned())
    }

    /// Returns why a slot is unavailable although its node can be used, if any slot is.
    pub fn migrating_slot_reason(&self) -> Option<Arc<str>> {
        self.migrating_slots.any_reason()
    }

    /// Returns the node that has a slot; waits only for the first discovery of the cluster.
    async fn node(&self, slot: u16, deadline: Instant) -> Result<Arc<ClusterNode>, NodeError> {
        let mut state = self.state();
        if matches!(*state.borrow(), ClusterState::Discovering(_)) {
            tokio::select! {
                _ = state.changed() => {}
                () = sleep_until(deadline) => {}
            }
        }
        match &*state.borrow() {
            ClusterState::Discovering(_) => Err(NodeError::Unavailable("still connecting".to_owned())),
            ClusterState::Unavailable(outage) => Err(NodeError::Unavailable(outage.reason.to_string())),
            ClusterState::Mapped(map) => map
                .node(slot)
                .cloned()
                .ok_or_else(|| NodeError::Unavailable("CLUSTERDOWN: no node has the slot".to_owned())),
        }
    }

    /// Returns why the node that has the key is unavailable; `None` if it may be available.
    pub fn unavailable_reason(&self, key: &str) -> Option<Arc<str>> {
        let slot = slots::slot(key);
        let node_reason = match &*self.state().borrow() {
            ClusterState::Discovering(_) => None,
            ClusterState::Unavailable(outage) => Some(Arc::clone(&outage.reason)),
            ClusterState::Mapped(map) => map.node(slot).and_then(|node| node.connection.unavailable_reason()),
        };
        node_reason.or_else(|| self.migrating_slots.get(slot).map(|unavailable| unavailable.reason))
    }

    /// Waits until every known node can be used.
    pub async fn wait_until_ready(&self) {
        let mut state = self.state();
        loop {
            let nodes: Option<Vec<_>> = match &*state.borrow_and_update() {
                ClusterState::Mapped(map) => Some(map.nodes().cloned().collect()),
                ClusterState::Discovering(_) | ClusterState::Unavailable(_) => None,
            };
            let all_available = async {
                let Some(nodes) = &nodes else { return std::future::pending().await };
                for node in nodes {
                    node.connection.wait_until_available().await;
                }
            };
            tokio::select! {
                () = all_available => return,
                _ = state.changed() => {}
            }
        }
    }

    /// Waits until the node that has the key can be used.
    pub async fn wait_until_available(&self, key: &str) {
        let slot = slots::slot(key);
        let mut state = self.state();
        loop {
            let node = match &*state.borrow_and_update() {
                ClusterState::Mapped(map) => map.node(slot).cloned(),
                ClusterState::Discovering(_) | ClusterState::Unavailable(_) => None,
            };
            let node_recovered = async {
                match &node {
                    Some(node) => node.connection.wait_until_available().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = node_recovered => match self.migrating_slots.get(slot) {
                    Some(unavailable) => sleep_until(unavailable.until).await,
                    None => return,
                },
                _ = state.changed() => {}
            }
        }
    }
}
