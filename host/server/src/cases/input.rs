//! What policies are asked in cases and by `tidegate eval`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use tidegate::core::units::{parse_duration, show_duration};
use tidegate::core::{Failure, Snapshot, Stats, View, Windows};

/// The input of an alert: the snapshot, and what `window("1h")` answers.
#[derive(Debug, Deserialize)]
pub struct AlertInput {
    /// What the rule's window holds.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// Other windows by their range; those not given are as the rule's.
    #[serde(default)]
    pub windows: BTreeMap<String, Stats>,
}

impl AlertInput {
    /// The windows as a policy sees them.
    ///
    /// # Errors
    /// Where a range is no duration.
    pub fn view(&self) -> Result<Arc<dyn View>, String> {
        let named = self.windows.iter().map(|(name, stats)| Ok((parse_duration(name)?, stats.clone())));
        let windows: BTreeMap<Duration, Stats> = named
            .collect::<Result<_, String>>()
            .map_err(|error| format!("windows: {error}, as in {:?}", show_duration(Duration::from_secs(3_600))))?;
        let other = self.snapshot.stats.clone();
        Ok(Arc::new(Windows(move |range: Duration| windows.get(&range).unwrap_or(&other).clone())))
    }
}

/// An answer of a platform as it comes over the wire.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

impl Answer {
    /// The failure that the body reader finds in it; `None` where the platform did what was asked.
    ///
    /// # Errors
    /// Where status or headers are none.
    pub fn failure(&self, platform: &str, at_ms: u64) -> Result<Option<Failure>, String> {
        let status =
            StatusCode::from_u16(self.status).map_err(|_| format!("answer: no such status {}", self.status))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let odd = || format!("answer: header {name}: expected a name and a value that HTTP can carry");
            let name: HeaderName = name.parse().map_err(|_| odd())?;
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| odd())?);
        }
        Ok(tidegate::read_failure(platform, status, &headers, self.body.as_bytes(), at_ms))
    }
}
