//! The store of the states of alert rules and of their notifications.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StoreFuture;
use crate::{AlertState, Notification, Severity, Timestamp};

/// A rule and one scope that it evaluates: a platform or one of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertKey {
    /// The name of the rule.
    pub rule: String,
    /// The platform.
    pub platform: String,
    /// The endpoint, if the rule evaluates each endpoint.
    pub endpoint: Option<String>,
}

/// The state of a rule for one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlertEntry {
    /// The state.
    pub state: AlertState,
    /// The severity of the rule.
    pub severity: Severity,
    /// The last notification. If the rule is removed while it fires, the `resolved` notification is created from it.
    #[serde(alias = "last")]
    pub last_notification: Option<RoutedNotification>,
}

impl AlertEntry {
    /// Creates an entry.
    #[must_use]
    pub const fn new(state: AlertState, severity: Severity, last_notification: Option<RoutedNotification>) -> Self {
        Self { state, severity, last_notification }
    }
}

/// A notification and the channels to which it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoutedNotification {
    /// The notification.
    #[serde(flatten)]
    pub notification: Notification,
    /// The channels of the rule.
    pub channels: Vec<String>,
}

impl RoutedNotification {
    /// Creates a notification for these channels.
    #[must_use]
    pub const fn new(notification: Notification, channels: Vec<String>) -> Self {
        Self { notification, channels }
    }
}

/// The result of sending a notification to one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delivery {
    /// The name of the channel.
    pub channel: String,
    /// Whether the channel accepted the notification.
    pub delivered: bool,
    /// The number of attempts.
    pub attempts: u32,
    /// The last error, if the notification was not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Delivery {
    /// Creates the result of a notification that the channel accepted.
    #[must_use]
    pub fn delivered(channel: impl Into<String>, attempts: u32) -> Self {
        Self { channel: channel.into(), delivered: true, attempts, error: None }
    }

    /// Creates the result of a notification that was not delivered.
    #[must_use]
    pub fn failed(channel: impl Into<String>, attempts: u32, error: impl Into<String>) -> Self {
        Self { channel: channel.into(), delivered: false, attempts, error: Some(error.into()) }
    }
}

/// A notification with the results of its deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlertRecord {
    /// The notification and its channels.
    #[serde(flatten)]
    pub routed: RoutedNotification,
    /// The result for each channel whose delivery has ended.
    pub deliveries: Vec<Delivery>,
    /// The unique id of the record.
    pub id: u64,
}

impl AlertRecord {
    /// Creates a record without delivery results.
    #[must_use]
    pub const fn new(id: u64, routed: RoutedNotification) -> Self {
        Self { routed, deliveries: Vec::new(), id }
    }

    /// Sets the delivery results.
    #[must_use]
    pub fn with_deliveries(self, deliveries: Vec<Delivery>) -> Self {
        Self { deliveries, ..self }
    }

    /// Returns the channels that have no delivery result yet.
    pub fn undelivered_channels(&self) -> impl Iterator<Item = &String> {
        let has_result = |channel: &String| self.deliveries.iter().any(|delivery| delivery.channel == *channel);
        self.routed.channels.iter().filter(move |channel| !has_result(channel))
    }
}

/// The states of all rules at one time of the store's clock.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AlertStates {
    /// The time at which the rules are evaluated.
    pub now: Timestamp,
    /// The same time in milliseconds since 1970, for notifications.
    pub unix_ms: u64,
    /// The states. An inactive state without a running cooldown has no entry.
    pub states: BTreeMap<AlertKey, AlertEntry>,
}

impl AlertStates {
    /// Creates the states at a time.
    #[must_use]
    pub const fn new(now: Timestamp, unix_ms: u64, states: BTreeMap<AlertKey, AlertEntry>) -> Self {
        Self { now, unix_ms, states }
    }
}

/// The changes of one evaluation of all rules; a store applies all of them or none.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AlertChanges {
    /// The new states; `None` removes a state.
    pub states: BTreeMap<AlertKey, Option<AlertEntry>>,
    /// The notifications to send.
    pub notifications: Vec<RoutedNotification>,
    /// How long notifications are kept.
    pub retention: Duration,
}

/// What a process kept in memory about built-in alerts while the store was unavailable.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OfflineAlerts {
    /// The unique id of the process's run.
    pub origin: String,
    /// The notifications with their delivery results, oldest first. Later ones of the same origin have greater ids.
    pub records: Vec<AlertRecord>,
    /// The states that belong to the notifications.
    pub states: Vec<OfflineState>,
    /// How long notifications are kept.
    pub retention: Duration,
}

/// A state of a built-in alert that changed while the store was unavailable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OfflineState {
    /// The alert.
    pub key: AlertKey,
    /// The state in the store when it became unavailable, as far as the process knows.
    pub before: Option<AlertEntry>,
    /// The state now; `None` removes it.
    pub after: Option<AlertEntry>,
    /// The id of the last notification about the alert.
    pub last_id: u64,
}

impl OfflineState {
    /// Creates the change of a state.
    #[must_use]
    pub const fn new(key: AlertKey, before: Option<AlertEntry>, after: Option<AlertEntry>, last_id: u64) -> Self {
        Self { key, before, after, last_id }
    }

    /// Returns whether this state replaces the store's `current` one: nothing changed it since, or the last
    /// notification of this state is later.
    #[must_use]
    pub fn replaces(&self, current: Option<&AlertEntry>) -> bool {
        let last_notified = |entry: Option<&AlertEntry>| entry.and_then(|entry| entry.state.last_notified());
        current.is_none()
            || current == self.before.as_ref()
            || last_notified(self.after.as_ref()) > last_notified(current)
    }
}

/// The maximum number of notifications that are kept, whatever their age.
pub const MAX_HISTORY: usize = 10_000;

/// The states of alert rules, and the notifications with their delivery results.
///
/// Only the leader writes. It passes its fencing token, and the store rejects a token that is smaller than the largest
/// one it has received.
pub trait AlertStore: Send + Sync {
    /// Returns the states. Every process may call it.
    fn states(&self) -> StoreFuture<'_, AlertStates>;

    /// Returns the states for the leader with this token. The store rejects smaller tokens from then on.
    ///
    /// Returns `None` if the token is rejected.
    fn states_as_leader(&self, token: u64) -> StoreFuture<'_, Option<AlertStates>>;

    /// Writes the changes and returns every notification that has an undelivered channel, including the new ones.
    ///
    /// Returns `None` and writes nothing if the token is rejected.
    fn write(&self, token: u64, changes: AlertChanges) -> StoreFuture<'_, Option<Vec<AlertRecord>>>;

    /// Records the result of one delivery. It takes no token: a notification that was sent stays sent, even if its
    /// sender is no longer the leader.
    fn record_delivery(&self, id: u64, delivery: Delivery) -> StoreFuture<'_, ()>;

    /// Adds the alerts that a process kept in memory while the store was unavailable. It takes no token: what happened
    /// is history, whichever process leads now.
    ///
    /// A notification of the same origin and id is added once, however often the request is repeated. A channel without
    /// a delivery result is undelivered. A state is written only with a new notification, and only if
    /// [`OfflineState::replaces`] the current one.
    fn add_offline(&self, alerts: OfflineAlerts) -> StoreFuture<'_, ()>;

    /// Returns at most `limit` notifications of one platform or of all platforms, newest first.
    fn history<'a>(&'a self, platform: Option<&'a str>, limit: usize) -> StoreFuture<'a, Vec<AlertRecord>>;
}
