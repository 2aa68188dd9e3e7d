//! The policies.
mod origin;
#[cfg(feature = "rhai")]
mod rhai;
#[cfg(feature = "wasm")]
pub mod wasm;
