//! Admission: the policy's decision on a request, and the limits that then apply to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Admission, Allowed, Request};

use crate::context::CallContext;
use crate::error::UnknownPlatform;
use crate::evaluator::AdmissionVerdict;
use crate::limit_set::{LimitRefused, LimitSet, Reservations};

/// A request that was admitted; see [`Host::admit`](crate::Host::admit).
///
/// Its limits still have to allow the request: call [`Admitted::check`], [`Admitted::acquire`] or
/// [`Admitted::reserve`], or pass it to [`Retry::admitted`](crate::Retry::admitted).
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The cost that a policy or the caller set.
    pub(crate) cost: Option<u64>,
    pub(crate) limits: LimitSet,
    policy: Arc<str>,
}

/// A request that an admission policy denied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{policy} denied the request: {reason}")]
#[non_exhaustive]
pub struct Denied {
    /// The reason, for the caller.
    pub reason: String,
    /// The HTTP status for the caller, from 400 to 599.
    pub status: u16,
    /// The file of the policy that denied the request.
    pub policy: Arc<str>,
}

/// The error of a request that was not admitted: a policy denied it, or its platform is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct AdmitError(#[from] AdmitErrorKind);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum AdmitErrorKind {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    UnknownPlatform(#[from] UnknownPlatform),
}

impl AdmitError {
    /// Returns why the policy denied the request; `None` if the platform is unknown.
    #[must_use]
    pub const fn denied(&self) -> Option<&Denied> {
        match &self.0 {
            AdmitErrorKind::Denied(denied) => Some(denied),
            AdmitErrorKind::UnknownPlatform(_) => None,
        }
    }

    /// Returns whether the configuration has no limit for the platform.
    #[must_use]
    pub const fn is_unknown_platform(&self) -> bool {
        matches!(self.0, AdmitErrorKind::UnknownPlatform(_))
    }
}

impl From<UnknownPlatform> for AdmitError {
    fn from(error: UnknownPlatform) -> Self {
        Self(error.into())
    }
}

/// Evaluates the admission policy of the request's platform and selects the limits that apply.
pub async fn admit(context: &CallContext, request: &Request) -> Result<Admitted, AdmitError> {
    let mut limits = LimitSet::new(&request.platform, context.limiters.get(&request.platform)?);
    let AdmissionVerdict { admission, policy } = context.policies.admit(request).await;
    let (cost, labels) = match admission {
        Admission::Default => (None, BTreeMap::new()),
        Admission::Allow { cost, scope } => (Some(cost.into()), scope),
        Admission::Deny { reason, status } => {
            return Err(AdmitErrorKind::from(Denied { reason, status, policy }).into());
        }
    };
    for name in context.config.load().scoped_limits(&request.platform, &labels) {
        limits.add(name, context.limiters.get(name)?);
    }
    Ok(Admitted { cost, limits, policy })
}

impl Admitted {
    /// Sets the cost of the request if no policy set one. The default is 1.
    #[must_use]
    pub fn with_default_cost(self, cost: u64) -> Self {
        Self { cost: Some(self.cost.unwrap_or(cost)), ..self }
    }

    /// Returns the cost that the request takes from each limit.
    #[must_use]
    pub const fn cost(&self) -> u64 {
        match self.cost {
            Some(cost) => cost,
            None => 1,
        }
    }

    /// Returns the names of the limits that apply. The platform's own limit comes first.
    pub fn limits(&self) -> impl Iterator<Item = &str> {
        self.limits.names()
    }

    /// Returns the file of the policy that decided, or `fallback` if no policy did.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Takes the cost from every limit if it is available now.
    ///
    /// # Errors
    /// Returns the first limit that refused, and its refusal. A refusal takes nothing from any limit.
    pub async fn check(&self) -> Result<Allowed, LimitRefused> {
        self.acquire(Duration::ZERO).await
    }

    /// Waits for the cost at every limit, at most for `timeout` in total and never longer than 30 s.
    ///
    /// Dropping the future cancels the wait and returns the tokens that were already taken.
    ///
    /// # Errors
    /// Returns the first limit that refused, and its refusal. A refusal takes nothing from any limit.
    pub async fn acquire(&self, timeout: Duration) -> Result<Allowed, LimitRefused> {
        self.limits.acquire(self.cost(), timeout).await
    }

    /// Waits as [`Admitted::acquire`] does and returns reservations. If the request is then not sent, the caller can
    /// cancel them.
    ///
    /// # Errors
    /// Returns the first limit that refused, and its refusal. A refusal takes nothing from any limit.
    pub async fn reserve(&self, timeout: Duration) -> Result<Reservations, LimitRefused> {
        self.limits.reserve(self.cost(), timeout).await
    }
}
