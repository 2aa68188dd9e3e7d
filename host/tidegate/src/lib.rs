//! tidegate keeps calls to other people's APIs inside their limits, retries what is worth retrying, measures every
//! call and raises alerts; what to retry and when to alert are policies that people edit while it runs.
//!
//! ```
//! # tokio_test(async {
//! use tidegate::{Failure, Host};
//! let host = Host::builder().build().unwrap();
//! let answer = host
//!     .retry("taobao")?
//!     .endpoint("taobao.trade.get")
//!     .run(|attempt| async move {
//!         if attempt.number == 1 { Err(Failure { status: Some(503), ..Failure::default() }) } else { Ok("a trade") }
//!     })
//!     .await;
//! assert_eq!(answer.unwrap(), "a trade");
//! # Ok::<(), tidegate::UnknownPlatform>(())
//! # }).unwrap();
//! # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
//! #     tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(f)
//! # }
//! ```
//!
//! Whoever wants the limiter alone turns the default features off.

mod admission;
mod advice;
#[cfg(feature = "policies")]
mod alerts;
#[cfg(feature = "tower")]
mod answer;
pub mod blocking;
mod clock;
mod host;
mod limiter;
mod lock;
mod metrics;
mod pipeline;
#[cfg(feature = "policies")]
mod reload;
mod stores;
mod ticker;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "policies")]
mod view;

pub use admission::{Admitted, Denied, Receipts};
pub use advice::Advice;
#[cfg(feature = "policies")]
pub use alerts::{ActiveAlert, Alerts, MemoryAlerts};
#[cfg(feature = "tower")]
pub use answer::{heed_headers, read_failure};
pub use clock::SystemClock;
pub use host::{BuildError, Builder, Host, UnknownPlatform};
pub use limiter::{Limiter, Taken};
pub use lock::{Lease, Lock, LockError, Locks};
pub use metrics::{Metrics, Recorder};
pub use pipeline::{Attempt, CallError, Failed, Retry};
#[cfg(feature = "policies")]
pub use reload::{ConfigStatus, read_config};
pub use tidegate_core as core;
pub use tidegate_core::config::Config;
pub use tidegate_core::store::{AlertRecord, Delivery};
pub use tidegate_core::{
    Class, Clock, Decision, Failure, FailureKind, LimitStatus, Outcome, Quota, Rate, Request, Stats, StoreError,
    Verdict,
};
#[cfg(feature = "policies")]
pub use tidegate_policy as policy;
#[cfg(feature = "redis")]
pub use tidegate_redis as redis;
