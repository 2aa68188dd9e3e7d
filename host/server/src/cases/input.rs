//! The inputs of policies in test cases and in `tidegate eval`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use tidegate::Config;
use tidegate::response::{ResponseParts, read_failure};
use tidegate_core::{Failure, HostView, Snapshot, Stats};

use super::view::FixedView;
use crate::json::read_value;

/// The input of an alert condition: the snapshot, and what `window("1h")` and other ranges return.
#[derive(Debug)]
pub struct AlertInput {
    /// The statistics of the rule's own window.
    pub snapshot: Snapshot,
    /// Other windows, by range. A window that is not listed has the statistics of the rule's own window.
    pub windows: BTreeMap<String, Stats>,
}

impl<'de> Deserialize<'de> for AlertInput {
    /// Reads the fields of the statistics beside the others. Unlike the derived code for `flatten`, errors name them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let platform: String = take(&mut fields, "platform")?;
        let endpoint = take(&mut fields, "endpoint")?;
        let windows = take(&mut fields, "windows")?;
        let stats = read_value(Value::Object(fields)).map_err(D::Error::custom)?;
        let mut snapshot = Snapshot::new(platform, stats);
        snapshot.endpoint = endpoint;
        Ok(Self { snapshot, windows })
    }
}

/// Removes a field and reads it. A field that does not exist has its default value.
fn take<T: DeserializeOwned + Default, E: Error>(fields: &mut Map<String, Value>, name: &str) -> Result<T, E> {
    let Some(value) = fields.remove(name) else { return Ok(T::default()) };
    read_value(value).map_err(|error| E::custom(error.within(name.to_owned())))
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

    /// Returns the failure that the response describes, with the body, or `None` if the call succeeded. The error
    /// shapes of the platform are those of `config`.
    #[must_use]
    pub fn failure(&self, config: &Config, platform: &str, at_ms: u64) -> Option<Failure> {
        let body = self.body.as_bytes();
        let response = ResponseParts::new(self.status, &self.headers, body).with_at_ms(at_ms);
        let failure = read_failure(config, platform, response)?;
        Some(failure.with_body(body))
    }
}
