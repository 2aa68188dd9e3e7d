//! Write policies of [tidegate](https://docs.rs/tidegate) in Rust: a trait to implement and one macro to export it.
//!
//! A retry classifier looks at a failed call and advises the host:
//!
//! ```
//! use tidegate_sdk::{Class, Failure, Retry, Verdict};
//!
//! struct Shop;
//!
//! impl Retry for Shop {
//!     fn classify(failure: Failure) -> Verdict {
//!         match failure.code.as_deref() {
//!             Some("429001") => Verdict::retry(Class::Throttled).after_ms(2_000).because("called too often"),
//!             Some("401001") => Verdict::give_up(Class::Auth),
//!             _ => Verdict::abstain(),
//!         }
//!     }
//! }
//!
//! tidegate_sdk::export_retry!(Shop);
//!
//! let failure = Failure { code: Some("429001".to_owned()), ..Failure::default() };
//! assert_eq!(Shop::classify(failure).class, Some(Class::Throttled));
//! ```
//!
//! An alert condition looks at the figures of a window, and may ask for other windows:
//!
//! ```
//! use tidegate_sdk::{Alert, AlertVerdict, Snapshot, window};
//!
//! struct Burning;
//!
//! impl Alert for Burning {
//!     fn evaluate(snapshot: Snapshot) -> AlertVerdict {
//!         let hour = std::time::Duration::from_secs(3_600);
//!         if snapshot.stats.error_rate > 0.1 && window(hour).error_rate > 0.1 {
//!             AlertVerdict::firing("errors for an hour")
//!         } else {
//!             AlertVerdict::Quiet
//!         }
//!     }
//! }
//!
//! tidegate_sdk::export_alert!(Burning);
//! ```
//!
//! Both compile on any machine, so a policy's tests are ordinary `cargo test`.

#[doc(hidden)]
pub mod bindings;
mod verdict;

use std::time::Duration;

#[doc(inline)]
pub use bindings::alert::Guest as Alert;
#[doc(inline)]
pub use bindings::alert::tidegate::policy::alert_types::{Snapshot, Stats, Verdict as AlertVerdict};
#[doc(inline)]
pub use bindings::retry::Guest as Retry;
#[doc(inline)]
pub use bindings::retry::tidegate::policy::retry_types::{Action, Class, Failure, FailureKind, Verdict};

/// The figures of the snapshot's scope over the last `range`, widened to whole minutes, hours or days.
///
/// # Panics
/// Outside a host, since only a host has metrics: for tests, keep the judgement in a function that takes the figures.
#[must_use]
pub fn window(range: Duration) -> Stats {
    let range_ms = u64::try_from(range.as_millis()).unwrap_or(u64::MAX);
    bindings::alert::tidegate::policy::metrics::window(range_ms)
}

/// Makes this type, which implements [`Retry`], the classifier that the crate's component exports.
#[macro_export]
macro_rules! export_retry {
    ($policy:ident) => {
        const _: fn($crate::Failure) -> $crate::Verdict = <$policy as $crate::Retry>::classify;
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::retry::export_retry_world!($policy with_types_in $crate::bindings::retry);
    };
}

/// Makes this type, which implements [`Alert`], the condition that the crate's component exports.
#[macro_export]
macro_rules! export_alert {
    ($policy:ident) => {
        const _: fn($crate::Snapshot) -> $crate::AlertVerdict = <$policy as $crate::Alert>::evaluate;
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::alert::export_alert_world!($policy with_types_in $crate::bindings::alert);
    };
}
