//! Validates the requests of lock owners, and defines the error of lock operations.

use std::time::Duration;

use tidegate_core::StoreError;
use tidegate_core::clock::millis;
use tidegate_core::store::{LockHeld, LockRequest};

/// The minimum TTL; the extension interval, a third of it, must exceed a round trip.
const MIN_TTL: Duration = Duration::from_millis(100);

/// The maximum TTL, so that the lock of a killed process expires within a day.
const MAX_TTL: Duration = Duration::from_secs(86_400);

/// The maximum length of a lock name, an owner or a request id, in bytes.
const MAX_NAME_LENGTH: usize = 200;

/// An error of a lock operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct LockError(LockErrorKind);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum LockErrorKind {
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(StoreError),
    #[error("another owner holds the lock; it expires after {} ms unless its owner extends it", millis(.0.ttl))]
    Held(LockHeld),
}

/// A lock that an owner in another process holds; see [`Locks::extend_for`](crate::Locks::extend_for).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockHolder<'a> {
    /// The name of the lock.
    pub name: &'a str,
    /// The owner that holds it.
    pub owner: &'a str,
    /// The fencing token of the grant.
    pub fencing_token: u64,
}

impl<'a> LockHolder<'a> {
    /// Creates the holder of a lock, by the names of the lock and its owner and the fencing token of the grant.
    #[must_use]
    pub const fn new(name: &'a str, owner: &'a str, fencing_token: u64) -> Self {
        Self { name, owner, fencing_token }
    }
}

impl LockError {
    fn invalid(message: impl Into<String>) -> Self {
        Self(LockErrorKind::Invalid(message.into()))
    }

    pub(super) const fn another_owner(held: LockHeld) -> Self {
        Self(LockErrorKind::Held(held))
    }

    /// Returns the error of the store, for a caller whose request cannot be invalid.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self.0 {
            LockErrorKind::Store(error) => error,
            other => StoreError::failed(other.to_string()),
        }
    }

    /// Returns whether the name, the owner, the request id or the TTL is invalid.
    #[must_use]
    pub const fn is_invalid(&self) -> bool {
        matches!(self.0, LockErrorKind::Invalid(_))
    }

    /// Returns whether the store is unavailable, so that the same request may succeed later.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(&self.0, LockErrorKind::Store(error) if error.is_unavailable())
    }

    /// Returns when the lock of another owner expires, if that is why the lock was not granted.
    #[must_use]
    pub const fn held(&self) -> Option<LockHeld> {
        match self.0 {
            LockErrorKind::Held(held) => Some(held),
            _ => None,
        }
    }
}

impl From<StoreError> for LockError {
    fn from(error: StoreError) -> Self {
        Self(LockErrorKind::Store(error))
    }
}

pub fn new_request_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

pub fn check_request(request: LockRequest<'_>) -> Result<(), LockError> {
    check_name("lock name", request.name)?;
    check_name("lock owner", request.owner)?;
    check_name("request id", request.id)?;
    if request.id.contains(char::is_whitespace) {
        return Err(LockError::invalid("invalid request id: expected no whitespace"));
    }
    Ok(())
}

pub fn check_name(kind: &str, name: &str) -> Result<(), LockError> {
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || name.contains(char::is_control) {
        let message = format!("invalid {kind}: expected 1 to {MAX_NAME_LENGTH} bytes without control characters");
        return Err(LockError::invalid(message));
    }
    Ok(())
}

pub fn check_ttl(ttl: Duration) -> Result<(), LockError> {
    if (MIN_TTL..=MAX_TTL).contains(&ttl) {
        return Ok(());
    }
    Err(LockError::invalid(format!("invalid ttl of {} ms: expected 100 ms to 1 day", ttl.as_millis())))
}
