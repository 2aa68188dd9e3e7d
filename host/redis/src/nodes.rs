//! The nodes of a cluster, and which slots each has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::address::Address;
use crate::fault::Fault;
use crate::keys::Keys;
use crate::lane::{Away, Lane, Tally};
use crate::link::{Link, attempt_within};
use crate::slots::{self, Range};
use crate::source::Source;

/// Between one look at where slots are and the next.
const PAUSE: Duration = Duration::from_millis(100);

/// Where slots are, and the nodes that have them.
#[derive(Clone, Default)]
pub struct Map {
    ranges: Vec<Range>,
    nodes: BTreeMap<String, Arc<Node>>,
}

/// A node and the way to it.
pub struct Node {
    /// Where it is.
    pub address: Address,
    /// The way to it.
    pub lane: Lane,
}

/// What is known of a cluster.
#[derive(Clone)]
pub enum Known {
    /// Nobody has answered yet, since then.
    Nothing(Instant),
    /// Nobody has told yet, for this reason.
    Away(Away),
    /// Where slots are.
    Map(Arc<Map>),
}

/// What finds the nodes, and keeps a lane to each.
pub struct Nodes {
    seeds: Vec<Address>,
    keys: Keys,
    patience: Duration,
    tally: Arc<Tally>,
    trouble: Arc<Notify>,
    known: watch::Sender<Known>,
}

impl Map {
    /// The nodes by where they are.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The node that has a slot.
    pub fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        let after = self.ranges.partition_point(|range| range.first <= slot);
        let range = self.ranges.get(after.checked_sub(1)?).filter(|range| slot <= range.last)?;
        self.nodes.get(&place(&range.host, range.port))
    }
}

impl Nodes {
    /// Those behind addresses that the configuration names.
    pub fn new(seeds: Vec<Address>, keys: Keys, patience: Duration, tally: Arc<Tally>) -> Self {
        let (trouble, known) = (Arc::new(Notify::new()), watch::Sender::new(Known::Nothing(Instant::now())));
        Self { seeds, keys, patience, tally, trouble, known }
    }

    /// What is known, to look at or to wait for.
    pub fn known(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Tells that slots have moved.
    pub fn look_again(&self) {
        self.trouble.notify_one();
    }

    /// Looks where slots are, and again whenever something tells that it may have changed.
    pub async fn keep(self: Arc<Self>) {
        loop {
            let whole = match self.look().await {
                Ok(ranges) => self.learn(ranges),
                Err(reason) => {
                    self.nobody(&reason);
                    false
                }
            };
            // A look at each slot that has moved would be many looks in a row.
            sleep(PAUSE).await;
            if whole {
                self.trouble.notified().await;
            }
        }
    }

    /// Where slots are, as far as is known.
    pub fn map(&self) -> Arc<Map> {
        match &*self.known.borrow() {
            Known::Map(map) => Arc::clone(map),
            Known::Nothing(_) | Known::Away(_) => Arc::default(),
        }
    }

    /// Asks the nodes that answer, then those of the configuration.
    async fn look(&self) -> Result<Vec<Range>, String> {
        let mut question = Cmd::new();
        question.arg("CLUSTER").arg("SLOTS");
        let question = [question];
        let map = self.map();
        for node in map.nodes().filter(|node| node.lane.up_at().is_some()) {
            let answers = node.lane.ask(&question, false, Instant::now() + attempt_within(self.patience)).await;
            if let Ok(ranges) = read(answers, &node.address) {
                return Ok(ranges);
            }
        }
        let mut reason = String::new();
        for seed in &self.seeds {
            let deadline = Instant::now() + attempt_within(self.patience);
            let asked = match Link::open(seed, deadline).await {
                Ok(link) => read(link.ask(&question, false, deadline).await, seed),
                Err(reason) => Err(reason),
            };
            match asked {
                Ok(ranges) => return Ok(ranges),
                Err(told) => reason = told,
            }
        }
        Err(reason)
    }

    /// Takes over where slots are; whether all of them are somewhere.
    fn learn(&self, ranges: Vec<Range>) -> bool {
        let old = self.map();
        let mut nodes: BTreeMap<String, Arc<Node>> = BTreeMap::new();
        for range in &ranges {
            let place = place(&range.host, range.port);
            let node = old.nodes.get(&place).cloned();
            nodes.entry(place).or_insert_with(|| {
                let key = self.key_in(range);
                match node {
                    Some(node) => {
                        node.lane.probe_with(key);
                        node
                    }
                    None => self.begin(&range.host, range.port, key),
                }
            });
        }
        let whole = slots::complete(&ranges);
        if !matches!(*self.known.borrow(), Known::Map(_)) || ranges != old.ranges || nodes.len() != old.nodes.len() {
            tracing::info!(nodes = nodes.len(), whole, "the cluster's slots are where they are");
            self.known.send_replace(Known::Map(Arc::new(Map { ranges, nodes })));
        }
        whole
    }

    /// Nobody says where slots are; what was known may still hold.
    fn nobody(&self, reason: &str) {
        self.known.send_if_modified(|known| {
            let since = match known {
                Known::Map(_) => return false,
                Known::Away(away) if *away.reason == *reason => return false,
                Known::Away(away) => away.since,
                Known::Nothing(_) => Instant::now(),
            };
            tracing::warn!(reason, "no node of the cluster can be used");
            *known = Known::Away(Away { since, reason: reason.into() });
            true
        });
    }

    /// A key in one of the slots, for probes.
    fn key_in(&self, range: &Range) -> String {
        let within = |key: &String| (range.first..=range.last).contains(&slots::slot(key));
        let mut keys = (0u64..).map(|number| self.keys.probe(&format!("{{{number}}}")));
        keys.find(within).unwrap_or_default()
    }

    fn begin(&self, host: &str, port: u16, probe_key: String) -> Arc<Node> {
        let address = self.seeds[0].at(host, port);
        let source = Source::Fixed(address.clone());
        let (tally, trouble) = (Arc::clone(&self.tally), Arc::clone(&self.trouble));
        Arc::new(Node { address, lane: Lane::new(source, probe_key, self.patience, tally, trouble) })
    }

    /// The node that another one named.
    pub fn named(&self, by: &Address, name: &str) -> Result<Arc<Node>, &'static str> {
        let (host, port) = name.rsplit_once(':').ok_or("MOVED: a node named no address")?;
        let port = port.parse().map_err(|_| "MOVED: a node named no port")?;
        let host = if host.is_empty() { by.host() } else { host };
        let place = place(host, port);
        if let Some(node) = self.map().nodes.get(&place) {
            return Ok(Arc::clone(node));
        }
        // Until the next look it stands beside the nodes that are known to have slots.
        let node = self.begin(host, port, self.keys.probe(""));
        self.known.send_modify(|known| {
            if let Known::Map(map) = known {
                Arc::make_mut(map).nodes.insert(place, Arc::clone(&node));
            }
        });
        Ok(node)
    }
}

fn read(answers: Result<Vec<Value>, Fault>, asked: &Address) -> Result<Vec<Range>, String> {
    let answers = answers.map_err(|fault| fault.to_string())?;
    let ranges = answers.first().and_then(slots::read).filter(|ranges| !ranges.is_empty());
    let mut ranges = ranges.ok_or_else(|| "CLUSTERDOWN: the cluster has no slots".to_owned())?;
    for range in ranges.iter_mut().filter(|range| range.host.is_empty()) {
        asked.host().clone_into(&mut range.host);
    }
    ranges.sort_by_key(|range| range.first);
    Ok(ranges)
}

fn place(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}
