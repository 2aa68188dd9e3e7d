//! What the services ask of where state lives: in memory for one process, in a store that processes share for many.

mod alert;
mod limit;
mod lock;
mod metric;

use std::future::Future;
use std::pin::Pin;

pub use alert::{AlertEntry, AlertKey, AlertRecord, AlertStore, Changes, Delivery, Intent, MAX_HISTORY, Seen};
pub use limit::{LimitStatus, LimitStore, OnFailure, Reserved};
pub use lock::{Claim, Grant, Held, LockInfo, LockStore};
pub use metric::{Counted, MetricStore};

/// Why a store gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    message: String,
    away: bool,
}

impl StoreError {
    /// The store cannot be reached; what was asked may have been done or not.
    pub fn away(message: impl Into<String>) -> Self {
        Self { message: message.into(), away: true }
    }

    /// The store answered, and the answer is an error.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), away: false }
    }

    /// Whether the store could not be reached, so that the same may succeed later.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        self.away
    }
}

/// A future that a store returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Something that may change, to be waited for without looking again and again.
pub trait Signal: Send {
    /// Ends once something may have changed since this signal was made or last ended; a gap in hearing counts as a
    /// change.
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl<S: Signal + ?Sized> Signal for Box<S> {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        (**self).changed()
    }
}
