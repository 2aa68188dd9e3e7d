//! The binary `tidegate`: commands, the HTTP door, the notifiers.

mod build;
pub mod cases;
pub mod command;
pub mod http;
pub mod notify;
mod replay;
mod templates;
