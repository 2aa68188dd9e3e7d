//! The inputs of policies in test cases and in `tidegate eval`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use tidegate::Config;
use tidegate::core::{Failure, HostView, Snapshot, Stats};

use super::view::FixedView;

/// The input of an alert condition: the snapshot, and what `window("1h")` and other ranges return.
#[derive(Debug, Deserialize)]
pub struct AlertInput {
    /// The statistics of the rule's own window.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// Other windows, by range. A window that is not listed has the statistics of the rule's own window.
    #[serde(default)]
    pub windows: BTreeMap<String, Stats>,
}

impl AlertInput {
    /// Creates the view that the policy reads its windows from.
    ///
    /// # Errors
    /// Returns an error if a range is not a valid duration.
    pub fn view(&self) -> Result<Arc<dyn HostView>, String> {
        let view = FixedView::new(self.windows.clone(), BTreeMap::new(), self.snapshot.stats.clone())?;
        Ok(Arc::new(view))
    }
}

/// An HTTP response of a platform.
#[derive(Debug)]
pub struct PlatformResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl PlatformResponse {
    /// Creates a response. Returns `None` if the status or a header is not valid in HTTP.
    pub fn new(status: u16, headers: &BTreeMap<String, String>, body: String) -> Option<Self> {
        let header = |(name, value): (&String, &String)| {
            Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
        };
        let headers = headers.iter().map(header).collect::<Option<HeaderMap>>()?;
        Some(Self { status: StatusCode::from_u16(status).ok()?, headers, body })
    }

    /// Returns the failure that the response describes, or `None` if the call succeeded. The error shapes of the
    /// platform are those of `config`.
    #[must_use]
    pub fn failure(&self, config: &Config, platform: &str, at_ms: u64) -> Option<Failure> {
        tidegate::read_failure(config, platform, self.status, &self.headers, self.body.as_bytes(), at_ms)
    }
}
