//! What the export macros need. It is not part of the public API and may change in any release.

#[path = "bindings.rs"]
pub mod bindings;

pub use crate::host::log_panics;
