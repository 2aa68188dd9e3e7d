//! tidegate's state in Redis: connections, scripts, and the stores that processes share.

mod address;
mod alerts;
mod answers;
mod client;
mod cluster;
mod fault;
mod health;
pub mod keys;
mod lane;
mod limbo;
mod limit;
mod link;
mod lock;
mod metrics;
mod nodes;
mod presence;
mod pubsub;
mod route;
mod scripts;
mod slots;
mod source;

pub use address::OpenError;
pub use alerts::RedisAlerts;
pub use client::Redis;
pub use health::{Health, ServerHealth, ServerState};
pub use limit::{Place, RedisLimit};
pub use lock::RedisLocks;
pub use metrics::RedisMetrics;
