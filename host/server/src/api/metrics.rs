//! Statistics of calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::{Host, Stats};
use tidegate_core::units::{format_duration, parse_duration};
use utoipa::{IntoParams, ToSchema};

use super::ApiError;

/// The longest range. Older counts are not kept.
const MAX_RANGE: Duration = Duration::from_secs(30 * 86_400);

/// The calls whose statistics are requested.
#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MetricsRequest {
    /// The platform.
    #[param(example = "taobao")]
    pub platform: String,
    /// The endpoint. If absent, all endpoints of the platform.
    #[param(example = "taobao.trade.get", nullable = false)]
    pub endpoint: Option<String>,
    /// How far the window reaches back, for example `5m`, `1h` or `7d`. At most 30 days.
    #[serde(default = "default_range")]
    #[param(example = "1h", default = "1h")]
    pub range: String,
}

fn default_range() -> String {
    "1h".to_owned()
}

/// The statistics of a time window. Rates are fractions of 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Stats, examples(json!({
    "count": 1, "success": 0, "errors": 1, "limited": 0, "total_ms": 120.5, "error_rate": 1.0, "success_rate": 0.0,
    "limited_rate": 0.0, "rps": 0.0003, "p50": 120.1, "p95": 120.1, "p99": 120.1, "from_ms": 1763856000000_u64,
    "to_ms": 1763859600000_u64
})))]
pub struct CallStats {
    /// The number of attempts: calls that were sent, including retries.
    pub count: u64,
    /// The number of attempts that succeeded.
    pub success: u64,
    /// The number of attempts that failed.
    pub errors: u64,
    /// The number of attempts that a limit refused. They were not sent and are not part of `count`.
    pub limited: u64,
    /// The sum of the durations, in milliseconds.
    pub total_ms: f64,
    /// `errors / count`; 0 if there were no attempts.
    pub error_rate: f64,
    /// `success / count`; 1 if there were no attempts.
    pub success_rate: f64,
    /// `limited / (count + limited)`; 0 if there were no attempts.
    pub limited_rate: f64,
    /// Attempts per second over the window.
    pub rps: f64,
    /// The duration within which 50 % of the attempts finished, in milliseconds, accurate to 1 %.
    pub p50: f64,
    /// The duration within which 95 % of the attempts finished, in milliseconds.
    pub p95: f64,
    /// The duration within which 99 % of the attempts finished, in milliseconds.
    pub p99: f64,
    /// The start of the window, in milliseconds since 1970.
    pub from_ms: u64,
    /// The end of the window, in milliseconds since 1970.
    pub to_ms: u64,
}

impl From<Stats> for CallStats {
    fn from(stats: Stats) -> Self {
        Self {
            count: stats.count,
            success: stats.success,
            errors: stats.errors,
            limited: stats.limited,
            total_ms: stats.total_ms,
            error_rate: stats.error_rate,
            success_rate: stats.success_rate,
            limited_rate: stats.limited_rate,
            rps: stats.rps,
            p50: stats.p50,
            p95: stats.p95,
            p99: stats.p99,
            from_ms: stats.from_ms,
            to_ms: stats.to_ms,
        }
    }
}

/// Returns the statistics of all processes that share the Redis.
///
/// # Errors
/// Returns an error if the platform is unknown, the range is invalid, or Redis is unavailable.
pub async fn stats(host: &Host, request: MetricsRequest) -> Result<CallStats, ApiError> {
    let MetricsRequest { platform, endpoint, range } = request;
    host.limiter(&platform)?;
    let range = parse_duration(&range).map_err(|error| ApiError::bad_request(format!("range: {error}")))?;
    if range.is_zero() || range > MAX_RANGE {
        let max = format_duration(MAX_RANGE);
        return Err(ApiError::bad_request(format!("range: expected a duration above zero and up to {max:?}")));
    }
    Ok(host.stats(&platform, endpoint.as_deref(), range).await?.into())
}
