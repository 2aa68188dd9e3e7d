//! The policies of [tidegate](https://docs.rs/tidegate): user scripts and Wasm components that say what to retry and
//! when to alert, and that people edit while the process runs.
//!
//! [`Policies`] reads a directory, keeps the last good version of every file in force, and answers from one immutable
//! [`Generation`] at a time. A policy only advises: where it misbehaves, the built-in fallback decides.

mod admission;
mod counted;
mod counters;
mod decisions;
mod engines;
mod files;
mod generation;
mod load;
#[cfg(feature = "rhai")]
mod origin;
mod registry;
#[cfg(feature = "rhai")]
mod review;
#[cfg(feature = "rhai")]
mod rhai;
mod rules;
mod samples;
mod say;
mod shadow;
mod slot;
mod slots;
#[cfg(feature = "wasm")]
pub mod wasm;
pub mod watch;

pub use decisions::DecisionsStatus;
pub use generation::{Decided, Generation, PolicyStatus};
pub use load::{Loaded, PolicyKind, load_one};
pub use registry::{Policies, ReloadReport};
#[cfg(feature = "rhai")]
pub use review::review;
pub use rules::{Rule, Scope};
pub use shadow::{Difference, Differences};
pub use watch::Watch;
