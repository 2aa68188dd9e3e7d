//! Alerting: evaluation of the rules, alert states, notifications and their history.

mod builtin;
mod deliver;
mod evaluate;
mod memory;
mod offline;
mod step;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tidegate_core::clock::serialize_as_millis;
use tidegate_core::config::{ChannelConfig, ChannelContext};
use tidegate_core::store::{AlertRecord, AlertStore, RoutedNotification};
use tidegate_core::{AlertPhase, Clock, Notifier, Severity, StoreError, Transition};

use crate::config_error::ConfigError;

pub use builtin::{BuiltinCondition, builtin_states, evaluate_builtin};
pub use deliver::Deliveries;
pub use evaluate::{KnownEndpoints, RuleContext, StatsSource, evaluate, scopes};
pub use memory::MemoryAlerts;
pub use offline::OfflineAlerting;

/// The open channels, by name.
type Channels = BTreeMap<String, OpenChannel>;

/// A channel that was opened with these settings.
#[derive(Clone)]
struct OpenChannel {
    config: ChannelConfig,
    notifier: Arc<dyn Notifier>,
}

/// The alerts of a host. Clones share the same alerts.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let host = tidegate::Host::builder().build().unwrap();
/// for alert in host.alerts().active().await? {
///     println!("{} of {} is {} for {:?}", alert.rule, alert.platform, alert.state, alert.active_for);
/// }
/// for record in host.alerts().history(Some("taobao"), 10).await? {
///     println!("{}", record.routed.notification.title());
/// }
/// # Ok::<(), tidegate::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Alerts(Arc<AlertsInner>);

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").finish_non_exhaustive()
    }
}

struct AlertsInner {
    channels: Arc<ArcSwap<Channels>>,
    store: Arc<dyn AlertStore>,
}

/// A rule whose condition is true now, for one platform or endpoint.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ActiveAlert {
    /// The name of the rule.
    pub rule: String,
    /// The severity of the rule.
    pub severity: Severity,
    /// The platform.
    pub platform: String,
    /// The endpoint, if the rule is evaluated per endpoint.
    pub endpoint: Option<String>,
    /// The phase: the rule fires, or its condition has not held for long enough yet.
    pub state: AlertPhase,
    /// How long the condition has held.
    #[serde(rename = "active_for_ms", serialize_with = "serialize_as_millis")]
    pub active_for: Duration,
}

impl Alerts {
    pub(crate) fn new(store: Arc<dyn AlertStore>) -> Self {
        Self(Arc::new(AlertsInner { channels: Arc::default(), store }))
    }

    /// Returns the same channels with another store.
    pub(crate) fn with_store(&self, store: Arc<dyn AlertStore>) -> Self {
        Self(Arc::new(AlertsInner { channels: Arc::clone(&self.0.channels), store }))
    }

    pub(crate) fn store(&self) -> &dyn AlertStore {
        &*self.0.store
    }

    /// Replaces the channels. A channel whose settings are unchanged stays open. Notifications that are already being
    /// sent still use the old channels.
    ///
    /// # Errors
    /// Returns an error if a channel cannot be opened. In this case the channels stay as they are.
    pub(crate) fn set_channels(
        &self,
        channels: &BTreeMap<String, ChannelConfig>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), ConfigError> {
        let (old, context) = (self.0.channels.load(), ChannelContext::new(Arc::clone(clock)));
        let open = |(name, config): (&String, &ChannelConfig)| {
            let channel = match old.get(name) {
                Some(channel) if channel.config == *config => channel.clone(),
                _ => {
                    let notifier = config.open(&context).map_err(|error| ConfigError::channel(name, error))?;
                    OpenChannel { config: config.clone(), notifier }
                }
            };
            Ok((name.clone(), channel))
        };
        let channels: Channels = channels.iter().map(open).collect::<Result<_, _>>()?;
        self.0.channels.store(Arc::new(channels));
        Ok(())
    }

    pub(crate) fn notifier(&self, channel: &str) -> Option<Arc<dyn Notifier>> {
        self.0.channels.load().get(channel).map(|channel| Arc::clone(&channel.notifier))
    }

    /// Logs a new notification, at the level of its severity, unless one of its channels is the log. A resolved alert
    /// is logged at level INFO.
    pub(crate) fn log(&self, RoutedNotification { notification, channels, .. }: &RoutedNotification) {
        if channels.iter().any(|channel| self.notifier(channel).is_some_and(|notifier| notifier.is_log())) {
            return;
        }
        let (title, detail) = (notification.title(), &notification.detail);
        match (notification.transition, notification.severity) {
            (Transition::Resolved, _) | (_, Severity::Info) => {
                tracing::info!(title, detail, ?channels, "sending alert notification");
            }
            (_, Severity::Warning) => tracing::warn!(title, detail, ?channels, "sending alert notification"),
            (_, Severity::Critical) => tracing::error!(title, detail, ?channels, "sending alert notification"),
        }
    }

    /// Returns the names of all channels.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        self.0.channels.load().keys().cloned().collect()
    }

    /// Returns the latest notifications, newest first and at most `limit`, for one platform or for all. With Redis they
    /// include those of all processes that share it.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable.
    pub async fn history(&self, platform: Option<&str>, limit: usize) -> Result<Vec<AlertRecord>, StoreError> {
        self.0.store.history(platform, limit).await
    }

    /// Returns the rules whose condition is true now, according to the leader.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable.
    pub async fn active(&self) -> Result<Vec<ActiveAlert>, StoreError> {
        let current = self.0.store.states().await?;
        let active = current.states.into_iter().filter_map(|(key, entry)| {
            let since = entry.state.since()?;
            Some(ActiveAlert {
                rule: key.rule,
                severity: entry.severity,
                platform: key.platform,
                endpoint: key.endpoint,
                state: entry.state.phase()?,
                active_for: current.now - since,
            })
        });
        Ok(active.collect())
    }
}
