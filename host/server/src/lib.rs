//! The binary `tidegate`: commands, the HTTP door, the notifiers.

pub mod command;
pub mod http;
pub mod notify;
