//! Creates the stores of a host: in memory, or in Redis if the configuration has `[redis]`.

use std::sync::Arc;

use tidegate_core::Clock;
use tidegate_core::config::{Config, LimitConfig, MetricsConfig};
#[cfg(feature = "policies")]
use tidegate_core::store::AlertStore;
use tidegate_core::store::{LockStore, MetricStore};
#[cfg(feature = "redis")]
use tidegate_redis::{Redis, RedisLimit, RedisLocks, RedisMetrics};

use crate::config_error::ConfigError;
use crate::limiter::Limiter;
use crate::lock::MemoryLocks;

/// The factory of a host's stores. Clones share the connection to Redis.
#[derive(Clone)]
pub struct Stores {
    clock: Arc<dyn Clock>,
    #[cfg(feature = "redis")]
    redis: Option<Redis>,
}

impl Stores {
    /// Creates the factory and starts to connect to Redis if it is configured.
    #[cfg(feature = "redis")]
    pub fn open(config: &Config, clock: &Arc<dyn Clock>, read_only: bool) -> Result<Self, ConfigError> {
        let open = |config| {
            let open = if read_only { Redis::open_read_only } else { Redis::open };
            open(config, Arc::clone(clock)).map_err(ConfigError::redis)
        };
        let redis = config.redis.as_ref().map(open).transpose()?;
        Ok(Self { clock: Arc::clone(clock), redis })
    }

    /// Checks `[redis]` without connecting.
    #[cfg(feature = "redis")]
    pub fn check(config: &Config) -> Result<(), ConfigError> {
        config.redis.as_ref().map_or(Ok(()), |redis| Redis::check(redis).map_err(ConfigError::redis))
    }

    /// Rejects `[redis]` in a build without Redis. If it were ignored, every process would have limits of its own.
    #[cfg(not(feature = "redis"))]
    pub fn check(config: &Config) -> Result<(), ConfigError> {
        if config.redis.is_some() {
            return Err(ConfigError::no_redis());
        }
        Ok(())
    }

    /// Creates the factory.
    #[cfg(not(feature = "redis"))]
    pub fn open(config: &Config, clock: &Arc<dyn Clock>, _: bool) -> Result<Self, ConfigError> {
        Self::check(config)?;
        Ok(Self { clock: Arc::clone(clock) })
    }

    /// Creates the limiter of a platform.
    #[cfg_attr(not(feature = "redis"), expect(unused_variables, reason = "a bucket in memory has no name"))]
    pub fn limiter(&self, platform: &str, limit: LimitConfig) -> Limiter {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return Limiter::shared(RedisLimit::new(redis.clone(), platform, limit));
        }
        Limiter::new(limit.quota, Arc::clone(&self.clock))
    }

    /// Creates the store for the metrics of all processes; `None` without Redis.
    #[cfg(feature = "redis")]
    pub fn metrics(&self, config: &MetricsConfig) -> Option<Arc<dyn MetricStore>> {
        let store = |redis: &Redis| RedisMetrics::new(redis.clone(), config.max_endpoints);
        self.redis.as_ref().map(|redis| Arc::new(store(redis)) as Arc<dyn MetricStore>)
    }

    /// Returns `None`: without Redis there is no shared store for metrics.
    #[cfg(not(feature = "redis"))]
    pub fn metrics(&self, _: &MetricsConfig) -> Option<Arc<dyn MetricStore>> {
        None
    }

    /// Creates the store for alert states and history.
    #[cfg(feature = "policies")]
    pub fn alerts(&self) -> Arc<dyn AlertStore> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return Arc::new(tidegate_redis::RedisAlerts::new(redis.clone()));
        }
        Arc::new(crate::alerts::MemoryAlerts::new(Arc::clone(&self.clock)))
    }

    /// Creates the store for locks.
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
