//! The store of locks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Signal, StoreFuture};
use crate::clock::millis;

/// A lock that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LockGrant {
    /// A number that is greater than the token of every earlier grant. A resource that the lock protects rejects
    /// requests with a smaller one.
    pub fencing_token: u64,
    /// How many times this owner now holds the lock; 1 after the first acquisition.
    pub depth: u32,
}

impl LockGrant {
    /// Creates a grant.
    #[must_use]
    pub const fn new(fencing_token: u64, depth: u32) -> Self {
        Self { fencing_token, depth }
    }
}

/// A lock that another owner holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockHeld {
    /// The time after which the lock expires unless its owner extends it.
    pub ttl: Duration,
}

impl LockHeld {
    /// Creates the reply for a lock that expires after `ttl`.
    #[must_use]
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl }
    }
}

/// The reply to a request to acquire a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockReply<T = LockGrant> {
    /// The lock was granted.
    Granted(T),
    /// Another owner holds the lock.
    Held(LockHeld),
}

/// A request to acquire or release a lock.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LockRequest<'a> {
    /// The name of the lock.
    pub name: &'a str,
    /// The unique name of the owner. An owner that holds the lock already can acquire it again.
    pub owner: &'a str,
    /// An id that distinguishes this request from other requests of the owner, so that a request whose reply was lost
    /// can be sent again.
    pub id: &'a str,
}

impl<'a> LockRequest<'a> {
    /// Creates a request.
    #[must_use]
    pub const fn new(name: &'a str, owner: &'a str, id: &'a str) -> Self {
        Self { name, owner, id }
    }
}

/// A lock that is held now, for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LockInfo {
    /// The name of the lock.
    pub name: String,
    /// The owner of the lock.
    pub owner: String,
    /// The fencing token of the grant.
    pub fencing_token: u64,
    /// How many times the owner holds the lock.
    pub depth: u32,
    /// Milliseconds until the lock expires unless it is extended.
    pub ttl_ms: u64,
}

impl LockInfo {
    /// Creates the description of a grant that expires after `ttl`.
    #[must_use]
    pub fn new(name: impl Into<String>, owner: impl Into<String>, grant: LockGrant, ttl: Duration) -> Self {
        let LockGrant { fencing_token, depth } = grant;
        Self { name: name.into(), owner: owner.into(), fencing_token, depth, ttl_ms: millis(ttl) }
    }
}

/// Locks that expire.
pub trait LockStore: Send + Sync {
    /// Acquires the lock for `ttl`. If the owner holds it already, its depth grows by one, and the lock never expires
    /// earlier than before.
    fn acquire<'a>(&'a self, request: LockRequest<'a>, ttl: Duration) -> StoreFuture<'a, LockReply>;

    /// Extends the lock so that it expires no sooner than `ttl` from now.
    ///
    /// Returns `false` if the owner no longer holds the lock by the grant with this token.
    fn extend<'a>(&'a self, name: &'a str, owner: &'a str, token: u64, ttl: Duration) -> StoreFuture<'a, bool>;

    /// Releases the lock once and returns how many times the owner still holds it.
    ///
    /// Returns `None` if the owner no longer held the lock by the grant with this token.
    fn release<'a>(&'a self, request: LockRequest<'a>, token: u64) -> StoreFuture<'a, Option<u32>>;

    /// Removes the lock from its owner. Returns whether it was held.
    fn force_release<'a>(&'a self, name: &'a str) -> StoreFuture<'a, bool>;

    /// Returns the current holder of the lock.
    fn holder<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<LockInfo>>;

    /// Returns the locks that are held now, sorted by name.
    fn list(&self) -> StoreFuture<'_, Vec<LockInfo>>;

    /// Returns a signal that fires when the lock may have been released.
    fn released(&self, name: &str) -> Box<dyn Signal>;
}
