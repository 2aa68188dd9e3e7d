//! tidegate's state in Redis: connections, scripts, and the stores that processes share.

mod address;
mod client;
mod fault;
pub mod keys;
mod lane;
mod limit;
mod link;
mod metrics;
mod pubsub;
mod route;
mod scripts;
mod source;

pub use address::OpenError;
pub use client::Redis;
pub use limit::{Place, RedisLimit};
pub use metrics::RedisMetrics;
