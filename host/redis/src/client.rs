//! The Redis client that all stores of a process share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::{Cmd, Value};
use tidegate_core::config::RedisConfig;
use tidegate_core::store::Signal;
use tidegate_core::{Clock, ProcessInfo, StoreError};
use tidegate_lua::Script;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::address::Address;
use crate::error::Error;
use crate::health::{ClientStats, RedisHealth};
use crate::keys::Keys;
use crate::node_connection::ConnectionContext;
use crate::node_error::NodeError;
use crate::script_hashes::ScriptHashes;
use crate::subscriber::Subscriber;
use crate::topology::Topology;

/// Returns the information that a process reports about itself.
pub(crate) type ProcessInfoFn = Box<dyn Fn() -> ProcessInfo + Send + Sync>;

/// A Redis client that all stores of a process share. Clones share its connections.
///
/// While a server is unavailable, requests to it fail at once, and a background task tries to reconnect. The client
/// never repeats a command that may have run.
#[derive(Clone)]
pub struct Redis(pub(crate) Arc<RedisInner>);

pub(crate) struct RedisInner {
    topology: Arc<Topology>,
    context: Arc<ConnectionContext>,
    subscriber: Arc<Subscriber>,
    hashes: ScriptHashes,
    keys: Keys,
    process: String,
    /// The number of requests that failed or were skipped because a server was unavailable.
    unavailable_errors: AtomicU64,
    /// The last error with which a server rejected a command.
    last_rejection: Mutex<Option<String>>,
    pub(crate) processes: AtomicUsize,
    /// Returns the information that this process reports with each heartbeat.
    pub(crate) process_info: ArcSwapOption<ProcessInfoFn>,
    /// Whether this process reads what others share and is not one of them.
    read_only: bool,
    runtime: Handle,
    subscriber_task: AbortHandle,
}

impl Drop for RedisInner {
    fn drop(&mut self) {
        self.subscriber_task.abort();
    }
}

impl Redis {
    /// Checks the values, addresses and certificates of a configuration without connecting.
    ///
    /// # Errors
    /// Returns the error that opening a client with this configuration would return.
    pub fn check(config: &RedisConfig) -> Result<(), Error> {
        Address::from_config(config).map(drop)
    }

