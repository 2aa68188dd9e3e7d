//! The policy runtime of [tidegate](https://docs.rs/tidegate): Rhai scripts and Wasm components that decide what to
//! retry, when to alert and which requests to admit. Their files can be edited while the process runs.
//!
//! [`Policies`] reads a directory and keeps the last good version of every file active. It evaluates policies with one
//! immutable [`Generation`] at a time. A policy only advises: if it faults, the built-in fallback decides.

mod admission;
mod candidate;
mod counters;
mod decisions;
mod engines;
mod files;
mod generation;
mod load;
#[cfg(feature = "rhai")]
mod origin;
mod policy_log;
mod registry;
#[cfg(feature = "rhai")]
mod review;
#[cfg(feature = "rhai")]
mod rhai;
mod rules;
mod samples;
mod slot;
mod slots;
mod tracked;
#[cfg(feature = "wasm")]
pub mod wasm;
pub mod watch;

pub use candidate::{Difference, Differences};
pub use decisions::DecisionsStatus;
pub use generation::{Generation, PolicyDecision, PolicyStatus};
pub use load::{LoadedPolicy, PolicyKind, load_one};
pub use registry::{Policies, ReloadReport};
#[cfg(feature = "rhai")]
pub use review::review;
pub use rules::{Rule, RuleScope};
pub use watch::Watch;
