//! The Redis client and the stores of [tidegate](https://docs.rs/tidegate) in Redis: limits, locks, metrics and alerts
//! that processes share.

mod address;
mod address_source;
mod alerts;
mod client;
mod cluster;
mod cluster_nodes;
mod codec;
mod connection;
mod health;
pub mod keys;
mod limit;
mod lock;
mod metrics;
mod migrating_slots;
mod node_connection;
mod node_error;
mod presence;
mod script_hashes;
mod slots;
mod subscriber;
mod topology;

pub use address::OpenError;
pub use alerts::RedisAlerts;
pub use client::Redis;
pub use health::{Health, ServerHealth, ServerState};
pub use limit::{RedisLimit, RedisTicket};
pub use lock::RedisLocks;
pub use metrics::RedisMetrics;