    /// Creates a client and starts to connect in the background. It sends no heartbeats yet.
    pub(crate) fn connect(config: &RedisConfig, clock: Arc<dyn Clock>, read_only: bool) -> Result<Self, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime())?;
        let keys = Keys::new(&config.prefix);
        let context = Arc::new(ConnectionContext::new(clock, config.decide_within));
        let topology = Arc::new(Topology::open(config, &keys, Arc::clone(&context))?);
        let subscriber = Arc::new(Subscriber::new(config.decide_within));
        let subscriber_task = tokio::spawn(Arc::clone(&subscriber).run(Arc::clone(&topology))).abort_handle();
        Ok(Self(Arc::new(RedisInner {
            topology,
            context,
            subscriber,
            hashes: ScriptHashes::default(),
            keys,
            process: format!("{:016x}", rand::random::<u64>()),
            unavailable_errors: AtomicU64::new(0),
            last_rejection: Mutex::new(None),
            processes: AtomicUsize::new(1),
            process_info: ArcSwapOption::empty(),
            read_only,
            runtime,
            subscriber_task,
        })))
    }

    /// Returns the health of the connections. It contains no secret.
    #[must_use]
    pub fn health(&self) -> RedisHealth {
        let inner = &*self.0;
        let probe_us = inner.context.probe_us.load(Ordering::Relaxed);
        let stats = ClientStats {
            subscription_error: inner.subscriber.error(),
            reconnects: inner.context.reconnects.load(Ordering::Relaxed),
            unavailable_errors: inner.unavailable_errors.load(Ordering::Relaxed),
            last_rejection: inner.last_rejection.lock().clone(),
            probe_time: (probe_us > 0).then_some(Duration::from_micros(probe_us)),
            processes: self.processes(),
        };
        RedisHealth::new(&inner.topology, inner.context.clock.now(), stats)
    }

    /// Waits until every known server is available; returns at once if they are available already.
    pub async fn wait_until_ready(&self) {
        self.0.topology.wait_until_ready().await;
    }

    /// Waits until the server that has this key is available; returns at once if it is available already.
    pub(crate) async fn wait_until_available(&self, key: &str) {
        self.0.topology.wait_until_available(key).await;
    }

    /// Returns the runtime in which the client was opened, for tasks that are started outside of a runtime.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Returns the clock of the process.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.context.clock
    }

    /// Returns the random id of this process.
    pub(crate) fn process(&self) -> &str {
        &self.0.process
    }

    /// Returns whether this process is not one of those that share the limits.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.read_only
    }

    /// Returns the maximum time that a decision waits for Redis.
    pub(crate) fn decide_within(&self) -> Duration {
        self.0.context.reply_timeout
    }

    /// Returns the number of processes that share this Redis and prefix, as of the last heartbeat; at least 1.
    pub(crate) fn processes(&self) -> usize {
        self.0.processes.load(Ordering::Relaxed)
    }

    /// Runs a script once, within the given time.
    pub(crate) async fn run_within(
        &self,
        within: Duration,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> Result<Value, StoreError> {
        let deadline = Instant::now() + within;
        let tag_key = keys.first().map_or("", String::as_str);
        let command = |name: &str, hash_or_text: &str| {
            let mut cmd = redis::cmd(name);
            cmd.arg(hash_or_text).arg(keys.len()).arg(keys).arg(args);
            [cmd]
        };
        let hash = self.0.hashes.get(script);
        let mut replies = self.0.topology.send(tag_key, &command("EVALSHA", &hash), deadline).await;
        if replies == Err(NodeError::NoScript) {
            // The script did not run, so this does not run it twice. `EVAL` also stores it on the server.
            replies = self.0.topology.send(tag_key, &command("EVAL", script.text), deadline).await;
        }
        self.store_result(replies).map(|replies| replies.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Converts the error of a node into a [`StoreError`] and records it for [`RedisHealth`].
    fn store_result<T>(&self, result: Result<T, NodeError>) -> Result<T, StoreError> {
        result.map_err(|error| match error {
            NodeError::Refused(_) | NodeError::NoScript => {
                *self.0.last_rejection.lock() = Some(error.to_string());
                StoreError::failed(format!("redis rejected the command: {error}"))
            }
            _ => {
                self.0.unavailable_errors.fetch_add(1, Ordering::Relaxed);
                StoreError::unavailable(format!("redis unavailable: {error}"))
            }
        })
    }

    /// Returns why the server that has this key is unavailable; `None` if it may be available. It sends no request.
    ///
    /// [`RedisHealth::unavailable_errors`] counts each reason that is returned.
    pub(crate) fn unavailable_reason(&self, key: &str) -> Option<Arc<str>> {
        let reason = self.0.topology.unavailable_reason(key);
        self.0.unavailable_errors.fetch_add(u64::from(reason.is_some()), Ordering::Relaxed);
        reason
    }
}

/// Requests of stores.
impl Redis {
    /// Returns the builder of keys with the configured prefix.
    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Runs a script once, within the time that a decision may take.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable (the script may or may not have run) or rejects the script.
    pub(crate) async fn run(&self, script: &Script, keys: &[String], args: &[Vec<u8>]) -> Result<Value, StoreError> {
        self.run_within(self.decide_within(), script, keys, args).await
    }

    /// Sends read commands, each a list of words such as `["HGETALL", key]`, in one round trip.
    ///
    /// All keys must share the hash tag of `tag_key`. The replies are in the order of the commands.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable or rejects one of the commands.
    pub(crate) async fn read(
        &self,
        within: Duration,
        tag_key: &str,
        commands: &[Vec<Vec<u8>>],
    ) -> Result<Vec<Value>, StoreError> {
        let command = |words: &Vec<Vec<u8>>| {
            let mut cmd = Cmd::new();
            cmd.arg(words);
            cmd
        };
        let commands: Vec<Cmd> = commands.iter().map(command).collect();
        let replies = self.0.topology.send(tag_key, &commands, Instant::now() + within).await;
        self.store_result(replies)
    }

    /// Returns a signal that fires at each message of a channel, and once when the subscription is established.
    ///
    /// It does not wait for the subscription.
    pub(crate) fn signal(&self, channel: &str) -> Box<dyn Signal> {
        self.0.subscriber.signal(channel)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedisHealth { kind, state, .. } = self.health();
        let prefix = &self.0.keys;
        f.debug_struct("Redis")
            .field("kind", &kind)
            .field("state", &state)
            .field("keys", prefix)
            .finish_non_exhaustive()
    }
}
