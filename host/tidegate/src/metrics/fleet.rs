//! Statistics of all processes if they share a store, otherwise of this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::store::MetricStore;
use tidegate_core::{Stats, StoreError};

use super::Metrics;

/// The source of statistics. Clones share the same source.
#[derive(Clone)]
pub struct FleetMetrics {
    pub local: Metrics,
    pub shared: Option<Arc<dyn MetricStore>>,
}

impl FleetMetrics {
    pub async fn stats(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Result<Stats, StoreError> {
        match &self.shared {
            Some(store) => store.stats(platform, endpoint, range).await,
            None => Ok(self.local.stats(platform, endpoint, range)),
        }
    }

    pub async fn endpoints(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        match &self.shared {
            Some(store) => store.endpoints().await,
            None => Ok(self.local.endpoints()),
        }
    }
}
