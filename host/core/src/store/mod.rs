//! Stores: the traits through which services read and change shared state.
//!
//! There are two implementations of each store: one in memory, for a single process, and one in Redis, for processes
//! that share their state.
//!
//! The traits are for tidegate's own crates: a host uses its stores in memory or in Redis and accepts no others. They
//! are exempt from semantic versioning, so a minor release may add a method. The values that they exchange, such as
//! [`AlertRecord`] and [`LockInfo`], follow semantic versioning.

mod alert;
mod limit;
mod lock;
mod metric;

use std::future::Future;
use std::pin::Pin;

pub use crate::bucket::ReservationParts;
pub use alert::{
    AlertChanges, AlertEntry, AlertKey, AlertRecord, AlertStates, AlertStore, Delivery, MAX_HISTORY, OfflineAlerts,
    OfflineState, RoutedNotification,
};
pub use limit::{LimitStatus, LimitStore, OnRedisFailure, StoreReservation};
pub use lock::{LockGrant, LockHeld, LockInfo, LockReply, LockRequest, LockStore};
pub use metric::{MetricDeltas, MetricStore};

/// The error of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    message: String,
    is_unavailable: bool,
}

impl StoreError {
    /// Creates the error of a store that is unavailable. The store may or may not have executed the request.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_unavailable: true }
    }

    /// Creates the error of a request that an available store could not execute.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_unavailable: false }
    }

    /// Returns whether the store was unavailable, so that the same request may succeed later.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        self.is_unavailable
    }
}

/// The future that a method of a store returns. It resolves to a [`StoreError`] if the store is unavailable or cannot
/// execute the request.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A subscription to changes, so that a caller can wait for a change instead of polling.
pub trait Signal: Send {
    /// Completes once something may have changed since the signal was created or since `changed` last completed.
    ///
    /// If the subscription was interrupted, this counts as a change.
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl<S: Signal + ?Sized> Signal for Box<S> {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        (**self).changed()
    }
}
