//! Rules are judged, states are kept, people are told, and what they were told is remembered.

mod deliver;
mod judge;
mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use tidegate_core::clock::millis;
use tidegate_core::config::ChannelConfig;
use tidegate_core::store::{AlertRecord, AlertStore};
use tidegate_core::{Notifier, Severity, StoreError};

pub use deliver::{Deliveries, send};
pub use judge::{Figures, Measured, Sight, judge, scopes};
pub use memory::MemoryAlerts;

/// Makes notifiers of the configured channels; the error says which channel and why.
pub type NotifierFactory = Arc<dyn Fn(&BTreeMap<String, ChannelConfig>) -> Result<Channels, String> + Send + Sync>;

/// Notifiers by the channel's name.
pub type Channels = BTreeMap<String, Arc<dyn Notifier>>;

/// The alerts of a host; clones share them.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

struct Inner {
    channels: ArcSwap<Channels>,
    store: Arc<dyn AlertStore>,
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
    pub(crate) fn new(store: Arc<dyn AlertStore>) -> Self {
        Self(Arc::new(Inner { channels: ArcSwap::default(), store }))
    }

    pub(crate) fn store(&self) -> &dyn AlertStore {
        &*self.0.store
    }

    /// Replaces the channels; messages on their way end on the old ones.
    pub(crate) fn connect(&self, channels: Channels) {
        self.0.channels.store(Arc::new(channels));
    }

    pub(crate) fn notifier(&self, channel: &str) -> Option<Arc<dyn Notifier>> {
        self.0.channels.load().get(channel).cloned()
    }

    /// The names of the channels that messages can take.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        self.0.channels.load().keys().cloned().collect()
    }

    /// The newest messages first, of one platform or of all, at most `limit`; of all processes that share a Redis.
    ///
    /// # Errors
    /// Where Redis is away.
    pub async fn history(&self, platform: Option<&str>, limit: usize) -> Result<Vec<AlertRecord>, StoreError> {
        self.0.store.history(platform, limit).await
    }

    /// The rules whose condition holds now, as the process that leads sees it.
    ///
    /// # Errors
    /// Where Redis is away.
    pub async fn active(&self) -> Result<Vec<ActiveAlert>, StoreError> {
        let seen = self.0.store.look().await?;
        let holding = seen.states.into_iter().filter_map(|(key, entry)| {
            let since = entry.state.since()?;
            Some(ActiveAlert {
                rule: key.rule,
                severity: entry.severity,
                platform: key.platform,
                endpoint: key.endpoint,
                state: entry.state.name(),
                for_ms: millis(seen.now - since),
            })
        });
        Ok(holding.collect())
    }
}
