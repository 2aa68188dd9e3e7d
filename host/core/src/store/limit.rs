//! The store of one limit's token bucket.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Signal, StoreError};
use crate::clock::millis;
use crate::{Quota, Rate, Refusal, ReservationId};

/// What a limit does while the Redis that processes share is unavailable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnRedisFailure {
    /// Allow every call.
    Open,
    /// Refuse every call.
    Closed,
    /// Enforce this process's share of the quota in memory, starting with an empty bucket.
    #[default]
    Local,
}

crate::text_enum!(OnRedisFailure { Open => "open", Closed => "closed", Local => "local" });

/// A cost that a store reserved, and the time until the call may be sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoreReservation<T> {
    /// The ticket of the queued call. [`LimitStore::remaining_wait`] and [`LimitStore::cancel_wait`] are useful only
    /// while `wait` is above zero.
    pub ticket: T,
    /// The time until the call may be sent; zero means now.
    pub wait: Duration,
    /// The whole tokens that are left.
    pub remaining: u64,
    /// The id with which the caller can cancel the reservation if the call is never sent. A call that was allowed
    /// without a shared bucket has none.
    pub id: Option<ReservationId>,
}

impl<T> StoreReservation<T> {
    /// Creates a reservation that cannot be cancelled by an id.
    #[must_use]
    pub const fn new(ticket: T, wait: Duration, remaining: u64) -> Self {
        Self { ticket, wait, remaining, id: None }
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(self, id: ReservationId) -> Self {
        Self { id: Some(id), ..self }
    }
}

/// The state of a limit.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{LimitStatus, Quota};
/// let quota = Quota::new("40/s".parse()?, 40)?;
/// let status = LimitStatus::new(quota, 39, Duration::from_millis(25));
/// let json = r#"{"rate":"40/s","burst":40,"available":39,"full_in_ms":25}"#;
/// assert_eq!(serde_json::to_string(&status).unwrap(), json);
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[non_exhaustive]
pub struct LimitStatus {
    /// The rate at which tokens are refilled.
    pub rate: Rate,
    /// The burst.
    pub burst: u64,
    /// The whole tokens in the bucket; negative if calls wait for tokens.
    pub available: i64,
    /// The time until the bucket is full.
    #[serde(rename = "full_in_ms", serialize_with = "write_millis", deserialize_with = "read_millis")]
    pub full_in: Duration,
}

impl LimitStatus {
    /// Creates the state of a bucket with `available` whole tokens that is full after `full_in`.
    #[must_use]
    pub const fn new(quota: Quota, available: i64, full_in: Duration) -> Self {
        Self { rate: quota.rate(), burst: quota.burst(), available, full_in }
    }

    /// Creates the state of a full bucket.
    #[must_use]
    pub fn full(quota: Quota) -> Self {
        Self::new(quota, i64::try_from(quota.burst()).unwrap_or(i64::MAX), Duration::ZERO)
    }
}

fn write_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}

fn read_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// The token bucket of one limit, with the semantics of [`crate::Bucket`].
///
/// If the store is unavailable, the limit's [`OnRedisFailure`] decides. A decision is therefore never an error.
pub trait LimitStore: Send + Sync {
    /// The ticket of a queued call.
    type Ticket: Send + Sync;
    /// A signal for queued calls whose scheduled time may have changed.
    type Changed: Signal;

    /// Reserves `cost` tokens if they will be available `within` this time. Tokens go to reservations in order of
    /// arrival. Otherwise it returns the refusal, which takes nothing.
    fn reserve(
        &self,
        cost: u64,
        within: Duration,
    ) -> impl Future<Output = Result<StoreReservation<Self::Ticket>, Refusal>> + Send;

    /// Returns how long the call with this ticket still has to wait; zero means that it may be sent now.
    fn remaining_wait(&self, ticket: &Self::Ticket) -> impl Future<Output = Duration> + Send;

    /// Removes a waiting call from the queue and returns its tokens, so that the calls behind it wait less. It does
    /// not wait for the store.
    fn cancel_wait(&self, ticket: Self::Ticket);

    /// Cancels the reservation of a call that was never sent; see [`crate::Bucket::cancel`].
    fn cancel(&self, id: &ReservationId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns a signal that fires when scheduled times may have changed: after a change of the quota, or after
    /// another call left the queue.
    fn changed(&self) -> Self::Changed;

    /// Returns the quota that this process received last, without a request to the store.
    fn quota(&self) -> Quota;

    /// Returns the last status that this process received, without a request to the store.
    fn cached_status(&self) -> LimitStatus;

    /// Returns the current status.
    fn status(&self) -> impl Future<Output = Result<LimitStatus, StoreError>> + Send;

    /// Changes the quota for all processes that share the limit. The level of the bucket is kept.
    fn update(&self, quota: Quota) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Applies the values of a configuration. Unlike [`LimitStore::update`], it does not wait; an unavailable store
    /// gets the values later.
    fn configure(&self, quota: Quota, on_failure: OnRedisFailure);

    /// Refills the bucket to the full burst. Waiting calls get their tokens first.
    fn reset(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
