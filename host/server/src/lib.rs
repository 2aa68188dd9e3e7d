//! The `tidegate` command line and the HTTP API.

pub mod api;
mod build;
pub mod cases;
pub mod command;
pub mod http;
mod json;
mod replay;
mod templates;
