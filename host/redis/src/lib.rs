//! tidegate's state in Redis: connections, scripts, and the stores that processes share.

mod client;
pub mod keys;

pub use client::{OpenError, Redis};
