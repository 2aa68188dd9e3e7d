//! What the tests of tidegate's workspace and its server need. Exempt from semantic versioning.

use std::sync::Arc;

use tidegate_core::Clock;
use tidegate_core::store::MetricDeltas;
#[cfg(feature = "redis")]
use tidegate_redis::{Redis, RedisLimit};

use crate::metrics::Metrics;
#[cfg(feature = "redis")]
use crate::{Host, Limiter};

#[cfg(feature = "policies")]
pub use crate::alerts::MemoryAlerts;

/// Creates a limiter whose bucket is in Redis.
#[cfg(feature = "redis")]
#[must_use]
pub fn shared_limiter(limit: RedisLimit) -> Limiter {
    Limiter::shared(limit)
}

/// Returns the Redis client of a host; `None` if its configuration has no `[redis]`.
#[cfg(feature = "redis")]
#[must_use]
pub fn redis(host: &Host) -> Option<&Redis> {
    host.redis()
}

/// Creates empty metrics that also keep the counts for [`take_pending`], which the caller must call regularly.
#[must_use]
pub fn exported_metrics(max_endpoints: usize, clock: Arc<dyn Clock>) -> Metrics {
    Metrics::with_export(max_endpoints, clock)
}

/// Returns the counts since the previous call of this function, for export to a shared store.
#[must_use]
pub fn take_pending(metrics: &Metrics) -> MetricDeltas {
    metrics.take_pending()
}
