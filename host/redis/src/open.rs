//! Opens clients: connects, and starts the heartbeats.

use std::sync::Arc;

use tidegate_core::Clock;
use tidegate_core::config::RedisConfig;

use crate::client::Redis;
use crate::error::Error;
use crate::presence::send_heartbeats;

impl Redis {
    /// Creates a client and starts to connect in the background. Must be called within a tokio runtime.
    ///
    /// The stores of the client use `clock` for the times of this process.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid, or if the calling thread is not in a tokio runtime.
    pub fn open(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::open_as(config, clock, false)
    }

    /// Creates a client like [`Redis::open`] for a process that is not one of those that share the limits, such as a
    /// command that prints them. It does not count as a process, so it does not reduce the local shares of the others,
    /// and its limits do not send their configuration to Redis.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid, or if the calling thread is not in a tokio runtime.
    pub fn open_read_only(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::open_as(config, clock, true)
    }

    fn open_as(config: &RedisConfig, clock: Arc<dyn Clock>, read_only: bool) -> Result<Self, Error> {
        let redis = Self::connect(config, clock, read_only)?;
        tokio::spawn(send_heartbeats(Arc::downgrade(&redis.0)));
        Ok(redis)
    }
}
