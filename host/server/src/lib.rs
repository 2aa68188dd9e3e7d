//! The `tidegate` command line and the HTTP API.

#![allow(missing_debug_implementations, unnameable_types, reason = "only the binary and tests use this library")]

pub mod api;
mod build;
pub mod cases;
pub mod command;
pub mod http;
mod json;
mod replay;
mod root_cause;
mod templates;
