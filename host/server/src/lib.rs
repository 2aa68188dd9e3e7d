//! The `tidegate` command line, the HTTP API and the notifiers.

pub mod api;
mod build;
pub mod cases;
pub mod command;
pub mod http;
mod json;
pub mod notify;
mod replay;
mod templates;
