//! The core of [tidegate](https://docs.rs/tidegate): rate limits, retries, metrics and alerts as pure functions and
//! types, without I/O.
//!
//! This crate does not depend on tokio, Redis or Wasm and does not access files, environment variables or the system
//! clock. Time and random numbers are arguments, and everything that needs I/O is a trait. Most programs use the crate
//! `tidegate`, which re-exports the types that its users need. Use this crate directly to implement a policy or a
//! notification channel, or to test the rules without a runtime.
//!
//! # Overview
//!
//! - **Rate limits**: [`Quota`] and [`Rate`] describe a limit, and [`Bucket`] is its token bucket. A call is
//!   [`Allowed`] or gets a [`Refusal`].
//! - **Retries**: a [`RetryPolicy`] reads a [`Failure`] and returns a [`Verdict`]. [`fallback`] decides without a
//!   policy. [`Backoff`] computes the delay.
//! - **Admission**: an [`AdmitPolicy`] reads a [`Request`] and returns an [`Admission`].
//! - **Metrics**: a [`Window`](window::Window) counts calls, a [`Sketch`] is the histogram of their durations, and
//!   [`Stats`] are the resulting statistics.
//! - **Alerts**: an [`AlertPolicy`] evaluates a [`Snapshot`]. [`AlertState`] turns the results into transitions, and a
//!   [`Notifier`] sends a [`Notification`] for each.
//! - **Policies**: a [`HostView`] gives a policy read access to metrics and limits. A [`Fault`] is the error of a
//!   policy.
//! - **Stores**: [`store`] has the traits for shared limits, locks, metrics and alerts.
//! - **Configuration**: [`config`] parses `tidegate.toml`. [`config::reader`] reports every mistake with its position.
//!
//! # Example
//!
//! ```
//! use tidegate_core::{Action, Bucket, Failure, Quota, Rate, Timestamp, fallback};
//!
//! // A limit of 40 calls a second, with a burst of 2.
//! let quota = Quota::new("40/s".parse()?, 2)?;
//! let now = Timestamp::from_micros(0);
//! let mut bucket = Bucket::full(quota, now);
//! assert!(bucket.check(1, now).is_ok());
//!
//! // A call that failed with HTTP 503 is worth another attempt.
//! let failure = Failure::response(503);
//! assert_eq!(fallback::classify(&failure).action, Action::Retry);
//! # Ok::<(), tidegate_core::QuotaError>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod admit;
pub mod alert;
pub mod backoff;
pub mod bucket;
mod builtin_alert;
pub mod clock;
pub mod config;
pub mod failure;
pub mod fallback;
mod fleet;
pub mod host_view;
pub mod notify;
pub mod policy;
pub mod quota;
mod refusal;
mod repeat;
pub mod secret;
pub mod sketch;
pub mod stats;
pub mod store;
#[doc(hidden)]
pub mod text_enum;
pub mod units;
pub mod window;

pub use admit::{Admission, AdmitPolicy, Request};
pub use alert::{AlertPhase, AlertState, AlertTiming, Severity, Transition};
pub use backoff::Backoff;
pub use bucket::{Bucket, BucketReservation, ParseReservationIdError, ReservationId, Ticket};
pub use builtin_alert::BuiltinAlert;
pub use clock::{Clock, ManualClock, Timestamp};
pub use failure::{Failure, FailureKind, Outcome};
pub use fleet::{FleetProcess, ProcessInfo};
pub use host_view::{FnHostView, HostView};
pub use notify::{Notification, Notifier, NotifyError};
pub use policy::{Action, AlertPolicy, AlertVerdict, Class, Fault, FaultKind, RetryPolicy, Verdict};
pub use quota::{Quota, QuotaError, Rate};
pub use refusal::{Allowed, Refusal};
pub use repeat::may_repeat;
pub use secret::Secret;
pub use sketch::Sketch;
pub use stats::{Snapshot, Stats};
pub use store::{LimitStatus, OnRedisFailure, StoreError};
pub use text_enum::ParseNameError;
