//! A policy of any kind and language, ready to be evaluated.

use std::fmt;
use std::sync::Arc;

use tidegate_core::{AdmitPolicy, AlertPolicy, RetryPolicy};

/// A policy that was loaded from one file.
pub enum LoadedPolicy {
    /// A retry policy.
    Retry(Arc<dyn RetryPolicy>),
    /// An alert condition.
    Alert(Arc<dyn AlertPolicy>),
    /// An admission policy.
    Admit(Arc<dyn AdmitPolicy>),
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
