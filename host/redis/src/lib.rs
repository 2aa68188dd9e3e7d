//! The Redis client and the stores of [tidegate](https://docs.rs/tidegate) in Redis: limits, locks, metrics and alerts
//! that processes share.
//!
//! Most programs do not use this crate directly: they enable the feature `redis` of the crate `tidegate` and configure
//! `[redis]`. Use it to read or change the shared state from another program. The stores implement traits of
//! [`tidegate_core::store`], which are exempt from semantic versioning.
//!
//! A [`Redis`] is the client of a process. It connects in the background, to a single server, through Sentinel or to a
//! Cluster. Each store is created from it:
//!
//! | store | implements |
//! | --- | --- |
//! | [`RedisLimit`] | [`LimitStore`](tidegate_core::store::LimitStore): the token bucket of one platform |
//! | [`RedisLocks`] | [`LockStore`](tidegate_core::store::LockStore): locks with a TTL and fencing tokens |
//! | [`RedisMetrics`] | [`MetricStore`](tidegate_core::store::MetricStore): the counts of all processes |
//! | [`RedisAlerts`] | [`AlertStore`](tidegate_core::store::AlertStore): alert states and the history of notifications |
//!
//! # Example
//!
//! List the locks that are held now:
//!
//! ```no_run
//! use std::sync::Arc;
//! use tidegate_core::Clock;
//! use tidegate_core::config::RedisConfig;
//! use tidegate_core::store::LockStore;
//! use tidegate_redis::{Redis, RedisLocks};
//!
//! # async fn list(clock: Arc<dyn Clock>) -> Result<(), Box<dyn std::error::Error>> {
//! let redis = Redis::open(&RedisConfig::single("redis://127.0.0.1:6379"), clock)?;
//! for lock in RedisLocks::new(redis).list().await? {
//!     println!("{} is held by {}", lock.name, lock.owner);
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod address_source;
mod alerts;
mod client;
mod cluster;
mod cluster_nodes;
mod codec;
mod connection;
mod error;
mod health;
#[cfg(feature = "internals")]
pub mod internals;
mod keys;
mod limit;
mod lock;
mod metrics;
mod migrating_slots;
mod node_connection;
mod node_error;
mod open;
mod presence;
mod script_hashes;
mod slots;
mod subscriber;
mod topology;

pub use alerts::RedisAlerts;
pub use client::Redis;
pub use error::Error;
pub use health::{RedisHealth, ServerHealth, ServerState};
pub use limit::{RedisLimit, RedisTicket};
pub use lock::RedisLocks;
pub use metrics::RedisMetrics;
