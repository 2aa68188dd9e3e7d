//! The policy runtime of [tidegate](https://docs.rs/tidegate): Rhai scripts and Wasm components that decide what to
//! retry, when to alert and which requests to admit. Their files can be edited while the process runs.
//!
//! [`Policies`] reads a directory and keeps the last good version of every file active. It evaluates policies with one
//! immutable [`Generation`] at a time. A policy only advises: if it faults, the built-in fallback decides.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod candidate;
mod clock;
mod compile_progress;
mod counters;
mod decisions;
mod engines;
mod error;
mod files;
mod generation;
mod generations;
mod hashes;
mod load;
mod loaded;
#[cfg(feature = "rhai")]
mod origin;
mod paths;
mod policy_log;
mod registry;
#[cfg(feature = "rhai")]
mod rhai;
mod rules;
mod samples;
#[cfg(feature = "scripts")]
pub mod scripts;
mod slot;
mod slots;
mod status;
mod tracked;
#[cfg(all(feature = "wasm", feature = "internals"))]
pub mod wasm;
#[cfg(all(feature = "wasm", not(feature = "internals")))]
mod wasm;
pub mod watch;

pub use candidate::{CandidateDifference, CandidateDifferences};
pub use decisions::DecisionsStatus;
pub use error::Error;
pub use generation::{Generation, PolicyDecision};
pub use generations::Generations;
pub use hashes::PolicyHashes;
pub use load::{load_bytes, load_policy};
pub use loaded::LoadedPolicy;
pub use paths::{PolicyKind, PolicyLanguage};
pub use registry::{Policies, ReloadReport};
pub use rules::{Rule, RuleScope};
pub use status::PolicyStatus;
pub use watch::Watch;
