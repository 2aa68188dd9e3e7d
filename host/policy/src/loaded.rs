//! A policy of any kind and language, ready to be evaluated.

use std::fmt;
use std::sync::Arc;

use tidegate_core::{AdmitPolicy, AlertPolicy, RetryPolicy};

use crate::paths::PolicyKind;

/// A policy that was loaded from one file.
pub enum LoadedPolicy {
    /// A retry policy.
    Retry(Arc<dyn RetryPolicy>),
    /// An alert condition.
    Alert(Arc<dyn AlertPolicy>),
    /// An admission policy.
    Admit(Arc<dyn AdmitPolicy>),
}

impl LoadedPolicy {
    /// Returns the kind of the policy.
    #[must_use]
    pub const fn kind(&self) -> PolicyKind {
        match self {
            Self::Retry(_) => PolicyKind::Retry,
            Self::Alert(_) => PolicyKind::Alert,
            Self::Admit(_) => PolicyKind::Admit,
        }
    }

    /// Returns the retry policy, if it is one.
    #[must_use]
    pub fn into_retry(self) -> Option<Arc<dyn RetryPolicy>> {
        if let Self::Retry(policy) = self { Some(policy) } else { None }
    }

    /// Returns the alert condition, if it is one.
    #[must_use]
    pub fn into_alert(self) -> Option<Arc<dyn AlertPolicy>> {
        if let Self::Alert(policy) = self { Some(policy) } else { None }
    }

    /// Returns the admission policy, if it is one.
    #[must_use]
    pub fn into_admit(self) -> Option<Arc<dyn AdmitPolicy>> {
        if let Self::Admit(policy) = self { Some(policy) } else { None }
    }
}

impl fmt::Debug for LoadedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Retry(_) => "Retry",
            Self::Alert(_) => "Alert",
            Self::Admit(_) => "Admit",
        };
        f.debug_tuple(name).finish_non_exhaustive()
    }
}
