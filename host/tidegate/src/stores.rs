//! Where state lives: in memory, or in Redis where the configuration has it.

use std::sync::Arc;

use tidegate_core::Clock;
use tidegate_core::config::{Config, LimitConfig, MetricsConfig};
#[cfg(feature = "policies")]
use tidegate_core::store::AlertStore;
use tidegate_core::store::{LockStore, MetricStore};
#[cfg(feature = "redis")]
use tidegate_redis::{Redis, RedisLimit, RedisLocks, RedisMetrics};

use crate::lock::MemoryLocks;
use crate::{BuildError, Limiter};

/// Makes the stores of a host.
pub struct Stores {
    clock: Arc<dyn Clock>,
    #[cfg(feature = "redis")]
    redis: Option<Redis>,
    /// Whether limits in Redis stay as they are, whatever the configuration says.
    #[cfg(feature = "redis")]
    observer: bool,
}

impl Stores {
    /// Begins to connect where there is something to connect to.
    #[cfg(feature = "redis")]
    pub fn open(config: &Config, clock: &Arc<dyn Clock>, observer: bool) -> Result<Self, BuildError> {
        let redis = config.redis.as_ref().map(Redis::open).transpose();
        let redis = redis.map_err(|error| BuildError(format!("[redis] {error}")))?;
        Ok(Self { clock: Arc::clone(clock), redis, observer })
    }

    /// A build without Redis refuses a configuration that asks for it: to share nothing silently would be worse.
    #[cfg(not(feature = "redis"))]
    pub fn open(config: &Config, clock: &Arc<dyn Clock>, _: bool) -> Result<Self, BuildError> {
        if config.redis.is_some() {
            return Err(BuildError("[redis] needs the feature `redis` of the crate tidegate".to_owned()));
        }
        Ok(Self { clock: Arc::clone(clock) })
    }

    /// The limiter of a platform.
    #[cfg_attr(not(feature = "redis"), expect(unused_variables, reason = "in memory a bucket needs no name"))]
    pub fn limiter(&self, platform: &str, limit: LimitConfig) -> Limiter {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            let make = if self.observer { RedisLimit::observed } else { RedisLimit::new };
            return Limiter::shared(Arc::new(make(redis.clone(), platform, limit, Arc::clone(&self.clock))));
        }
        Limiter::new(limit.quota, Arc::clone(&self.clock))
    }

    /// Where the figures of all processes come together, where they do.
    #[cfg(feature = "redis")]
    pub fn metrics(&self, config: &MetricsConfig) -> Option<Arc<dyn MetricStore>> {
        let store = |redis: &Redis| RedisMetrics::new(redis.clone(), config.max_endpoints);
        self.redis.as_ref().map(|redis| Arc::new(store(redis)) as Arc<dyn MetricStore>)
    }

    /// Where the figures of all processes come together: nowhere.
    #[cfg(not(feature = "redis"))]
    pub fn metrics(&self, _: &MetricsConfig) -> Option<Arc<dyn MetricStore>> {
        None
    }

    /// Where states of alerts and history are kept.
    #[cfg(feature = "policies")]
    pub fn alerts(&self) -> Arc<dyn AlertStore> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return Arc::new(tidegate_redis::RedisAlerts::new(redis.clone()));
        }
        Arc::new(crate::alerts::MemoryAlerts::new(Arc::clone(&self.clock)))
    }

    /// Where locks are kept.
    pub fn locks(&self) -> Arc<dyn LockStore> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return Arc::new(RedisLocks::new(redis.clone()));
        }
        Arc::new(MemoryLocks::new(Arc::clone(&self.clock)))
    }

    #[cfg(feature = "redis")]
    pub fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }
}
