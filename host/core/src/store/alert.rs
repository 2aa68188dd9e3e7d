//! Where the states of alert rules and what people were told are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Answer;
use crate::{AlertState, Notification, Severity, Timestamp};

/// A rule and the scope it looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertKey {
    /// The rule's name.
    pub rule: String,
    /// The platform.
    pub platform: String,
    /// The endpoint, where the rule looks at each of them.
    pub endpoint: Option<String>,
}

/// The state of one rule for one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertEntry {
    /// The state.
    pub state: AlertState,
    /// How bad the rule is.
    pub severity: Severity,
    /// The last message: what a "resolved" needs should the rule be gone by then.
    pub last: Option<Intent>,
}

/// A message that people are to be told, and on which channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The message.
    #[serde(flatten)]
    pub notification: Notification,
    /// The channels of the rule.
    pub channels: Vec<String>,
}

/// What became of one message on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The channel's name.
    pub channel: String,
    /// Whether the channel took it.
    pub delivered: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One message and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// The message and its channels.
    #[serde(flatten)]
    pub intent: Intent,
    /// One for each channel, once it has ended.
    pub deliveries: Vec<Delivery>,
    /// Tells records apart.
    pub id: u64,
}

impl AlertRecord {
    /// The channels on which nobody knows what became of the message.
    pub fn open(&self) -> impl Iterator<Item = &String> {
        let ended = |channel: &String| self.deliveries.iter().any(|delivery| delivery.channel == *channel);
        self.intent.channels.iter().filter(move |channel| !ended(channel))
    }
}

/// The states at one moment of the store's clock.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The moment by which states are stepped.
    pub now: Timestamp,
    /// The same in milliseconds since 1970, for people.
    pub unix_ms: u64,
    /// The states that are not simply inactive.
    pub states: BTreeMap<AlertKey, AlertEntry>,
}

/// What one tick changes, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New states; `None` forgets one.
    pub states: BTreeMap<AlertKey, Option<AlertEntry>>,
    /// Messages that are due.
    pub intents: Vec<Intent>,
    /// How long messages are kept.
    pub keep: Duration,
}

/// The most messages kept, whatever their age.
pub const MAX_HISTORY: usize = 10_000;

/// States, intents and what became of them.
///
/// Only a leader writes: it shows its fencing token, and the store refuses one that is smaller than any it has seen.
pub trait AlertStore: Send + Sync {
    /// The states, for anyone to look at.
    fn look(&self) -> Answer<'_, Seen>;

    /// The states for the leader of this token; from now on smaller tokens are refused. `None` where this one is.
    fn lead(&self, token: u64) -> Answer<'_, Option<Seen>>;

    /// Writes the changes of a tick and answers with every message that has an open channel, new ones included.
    ///
    /// `None` where the token is refused; nothing is written then.
    fn write(&self, token: u64, changes: Changes) -> Answer<'_, Option<Vec<AlertRecord>>>;

    /// Marks what became of a message on one channel; who was told is told, so no token is asked for.
    fn mark(&self, id: u64, delivery: Delivery) -> Answer<'_, ()>;

    /// The newest messages first, of one platform or of all, at most `limit`.
    fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> Answer<'a, Vec<AlertRecord>>;
}
