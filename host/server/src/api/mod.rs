//! The requests of the HTTP API, without HTTP: each is a function of the host with typed requests and responses.
//!
//! The handlers in [`crate::http`] and the commands with `--redis` call these functions. The commands with `--server`
//! deserialize the same responses. The comments on the types are the descriptions in the OpenAPI document.

pub mod admit;
pub mod alerts;
pub mod calls;
mod error;
pub mod health;
pub mod limits;
pub mod locks;
pub mod metrics;
pub mod policies;
pub mod redis;
pub mod schemas;

pub use error::{ApiError, ErrorBody};

/// Returns a random id, for a request that has none.
pub fn random_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}
