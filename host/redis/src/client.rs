//! The way to Redis.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tidegate_core::StoreError;
use tidegate_core::config::RedisConfig;
use tidegate_core::store::Signal;
use tidegate_lua::Script;

use crate::keys::Keys;

/// Why Redis cannot even be tried: a mistake in the configuration, without any secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

/// The way to Redis, shared by every store of a process; clones share it.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: redis::Client,
    link: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    keys: Keys,
    process: String,
    decide_within: Duration,
}

impl Redis {
    /// Begins to connect, within a tokio runtime.
    ///
    /// # Errors
    /// A configuration with which no connection can be tried.
    pub fn open(config: &RedisConfig) -> Result<Self, OpenError> {
        let client = redis::Client::open(config.url[0].expose()).map_err(|e| OpenError(e.category().to_owned()))?;
        Ok(Self(Arc::new(Inner {
            client,
            link: tokio::sync::Mutex::new(None),
            keys: Keys::new(&config.prefix),
            process: format!("{:016x}", rand::random::<u64>()),
            decide_within: config.decide_within,
        })))
    }

    /// The keys under the configured prefix.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// What tells this process from all others.
    #[must_use]
    pub fn process(&self) -> &str {
        &self.0.process
    }

    /// Runs a script once, within the time that a decision may take.
    ///
    /// # Errors
    /// Where Redis is away (it may have run or not), or answers with an error.
    pub async fn run(&self, script: &Script, keys: &[String], args: &[Vec<u8>]) -> Result<Value, StoreError> {
        self.run_within(self.0.decide_within, script, keys, args).await
    }

    /// Runs a script once, within a time of its own.
    ///
    /// # Errors
    /// Where Redis is away (it may have run or not), or answers with an error.
    pub async fn run_within(
        &self,
        within: Duration,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<Value, StoreError> {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(script.text).arg(keys.len()).arg(keys).arg(args);
        self.send(within, &cmd).await
    }

    async fn send(&self, within: Duration, cmd: &redis::Cmd) -> Result<Value, StoreError> {
        let asked = async {
            let mut link = self.0.link.lock().await;
            if link.is_none() {
                *link = Some(self.0.client.get_multiplexed_async_connection().await?);
            }
            let Some(mut connection) = link.clone() else { return Ok(Value::Nil) };
            drop(link);
            cmd.query_async(&mut connection).await
        };
        match tokio::time::timeout(within, asked).await {
            Ok(answer) => answer.map_err(|error: redis::RedisError| StoreError::refused(error.to_string())),
            Err(_) => Err(StoreError::away("Redis did not answer in time")),
        }
    }

    /// Hears what is published on a channel.
    pub fn signal(&self, _channel: &str) -> Box<dyn Signal> {
        unreachable!("comes with the supervisor")
    }
}
