//! Rules are judged, states are kept, people are told, and what they were told is remembered.

mod deliver;
mod judge;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::clock::millis;
use tidegate_core::config::ChannelConfig;
use tidegate_core::{AlertState, Clock, Notification, Notifier, Severity};

/// Makes notifiers of the configured channels; the error says which channel and why.
pub type NotifierFactory = Arc<dyn Fn(&BTreeMap<String, ChannelConfig>) -> Result<Channels, String> + Send + Sync>;

/// Notifiers by the channel's name.
pub type Channels = BTreeMap<String, Arc<dyn Notifier>>;

/// The most records kept, whatever their age.
const MAX_HISTORY: usize = 10_000;

/// The alerting of one process; clones share it.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    channels: ArcSwap<Channels>,
    states: Mutex<BTreeMap<Key, Entry>>,
    history: Mutex<History>,
}

/// What people were told, oldest first.
#[derive(Default)]
struct History {
    records: VecDeque<AlertRecord>,
    /// How many there ever were.
    ever: u64,
}

impl History {
    fn forget(&mut self, now_ms: u64, keep: Duration) {
        let oldest = now_ms.saturating_sub(millis(keep));
        while self.records.front().is_some_and(|record| record.notification.at_ms < oldest) {
            self.records.pop_front();
        }
    }
}

/// A rule and the scope it looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    rule: String,
    platform: String,
    endpoint: Option<String>,
}

/// The state of one rule for one scope, and what a "resolved" needs should the rule be gone by then.
struct Entry {
    state: AlertState,
    severity: Severity,
    last: Option<(Notification, Vec<String>)>,
}

/// One message and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct AlertRecord {
    /// The message.
    #[serde(flatten)]
    pub notification: Notification,
    /// One for each channel of the rule, once it has ended.
    pub deliveries: Vec<Delivery>,
    /// Tells records apart.
    pub id: u64,
}

/// What became of one message on one channel.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// The channel's name.
    pub channel: String,
    /// Whether the channel took it.
    pub delivered: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A rule whose condition holds now.
#[derive(Clone, Debug, Serialize)]
pub struct ActiveAlert {
    /// The rule's name.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The platform.
    pub platform: String,
    /// The endpoint, where the rule looks at each of them.
    pub endpoint: Option<String>,
    /// `pending` or `firing`.
    pub state: &'static str,
    /// For how long the condition has held, in milliseconds.
    pub for_ms: u64,
}

impl Alerts {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (channels, states, history) = (ArcSwap::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { clock, channels, states, history }))
    }

    /// Replaces the channels; messages on their way end on the old ones.
    pub(crate) fn connect(&self, channels: Channels) {
        self.0.channels.store(Arc::new(channels));
    }

    /// The names of the channels that messages can take.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        self.0.channels.load().keys().cloned().collect()
    }

    /// The newest messages first, of one platform or of all, at most `limit`.
    #[must_use]
    pub fn history(&self, platform: Option<&str>, limit: usize) -> Vec<AlertRecord> {
        let history = self.0.history.lock();
        let wanted = |record: &&AlertRecord| platform.is_none_or(|name| name == record.notification.platform);
        history.records.iter().rev().filter(wanted).take(limit).cloned().collect()
    }

    /// Drops what is older than `keep`.
    pub(crate) fn forget(&self, keep: Duration) {
        self.0.history.lock().forget(self.0.clock.unix_ms(), keep);
    }

    /// The rules whose condition holds now.
    #[must_use]
    pub fn active(&self) -> Vec<ActiveAlert> {
        let now = self.0.clock.now();
        let states = self.0.states.lock();
        let holding = states.iter().filter_map(|(key, entry)| Some((key, entry, entry.state.since()?)));
        holding
            .map(|(key, entry, since)| ActiveAlert {
                rule: key.rule.clone(),
                severity: entry.severity,
                platform: key.platform.clone(),
                endpoint: key.endpoint.clone(),
                state: entry.state.name(),
                for_ms: millis(now - since),
            })
            .collect()
    }

    /// Writes a message down before it is sent.
    fn remember(&self, notification: &Notification) -> u64 {
        let mut history = self.0.history.lock();
        if history.records.len() >= MAX_HISTORY {
            history.records.pop_front();
        }
        history.ever += 1;
        let id = history.ever;
        history.records.push_back(AlertRecord { notification: notification.clone(), deliveries: Vec::new(), id });
        id
    }

    /// Marks what became of a message.
    fn mark(&self, id: u64, delivery: Delivery) {
        let mut history = self.0.history.lock();
        if let Some(record) = history.records.iter_mut().rev().find(|record| record.id == id) {
            record.deliveries.push(delivery);
        }
    }
}
