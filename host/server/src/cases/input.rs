//! What policies are asked in cases and by `tidegate eval`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use tidegate::core::{Failure, Snapshot, Stats, View};

use super::given::Given;

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
        let given = Given::new(self.windows.clone(), BTreeMap::new(), self.snapshot.stats.clone())?;
        Ok(Arc::new(given))
    }
}

/// An answer of a platform as it comes over the wire.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    /// An answer; `None` where HTTP cannot carry it.
    pub fn new(status: u16, headers: &BTreeMap<String, String>, body: String) -> Option<Self> {
        let header = |(name, value): (&String, &String)| {
            Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
        };
        let headers = headers.iter().map(header).collect::<Option<HeaderMap>>()?;
        Some(Self { status: StatusCode::from_u16(status).ok()?, headers, body })
    }

    /// The failure that the body reader finds in it; `None` where the platform did what was asked.
    #[must_use]
    pub fn failure(&self, platform: &str, at_ms: u64) -> Option<Failure> {
        tidegate::read_failure(platform, self.status, &self.headers, self.body.as_bytes(), at_ms)
    }
}
