//! The pure part of [tidegate](https://docs.rs/tidegate): what a limit, a retry and an alert mean.
//!
//! Nothing here knows tokio, Redis, Wasm or the system clock: time is an argument, randomness is an argument, and
//! what the outside world must supply is a trait ([`Clock`], [`RetryPolicy`], [`AlertPolicy`], [`Notifier`]).

pub mod admit;
pub mod alert;
pub mod backoff;
pub mod bucket;
pub mod clock;
pub mod config;
pub mod failure;
pub mod fallback;
pub mod notify;
pub mod policy;
pub mod quota;
pub mod secret;
pub mod sketch;
pub mod stats;
pub mod store;
pub mod units;
pub mod view;
pub mod window;

pub use admit::{Admission, AdmitPolicy, Request};
pub use alert::{AlertState, Severity, Timing, Transition};
pub use backoff::Backoff;
pub use bucket::{Bucket, Decision, Receipt, Ticket};
pub use clock::{Clock, Timestamp};
pub use failure::{Failure, FailureKind, Outcome};
pub use notify::{Notification, Notifier, NotifyError};
pub use policy::{Action, AlertPolicy, AlertVerdict, Class, Fault, FaultKind, RetryPolicy, Verdict};
pub use quota::{Quota, QuotaError, Rate};
pub use secret::Secret;
pub use sketch::Sketch;
pub use stats::{Snapshot, Stats};
pub use store::{LimitStatus, OnFailure, StoreError};
pub use view::{LimitState, View, Windows};
