//! Figures of a window, as people and alert policies read them.

use serde::{Deserialize, Serialize};

/// What happened in a window of time. Rates are fractions of 1, times are milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Calls that were sent.
    pub count: u64,
    /// Of them, those that succeeded.
    pub success: u64,
    /// Of them, those that failed.
    pub errors: u64,
    /// Calls that our own limit refused; not in `count`.
    pub limited: u64,
    /// The sum of the durations, in milliseconds.
    pub total_ms: f64,
    /// `errors / count`; 0 where there were no calls.
    pub error_rate: f64,
    /// `success / count`; 1 where there were no calls.
    pub success_rate: f64,
    /// `limited / (count + limited)`; 0 where there were none.
    pub limited_rate: f64,
    /// Calls a second over the window.
    pub rps: f64,
    /// Half of the calls took at most this long, in milliseconds (within 1 %).
    pub p50: f64,
    /// 95 of 100 calls took at most this long.
    pub p95: f64,
    /// 99 of 100 calls took at most this long.
    pub p99: f64,
    /// Where the window begins, in milliseconds since 1970; windows align outwards.
    pub from_ms: u64,
    /// Where it ends.
    pub to_ms: u64,
}

/// What an alert rule looks at: one platform (or one of its endpoints) over the rule's window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The platform.
    pub platform: String,
    /// The endpoint, where the rule looks at each of them.
    pub endpoint: Option<String>,
    /// The figures.
    #[serde(flatten)]
    pub stats: Stats,
}
