//! A cluster: a lane for each node, so that one that is dead takes no other with it.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::address::Address;
use crate::fault::Fault;
use crate::keys::Keys;
use crate::lane::Tally;
use crate::limbo::Limbo;
use crate::nodes::{Known, Node, Nodes};
use crate::slots;

/// The most nodes that one question is sent to in turn, as keys move.
const HOPS: usize = 4;
/// Before keys are asked for again that are on two nodes at once.
const MOVING: Duration = Duration::from_millis(5);

/// The nodes of a cluster, kept track of by a task that ends with it.
pub struct Cluster {
    nodes: Arc<Nodes>,
    limbo: Limbo,
    mapper: AbortHandle,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.mapper.abort();
    }
}

impl Cluster {
    /// Begins to look for the nodes, within a tokio runtime.
    pub fn new(seeds: Vec<Address>, keys: Keys, patience: Duration, tally: Arc<Tally>) -> Self {
        let nodes = Arc::new(Nodes::new(seeds, keys, patience, tally));
        let mapper = tokio::spawn(Arc::clone(&nodes).keep()).abort_handle();
        Self { nodes, limbo: Limbo::default(), mapper }
    }

    /// What is known, to look at or to wait for.
    pub fn known(&self) -> watch::Receiver<Known> {
        self.nodes.known()
    }

    /// The nodes, as far as they are known.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.map().nodes().cloned().collect()
    }

    /// Asks the node that has the key, wherever that is by now; only what did not run is sent again.
    pub async fn ask(&self, key: &str, commands: &[Cmd], deadline: Instant) -> Result<Vec<Value>, Fault> {
        let slot = slots::slot(key);
        if let Some(unusable) = self.limbo.holds(slot) {
            return Err(Fault::Away(unusable.reason.to_string()));
        }
        let mut node = self.node(slot, deadline).await?;
        let mut asking = false;
        let mut hops = 0;
        loop {
            let to = match node.lane.ask(commands, asking, deadline).await {
                Err(Fault::Moved(to)) => {
                    self.nodes.look_again();
                    asking = false;
                    to
                }
                Err(Fault::Ask(to)) => {
                    asking = true;
                    to
                }
                Err(Fault::TryAgain) if Instant::now() + MOVING < deadline => {
                    sleep(MOVING).await;
                    continue;
                }
                Err(Fault::TryAgain) => return Err(self.unusable(slot, &Fault::TryAgain.to_string())),
                ended => return ended,
            };
            hops += 1;
            if hops == HOPS {
                return Err(self.unusable(slot, "MOVED: the nodes do not agree on who has the key"));
            }
            node = self.nodes.named(&node.address, &to).map_err(|reason| self.unusable(slot, reason))?;
        }
    }

    fn unusable(&self, slot: u16, reason: &str) -> Fault {
        self.limbo.enter(slot, reason);
        Fault::Away(reason.to_owned())
    }

    /// Why some slot is of no use though its node is, if one is.
    pub fn limbo(&self) -> Option<Arc<str>> {
        self.limbo.reason()
    }

    /// The node that has a slot; only the first look at the cluster is waited for.
    async fn node(&self, slot: u16, deadline: Instant) -> Result<Arc<Node>, Fault> {
        let mut known = self.known();
        if matches!(*known.borrow(), Known::Nothing(_)) {
            tokio::select! {
                _ = known.changed() => {}
                () = sleep_until(deadline) => {}
            }
        }
        match &*known.borrow() {
            Known::Nothing(_) => Err(Fault::Away("the connection is still being made".to_owned())),
            Known::Away(away) => Err(Fault::Away(away.reason.to_string())),
            Known::Map(map) => {
                map.node(slot).cloned().ok_or_else(|| Fault::Away("CLUSTERDOWN: no node has the slot".to_owned()))
            }
        }
    }

    /// Why the node that has the key cannot be used, where it is known to be away.
    pub fn away(&self, key: &str) -> Option<Arc<str>> {
        let slot = slots::slot(key);
        let away = match &*self.known().borrow() {
            Known::Nothing(_) => None,
            Known::Away(away) => Some(Arc::clone(&away.reason)),
            Known::Map(map) => map.node(slot).and_then(|node| node.lane.away()),
        };
        away.or_else(|| self.limbo.holds(slot).map(|unusable| unusable.reason))
    }

    /// Ends once the node that has the key can be used.
    pub async fn back(&self, key: &str) {
        let slot = slots::slot(key);
        let mut known = self.known();
        loop {
            let node = match &*known.borrow_and_update() {
                Known::Map(map) => map.node(slot).cloned(),
                Known::Nothing(_) | Known::Away(_) => None,
            };
            let up = async {
                match &node {
                    Some(node) => node.lane.back().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = up => match self.limbo.holds(slot) {
                    Some(unusable) => sleep_until(unusable.until).await,
                    None => return,
                },
                _ = known.changed() => {}
            }
        }
    }
}
