//! What a call needs of its host.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tidegate_core::Clock;
use tidegate_core::config::{Config, RetryConfig};

use crate::evaluator::PolicyEvaluator;
use crate::limiters::Limiters;
use crate::metrics::Metrics;

/// The services that retries, admissions and advice use. They do not know the host.
pub struct CallContext {
    pub clock: Arc<dyn Clock>,
    /// The active configuration.
    pub config: ArcSwap<Config>,
    pub limiters: Limiters,
    /// The metrics of this process.
    pub metrics: Metrics,
    pub policies: PolicyEvaluator,
}

impl CallContext {
    /// Returns how failed calls to a platform are retried.
    pub fn retry_config(&self, platform: &str) -> RetryConfig {
        self.config.load().retry_for(platform).clone()
    }
}
