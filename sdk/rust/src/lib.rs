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
//! An alert condition looks at the figures of a window, and may ask for other windows (as all policies may):
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
//! An admission policy says whether, at what cost and through which limits a request goes:
//!
//! ```
//! use tidegate_sdk::{Admission, Admit, Request, Settings};
//!
//! struct Orders;
//!
//! impl Admit for Orders {
//!     fn configure(mut settings: Settings) -> Result<(), String> {
//!         let cost = settings.number("cost", 5.0)?;
//!         if cost < 1.0 { Err("`cost`: expected at least 1".to_owned()) } else { settings.finish() }
//!     }
//!
//!     fn admit(request: Request) -> Admission {
//!         if request.endpoint == "orders" { Admission::allow(5).scoped("api", "orders") } else { Admission::Default }
//!     }
//! }
//!
//! tidegate_sdk::export_admit!(Orders);
//! ```
//!
//! All compile on any machine, so a policy's tests are ordinary `cargo test`.

#[cfg(all(feature = "allocator", any(test, target_family = "wasm")))]
mod allocator;
#[doc(hidden)]
pub mod bindings;
mod host;
mod settings;
mod verdict;

#[doc(inline)]
pub use bindings::admit::tidegate::policy::admit_types::{Allowance, Denial, Request, Verdict as Admission};
#[doc(inline)]
pub use bindings::alert::tidegate::policy::alert_types::{Snapshot, Verdict as AlertVerdict};
#[doc(inline)]
pub use bindings::host::tidegate::policy::figures::Stats;
#[doc(inline)]
pub use bindings::host::tidegate::policy::limits::State as LimitState;
#[doc(inline)]
pub use bindings::host::tidegate::policy::log::Level;
#[doc(inline)]
pub use bindings::retry::tidegate::policy::retry_types::{Action, Class, Failure, FailureKind, Verdict};
#[doc(hidden)]
pub use host::tell_panics;
pub use host::{limit, log, window};
pub use settings::{Setting, Settings};

/// A retry classifier.
pub trait Retry {
    /// Checks the settings, once, before anything else; without this a policy takes none.
    ///
    /// # Errors
    /// The words with which the policy is refused.
    fn configure(settings: Settings) -> Result<(), String> {
        settings.finish()
    }

    /// The verdict on a failed call.
    fn classify(failure: Failure) -> Verdict;
}

/// An alert condition.
pub trait Alert {
    /// Checks the settings, once, before anything else; without this a policy takes none.
    ///
    /// # Errors
    /// The words with which the policy is refused.
    fn configure(settings: Settings) -> Result<(), String> {
        settings.finish()
    }

    /// Whether the condition holds.
    fn evaluate(snapshot: Snapshot) -> AlertVerdict;
}

/// An admission policy.
pub trait Admit {
    /// Checks the settings, once, before anything else; without this a policy takes none.
    ///
    /// # Errors
    /// The words with which the policy is refused.
    fn configure(settings: Settings) -> Result<(), String> {
        settings.finish()
    }

    /// Whether and how a request goes.
    fn admit(request: Request) -> Admission;
}

/// Makes this type, which implements [`Retry`], the classifier that the crate's component exports.
#[macro_export]
macro_rules! export_retry {
    ($policy:ident) => {
        $crate::export_world!($policy, Retry, retry, export_retry_world, classify($crate::Failure) -> $crate::Verdict);
    };
}

/// Makes this type, which implements [`Alert`], the condition that the crate's component exports.
#[macro_export]
macro_rules! export_alert {
    ($policy:ident) => {
        $crate::export_world!($policy, Alert, alert, export_alert_world, evaluate($crate::Snapshot) -> $crate::AlertVerdict);
    };
}

/// Makes this type, which implements [`Admit`], the policy that the crate's component exports.
#[macro_export]
macro_rules! export_admit {
    ($policy:ident) => {
        $crate::export_world!($policy, Admit, admit, export_admit_world, admit($crate::Request) -> $crate::Admission);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! export_world {
    ($policy:ident, $trait:ident, $world:ident, $export:ident, $decide:ident($input:ty) -> $output:ty) => {
        const _: () = {
            struct Exported;

            impl $crate::bindings::$world::Guest for Exported {
                fn configure(settings: Vec<(String, $crate::Setting)>) -> Result<(), String> {
                    $crate::tell_panics();
                    <$policy as $crate::$trait>::configure(settings.into())
                }

                fn $decide(input: $input) -> $output {
                    <$policy as $crate::$trait>::$decide(input)
                }
            }

            #[cfg(target_arch = "wasm32")]
    $crate::bindings::$world::$export!(Exported with_types_in $crate::bindings::$world);
        };
    };
}
