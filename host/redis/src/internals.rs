//! What the tests of tidegate's workspace need: keys and raw requests. Exempt from semantic versioning.

use std::time::Duration;

use redis::Value;
use tidegate_core::StoreError;
use tidegate_core::store::Signal;
use tidegate_lua::Script;

use crate::client::Redis;

pub use crate::keys::Keys;

/// The requests that stores send.
pub trait RawRequests {
    /// Returns the builder of keys with the configured prefix.
    fn keys(&self) -> &Keys;

    /// Waits until the server that has this key is available; returns at once if it is available already.
    fn wait_until_available(&self, key: &str) -> impl Future<Output = ()> + Send;

    /// Runs a script once, within the time that a decision may take.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable (the script may or may not have run) or rejects the script.
    fn run(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> impl Future<Output = Result<Value, StoreError>> + Send;

    /// Sends read commands, each a list of words such as `["HGETALL", key]`, in one round trip. All keys must share the
    /// hash tag of `tag_key`. The replies are in the order of the commands.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable or rejects one of the commands.
    fn read(
        &self,
        within: Duration,
        tag_key: &str,
        commands: &[Vec<Vec<u8>>],
    ) -> impl Future<Output = Result<Vec<Value>, StoreError>> + Send;

    /// Returns a signal that fires at each message of a channel, and once when the subscription is established. It does
    /// not wait for the subscription.
    fn signal(&self, channel: &str) -> Box<dyn Signal>;
}

impl RawRequests for Redis {
    fn keys(&self) -> &Keys {
        Self::keys(self)
    }

    async fn wait_until_available(&self, key: &str) {
        Self::wait_until_available(self, key).await;
    }

    async fn run(&self, script: &Script, keys: &[String], args: &[Vec<u8>]) -> Result<Value, StoreError> {
        Self::run(self, script, keys, args).await
    }

    async fn read(&self, within: Duration, tag_key: &str, commands: &[Vec<Vec<u8>>]) -> Result<Vec<Value>, StoreError> {
        Self::read(self, within, tag_key, commands).await
    }

    fn signal(&self, channel: &str) -> Box<dyn Signal> {
        Self::signal(self, channel)
    }
}
