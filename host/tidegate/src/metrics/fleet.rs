//! The figures of all processes where they share a store, of this one otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::store::MetricStore;
use tidegate_core::{Stats, StoreError};

use crate::Metrics;

/// Where figures are read; clones share it.
#[derive(Clone)]
pub struct Fleet {
    pub local: Metrics,
    pub shared: Option<Arc<dyn MetricStore>>,
}

impl Fleet {
    pub async fn figures(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Result<Stats, StoreError> {
        match &self.shared {
            Some(store) => store.figures(platform, endpoint, range).await,
            None => Ok(self.local.get(platform, endpoint, range)),
        }
    }

    pub async fn endpoints(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        match &self.shared {
            Some(store) => store.endpoints().await,
            None => Ok(self.local.endpoints()),
        }
    }
}
