//! The error of the blocking API.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Refusal, StoreError};

use crate::admission::{AdmitError, Denied};
use crate::config_error::ConfigError;
use crate::error::UnknownPlatform;
use crate::limit_set::LimitRefused;
use crate::lock::LockError;

/// An error of the blocking API.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct BlockingError(#[from] BlockingErrorKind);

#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum BlockingErrorKind {
    #[error(
        "tidegate::blocking was called inside an async runtime, where it would block other tasks; \
         use the async methods of tidegate::Host there"
    )]
    InsideRuntime,
    #[error("could not start the background runtime")]
    RuntimeNotStarted(#[source] Arc<io::Error>),
    #[error("the host has shut down")]
    ShutDown,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    LimitRefused(#[from] LimitRefused),
    #[error(transparent)]
    Admit(#[from] AdmitError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    UnknownPlatform(#[from] UnknownPlatform),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl BlockingError {
    /// Returns whether the method was called inside an async runtime.
    #[must_use]
    pub const fn is_inside_runtime(&self) -> bool {
        matches!(self.0, BlockingErrorKind::InsideRuntime)
    }

    /// Returns the refusal if a limit refused the call.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match &self.0 {
            BlockingErrorKind::Refused(refusal) => Some(*refusal),
            BlockingErrorKind::LimitRefused(refused) => Some(refused.refusal),
            _ => None,
        }
    }

    /// Returns the error of the lock, if a lock is why the call failed.
    #[must_use]
    pub const fn lock_error(&self) -> Option<&LockError> {
        match &self.0 {
            BlockingErrorKind::Lock(error) => Some(error),
            _ => None,
        }
    }

    /// Returns how long to wait before the same call is made again, if that is known: the wait that a limit requires.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.refusal() {
            Some(refusal) => refusal.retry_after(),
            None => None,
        }
    }

    /// Returns why an admission policy denied the request, if one did.
    #[must_use]
    pub const fn denied(&self) -> Option<&Denied> {
        match &self.0 {
            BlockingErrorKind::Admit(error) => error.denied(),
            _ => None,
        }
    }

    /// Returns whether the configuration has no limit for the platform.
    #[must_use]
    pub const fn is_unknown_platform(&self) -> bool {
        match &self.0 {
            BlockingErrorKind::UnknownPlatform(_) => true,
            BlockingErrorKind::Admit(error) => error.is_unknown_platform(),
            _ => false,
        }
    }

    /// Returns whether Redis is unavailable, so that the same call may succeed later.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        match &self.0 {
            BlockingErrorKind::Store(error) => error.is_unavailable(),
            BlockingErrorKind::Lock(error) => error.is_unavailable(),
            _ => false,
        }
    }
}

/// Converts the errors of the async API.
macro_rules! from_async_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for BlockingError {
            fn from(error: $error) -> Self {
                Self(error.into())
            }
        })*
    };
}

from_async_errors!(Refusal, LimitRefused, AdmitError, ConfigError, UnknownPlatform, StoreError, LockError);
