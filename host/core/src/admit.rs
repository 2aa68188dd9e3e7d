//! Admission: whether, at what cost and through which limits a request goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Fault, View};

/// A request that is about to be sent to a platform, in plain values: all that an admission policy sees.
///
/// ```
/// use tidegate_core::Request;
/// let request: Request = serde_json::from_str(r#"{"platform": "pdd", "labels": {"seller": "7"}}"#).unwrap();
/// assert_eq!(request.method, "GET");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// The platform that it goes to.
    pub platform: String,
    /// The endpoint, as metrics name it.
    pub endpoint: String,
    /// The HTTP method, in upper case.
    pub method: String,
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// Chosen headers, names in lower case.
    #[serde(deserialize_with = "crate::failure::headers")]
    pub headers: Vec<(String, String)>,
    /// What the gateway knows of it, such as the seller or the tenant.
    pub labels: BTreeMap<String, String>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            platform: String::new(),
            endpoint: String::new(),
            method: "GET".to_owned(),
            at_ms: 0,
            headers: Vec::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// The answer of an admission policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Admission {
    /// No opinion: `admit/default` decides, then the platform's limit at cost 1.
    Default,
    /// It goes.
    Allow {
        /// What it costs at each limit it passes; at least 1.
        cost: u32,
        /// Labels that pick further limits of the platform.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        scope: BTreeMap<String, String>,
    },
    /// It does not go.
    Deny {
        /// A few words for the caller.
        reason: String,
        /// The HTTP status for the caller, 400 to 599.
        status: u16,
    },
}

/// Decides whether a request goes.
pub trait AdmitPolicy: Send + Sync {
    /// The verdict on one request.
    ///
    /// # Errors
    /// A [`Fault`] where the policy misbehaved.
    fn admit(&self, request: &Request, view: &Arc<dyn View>) -> Result<Admission, Fault>;
}
