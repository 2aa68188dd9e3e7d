//! Admission: the decision whether a request is allowed, what it costs and which limits apply to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Fault, HostView};

/// A request that is about to be sent to a platform, in plain values: the input of an admission policy.
///
/// ```
/// use tidegate_core::Request;
/// let request: Request = serde_json::from_str(r#"{"platform": "pdd", "labels": {"seller": "7"}}"#).unwrap();
/// assert_eq!(request.method, "GET");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object")]
#[non_exhaustive]
pub struct Request {
    /// The platform.
    pub platform: String,
    /// The endpoint, by its name in metrics.
    pub endpoint: String,
    /// The HTTP method, in upper case.
    pub method: String,
    /// The time at which the request arrived, in milliseconds since 1970.
    pub at_ms: u64,
    /// Selected headers; their names are in lower case.
    #[serde(deserialize_with = "crate::failure::deserialize_headers")]
    pub headers: Vec<(String, String)>,
    /// Labels that the caller sets, for example the seller or the tenant.
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

impl Request {
    /// Creates a `GET` request to a platform.
    ///
    /// ```
    /// use tidegate_core::Request;
    /// let request = Request::new("pdd").with_endpoint("orders").with_label("seller", "7").with_labels([("shop", "1")]);
    /// assert_eq!((request.method.as_str(), request.labels["seller"].as_str()), ("GET", "7"));
    /// ```
    #[must_use]
    pub fn new(platform: impl Into<String>) -> Self {
        Self { platform: platform.into(), ..Self::default() }
    }

    /// Sets the endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Sets the HTTP method, in upper case.
    #[must_use]
    pub fn with_method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// Sets the time at which the request arrived, in milliseconds since 1970.
    #[must_use]
    pub fn with_at_ms(mut self, at_ms: u64) -> Self {
        self.at_ms = at_ms;
        self
    }

    /// Adds headers. Their names are converted to lower case.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        self.headers.extend(crate::failure::lower_case_names(headers));
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Adds labels.
    #[must_use]
    pub fn with_labels(mut self, labels: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        self.labels.extend(labels.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }
}

/// The verdict of an admission policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Admission {
    /// The policy abstains: `admit/default` decides, or else the platform's limit applies with a cost of 1.
    Default,
    /// The request is allowed, if its limits have the tokens.
    Allow {
        /// The cost at each limit that applies; at least 1.
        cost: u32,
        /// The labels that select additional limits of the platform.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        scope: BTreeMap<String, String>,
    },
    /// The request is denied.
    Deny {
        /// A short reason for the caller.
        reason: String,
        /// The HTTP status for the caller, 400 to 599.
        status: u16,
    },
}

impl Admission {
    /// Allows the request at this cost.
    #[must_use]
    pub const fn allow(cost: u32) -> Self {
        Self::Allow { cost, scope: BTreeMap::new() }
    }

    /// Adds a label that selects additional limits of the platform. It has no effect on a verdict that does not allow
    /// the request.
    #[must_use]
    pub fn with_scope(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Self::Allow { scope, .. } = &mut self {
            scope.insert(name.into(), value.into());
        }
        self
    }

    /// Denies the request, with a short reason and the HTTP status (400 to 599) for the caller.
    #[must_use]
    pub fn deny(reason: impl Into<String>, status: u16) -> Self {
        Self::Deny { reason: reason.into(), status }
    }
}

/// A policy that decides whether a request is allowed.
pub trait AdmitPolicy: Send + Sync {
    /// Returns the verdict on a request.
    ///
    /// # Errors
    /// Returns a [`Fault`] if the policy fails.
    fn admit(&self, request: &Request, view: &Arc<dyn HostView>) -> Result<Admission, Fault>;
}
