//! Where one platform's bucket lives.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Signal, StoreError};
use crate::{Decision, Quota, Receipt};

/// What holds for a limit while the store that processes share is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Every call may go.
    Open,
    /// No call may go.
    Closed,
    /// This process goes on with its share of the quota, starting empty.
    #[default]
    Local,
}

impl OnFailure {
    /// The name as configurations write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Local => "local",
        }
    }
}

/// A cost that was taken, and when its slot comes.
#[derive(Debug)]
pub struct Reserved<T> {
    /// The place in the queue; looking at it or giving it back makes sense only while `wait` is above zero.
    pub ticket: T,
    /// How long until the slot comes; zero means now.
    pub wait: Duration,
    /// Whole tokens left after it.
    pub remaining: u64,
    /// With it a call that is never sent gives its cost back; there is none for what was let go without asking a bucket.
    pub receipt: Option<Receipt>,
}

/// The state of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStatus {
    /// The rate, such as `40/s`.
    pub rate: String,
    /// The burst.
    pub burst: u64,
    /// Whole tokens there now; negative where calls wait for them.
    pub available: i64,
    /// Milliseconds until the burst is whole again.
    pub full_in_ms: u64,
}

/// One platform's token bucket, wherever it is kept; the semantics are those of [`crate::Bucket`].
///
/// A store that is away answers by the limit's [`OnFailure`], so a decision is never an error.
pub trait LimitStore: Send + Sync {
    /// A place in the queue.
    type Ticket: Send + Sync;
    /// Tells those who wait that their slot may have moved.
    type Moved: Signal;

    /// Takes `cost` tokens that will be there `within` this time, in order of arrival; a refusal takes nothing.
    fn reserve(
        &self,
        cost: u64,
        within: Duration,
    ) -> impl Future<Output = Result<Reserved<Self::Ticket>, Decision>> + Send;

    /// How long this ticket still has to wait; zero means now.
    fn look(&self, ticket: &Self::Ticket) -> impl Future<Output = Duration> + Send;

    /// Gives a slot back that has not come yet; those behind move up. It does not wait for the store.
    fn cancel(&self, ticket: Self::Ticket);

    /// Gives back what a call took that was never sent; see [`crate::Bucket::give_back`].
    fn give_back(&self, receipt: &Receipt) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends when slots may have moved: a change of the quota, or somebody who left.
    fn moved(&self) -> Self::Moved;

    /// The quota in force, as far as this process has heard.
    fn quota(&self) -> Quota;

    /// The state as this process last heard of it, without asking.
    fn seen(&self) -> LimitStatus;

    /// The state now.
    fn status(&self) -> impl Future<Output = Result<LimitStatus, StoreError>> + Send;

    /// Changes the quota for everyone who shares it; the level is kept.
    fn update(&self, quota: Quota) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes over what a configuration says; unlike [`LimitStore::update`] it does not wait, and a store that is away
    /// hears of it later.
    fn configure(&self, quota: Quota, on_failure: OnFailure);

    /// Grants the whole burst anew; calls that wait are served from it first.
    fn reset(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
