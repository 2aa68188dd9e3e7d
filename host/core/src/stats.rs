//! The statistics of a window, for users and for alert conditions.

use serde::{Deserialize, Serialize};

/// The statistics of a time window. Rates are fractions of 1, times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Stats {
    /// The attempts: calls that were sent, including retries.
    pub count: u64,
    /// The attempts that succeeded.
    pub success: u64,
    /// The attempts that failed.
    pub errors: u64,
    /// The attempts that a limit of tidegate refused. They were not sent and are not part of `count`.
    pub limited: u64,
    /// The sum of the durations, in milliseconds.
    pub total_ms: f64,
    /// `errors / count`; 0 if there were no attempts.
    pub error_rate: f64,
    /// `success / count`; 1 if there were no attempts.
    pub success_rate: f64,
    /// `limited / (count + limited)`; 0 if there were no attempts.
    pub limited_rate: f64,
    /// The average attempts per second.
    pub rps: f64,
    /// The 50th percentile of the durations, in milliseconds. Percentiles have a relative error of at most 1 %.
    pub p50: f64,
    /// The 95th percentile of the durations, in milliseconds.
    pub p95: f64,
    /// The 99th percentile of the durations, in milliseconds.
    pub p99: f64,
    /// The start of the window, in milliseconds since 1970. It is rounded down to a whole minute, hour or day.
    pub from_ms: u64,
    /// The end of the window, in milliseconds since 1970.
    pub to_ms: u64,
}

/// The statistics of a window without calls.
impl Default for Stats {
    fn default() -> Self {
        Self {
            count: 0,
            success: 0,
            errors: 0,
            limited: 0,
            total_ms: 0.0,
            error_rate: 0.0,
            success_rate: 1.0,
            limited_rate: 0.0,
            rps: 0.0,
            p50: 0.0,
            p95: 0.0,
            p99: 0.0,
            from_ms: 0,
            to_ms: 0,
        }
    }
}

/// The input of an alert rule: the statistics of a platform, or of one of its endpoints, over the rule's window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The platform.
    pub platform: String,
    /// The endpoint, if the rule evaluates each endpoint.
    pub endpoint: Option<String>,
    /// The statistics.
    #[serde(flatten)]
    pub stats: Stats,
}

impl Snapshot {
    /// Creates the snapshot of a platform.
    #[must_use]
    pub fn new(platform: impl Into<String>, stats: Stats) -> Self {
        Self { platform: platform.into(), endpoint: None, stats }
    }

    /// Sets the endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }
}
