//! Write policies for [tidegate](https://docs.rs/tidegate) in Rust: implement a trait and export it with a macro.
//!
//! A retry policy receives a failed call and returns a verdict:
//!
//! ```
//! use std::time::Duration;
//! use tidegate_sdk::{Class, Failure, RetryPolicy, Verdict};
//!
//! struct Shop;
//!
//! impl RetryPolicy for Shop {
//!     fn classify(failure: Failure) -> Verdict {
//!         match failure.code.as_deref() {
//!             Some("429001") => {
//!                 Verdict::retry(Class::Throttled).with_delay(Duration::from_secs(2)).with_reason("too many calls")
//!             }
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
//! An alert condition receives the statistics of a window. Like every policy, it can read other windows:
//!
//! ```
//! use tidegate_sdk::{AlertPolicy, AlertVerdict, Snapshot, window};
//!
//! struct HighErrorRate;
//!
//! impl AlertPolicy for HighErrorRate {
//!     fn evaluate(snapshot: Snapshot) -> AlertVerdict {
//!         let hour = std::time::Duration::from_secs(3_600);
//!         if snapshot.stats.error_rate > 0.1 && window(hour).error_rate > 0.1 {
//!             AlertVerdict::firing("more than 10 % of the calls failed in the last hour")
//!         } else {
//!             AlertVerdict::Quiet
//!         }
//!     }
//! }
//!
//! tidegate_sdk::export_alert!(HighErrorRate);
//! ```
//!
//! An admission policy decides whether a request is sent, at what cost and through which limits:
//!
//! ```
//! use tidegate_sdk::{Admission, AdmitPolicy, Request, Settings};
//!
//! struct Orders;
//!
//! impl AdmitPolicy for Orders {
//!     fn configure(mut settings: Settings) -> Result<(), String> {
//!         let cost = settings.number("cost", 5.0)?;
//!         if cost < 1.0 { Err("`cost`: expected at least 1".to_owned()) } else { settings.finish() }
//!     }
//!
//!     fn admit(request: Request) -> Admission {
//!         match request.endpoint.as_str() {
//!             "orders" => Admission::allow(5).with_scope("api", "orders"),
//!             _ => Admission::Default,
//!         }
//!     }
//! }
//!
//! tidegate_sdk::export_admit!(Orders);
//! ```
//!
//! Policies compile for every target, so `cargo test` can test them without a host.
//!
//! The inputs and verdicts are generated from the contract `tidegate:policy@0.3.0`. With a newer contract they may get
//! more fields and values, and this crate a new version. To create inputs that compile with both, end them with
//! `..Failure::default()`, as above.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
pub mod __private;
#[cfg(all(feature = "allocator", any(test, target_family = "wasm")))]
mod allocator;
mod host;
mod settings;
mod verdict;

#[doc(inline)]
pub use __private::bindings::admit::tidegate::policy::admit_types::{Allowance, Denial, Request, Verdict as Admission};
#[doc(inline)]
pub use __private::bindings::alert::tidegate::policy::alert_types::{Snapshot, Verdict as AlertVerdict};
#[doc(inline)]
pub use __private::bindings::host::tidegate::policy::figures::Stats;
#[doc(inline)]
pub use __private::bindings::host::tidegate::policy::limits::State as LimitStatus;
#[doc(inline)]
pub use __private::bindings::host::tidegate::policy::log::Level;
#[doc(inline)]
pub use __private::bindings::retry::tidegate::policy::retry_types::{Action, Class, Failure, FailureKind, Verdict};
pub use host::{limit, log, response_body, window};
pub use settings::{Setting, Settings};
pub use verdict::ParseNameError;

/// A retry policy: decides whether a failed call is repeated.
pub trait RetryPolicy {
    /// Checks the settings. The host calls it once, before the first verdict. By default a policy accepts no settings.
    ///
    /// # Errors
    /// Returns a message if the settings are invalid. The host rejects the policy and reports the message.
    fn configure(settings: Settings) -> Result<(), String> {
        settings.finish()
    }

    /// Returns the verdict for a failed call.
    fn classify(failure: Failure) -> Verdict;
}

/// An alert condition: decides whether an alert fires.
pub trait AlertPolicy {
    /// Checks the settings. The host calls it once, before the first verdict. By default a policy accepts no settings.
    ///
    /// # Errors
    /// Returns a message if the settings are invalid. The host rejects the policy and reports the message.
    fn configure(settings: Settings) -> Result<(), String> {
        settings.finish()
    }

    /// Returns whether the condition holds.
    fn evaluate(snapshot: Snapshot) -> AlertVerdict;
}

/// An admission policy: decides on a request before it is sent.
pub trait AdmitPolicy {
    /// Checks the settings. The host calls it once, before the first verdict. By default a policy accepts no settings.
    ///
    /// # Errors
    /// Returns a message if the settings are invalid. The host rejects the policy and reports the message.
    fn configure(settings: Settings) -> Result<(), String> {
        settings.finish()
    }

    /// Decides whether a request is sent, at what cost and through which limits.
    fn admit(request: Request) -> Admission;
}

/// Exports a type that implements [`RetryPolicy`] as the retry policy of this crate's component.
#[macro_export]
macro_rules! export_retry {
    ($policy:ident) => {
        $crate::export_world!($policy, RetryPolicy, retry, export_retry_world, classify($crate::Failure) -> $crate::Verdict);
    };
}

/// Exports a type that implements [`AlertPolicy`] as the condition of this crate's component.
#[macro_export]
macro_rules! export_alert {
    ($policy:ident) => {
        $crate::export_world!($policy, AlertPolicy, alert, export_alert_world, evaluate($crate::Snapshot) -> $crate::AlertVerdict);
    };
}

/// Exports a type that implements [`AdmitPolicy`] as the admission policy of this crate's component.
#[macro_export]
macro_rules! export_admit {
    ($policy:ident) => {
        $crate::export_world!($policy, AdmitPolicy, admit, export_admit_world, admit($crate::Request) -> $crate::Admission);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! export_world {
    ($policy:ident, $trait:ident, $world:ident, $export:ident, $decide:ident($input:ty) -> $output:ty) => {
        const _: () = {
            struct Exported;

            impl $crate::__private::bindings::$world::Guest for Exported {
                fn configure(
                    settings: ::std::vec::Vec<(::std::string::String, $crate::Setting)>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::__private::log_panics();
                    <$policy as $crate::$trait>::configure(settings.into())
                }

                fn $decide(input: $input) -> $output {
                    <$policy as $crate::$trait>::$decide(input)
                }
            }

            #[cfg(target_arch = "wasm32")]
    $crate::__private::bindings::$world::$export!(Exported with_types_in $crate::__private::bindings::$world);
        };
    };
}
