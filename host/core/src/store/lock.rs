//! Where locks are kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Answer, Signal};

/// A lock that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Greater than that of every grant before it: whoever guards a resource refuses a smaller one.
    pub fencing_token: u64,
    /// How often this owner holds the lock now; 1 is the first.
    pub depth: u32,
}

/// A lock that somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// It ends by itself within this time unless its holder extends it.
    pub ttl: Duration,
}

/// Who asks for a lock.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The lock's name.
    pub name: &'a str,
    /// A text that nobody else uses; the same owner takes a lock again where it holds it already.
    pub owner: &'a str,
    /// Tells this request from others of the same kind by the owner, so that one whose reply was lost can be sent again.
    pub id: &'a str,
}

/// One lock that is held now, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// The lock's name.
    pub name: String,
    /// Who holds it.
    pub owner: String,
    /// The fencing token of the grant.
    pub fencing_token: u64,
    /// How often its owner holds it.
    pub depth: u32,
    /// Milliseconds until it ends unless it is extended.
    pub ttl_ms: u64,
}

/// Locks with an end, wherever they are kept.
pub trait LockStore: Send + Sync {
    /// Takes the lock for `ttl`, once more where the owner holds it already; what is left of a longer ttl is kept.
    fn acquire<'a>(&'a self, claim: Claim<'a>, ttl: Duration) -> Answer<'a, Result<Grant, Held>>;

    /// Lets the lock end no sooner than `ttl` from now; false where the owner holds it no longer by the grant of this
    /// token.
    fn extend<'a>(&'a self, name: &'a str, owner: &'a str, token: u64, ttl: Duration) -> Answer<'a, bool>;

    /// Gives the lock back once; says how often the owner holds it still, `None` where it held it no longer by the
    /// grant of this token.
    fn release<'a>(&'a self, claim: Claim<'a>, token: u64) -> Answer<'a, Option<u32>>;

    /// Takes the lock away from whoever holds it; whether anyone did.
    fn evict<'a>(&'a self, name: &'a str) -> Answer<'a, bool>;

    /// Who holds the lock now.
    fn holder<'a>(&'a self, name: &'a str) -> Answer<'a, Option<LockInfo>>;

    /// The locks that are held now, by name.
    fn list(&self) -> Answer<'_, Vec<LockInfo>>;

    /// Ends when the lock may have been given back.
    fn released(&self, name: &str) -> Box<dyn Signal>;
}
