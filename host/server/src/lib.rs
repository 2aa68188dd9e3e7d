//! The binary `tidegate`: commands, the HTTP door, the notifiers.

pub mod build;
pub mod command;
pub mod http;
pub mod notify;
pub mod templates;
