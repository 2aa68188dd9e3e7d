//! The way to Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tidegate_core::StoreError;
use tidegate_core::config::RedisConfig;
use tidegate_core::store::Signal;
use tidegate_lua::Script;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::address::OpenError;
use crate::fault::Fault;
use crate::health::Health;
use crate::keys::Keys;
use crate::lane::Tally;
use crate::presence;
use crate::pubsub::Ears;
use crate::route::Route;
use crate::scripts::Hashes;

/// The way to Redis, shared by every store of a process; clones share it.
///
/// A server that does not answer is *away*: whoever asks hears so at once until it is back, which is looked for all the
/// time. Nothing is ever sent twice.
#[derive(Clone)]
pub struct Redis(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    route: Arc<Route>,
    tally: Arc<Tally>,
    ears: Arc<Ears>,
    hashes: Hashes,
    keys: Keys,
    process: String,
    decide_within: Duration,
    /// Answers that a server was away.
    away: AtomicU64,
    /// What a server last refused.
    refusal: Mutex<Option<String>>,
    pub(crate) processes: AtomicUsize,
    runtime: Handle,
    listener: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Redis {
    /// Begins to connect, within a tokio runtime, and does not wait for it.
    ///
    /// # Errors
    /// A configuration with which no connection can be tried, or a thread that is in no tokio runtime.
    pub fn open(config: &RedisConfig) -> Result<Self, OpenError> {
        let runtime = Handle::try_current().map_err(|_| OpenError::new("it is opened within a tokio runtime only"))?;
        let keys = Keys::new(&config.prefix);
        let tally = Arc::new(Tally::default());
        let route = Arc::new(Route::open(config, &keys, Arc::clone(&tally))?);
        let ears = Arc::new(Ears::new(config.decide_within));
        let listener = tokio::spawn(Arc::clone(&ears).listen(Arc::clone(&route))).abort_handle();
        let redis = Self(Arc::new(Inner {
            route,
            tally,
            ears,
            hashes: Hashes::default(),
            keys,
            process: format!("{:016x}", rand::random::<u64>()),
            decide_within: config.decide_within,
            away: AtomicU64::new(0),
            refusal: Mutex::new(None),
            processes: AtomicUsize::new(1),
            runtime,
            listener,
        }));
        tokio::spawn(presence::beat(Arc::downgrade(&redis.0)));
        Ok(redis)
    }

    /// The keys under the configured prefix.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// The runtime in which it was opened, for work that goes on while threads outside of it ask.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// What tells this process from all others.
    #[must_use]
    pub fn process(&self) -> &str {
        &self.0.process
    }

    /// The longest that a decision waits for Redis.
    #[must_use]
    pub fn decide_within(&self) -> Duration {
        self.0.decide_within
    }

    /// How many processes share Redis under this prefix, by the last heartbeat; at least this one.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.0.processes.load(Ordering::Relaxed)
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
        let deadline = Instant::now() + within;
        let tag = keys.first().map_or("", String::as_str);
        let call = |how: &str, what: &str| {
            let mut cmd = redis::cmd(how);
            cmd.arg(what).arg(keys.len()).arg(keys).arg(args);
            [cmd]
        };
        let hash = self.0.hashes.of(script);
        let mut asked = self.0.route.ask(tag, &call("EVALSHA", &hash), deadline).await;
        if asked == Err(Fault::NoScript) {
            // It did not run, so this does not run it twice; from now on the server knows it.
            asked = self.0.route.ask(tag, &call("EVAL", script.text), deadline).await;
        }
        self.answer(asked).map(|answers| answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Reads with plain commands, each a list of words such as `["HGETALL", key]`, in one round trip.
    ///
    /// All keys share the hash tag of `tag_key`; the answers are in the order of the commands.
    ///
    /// # Errors
    /// Where Redis is away, or answers one of the commands with an error.
    pub async fn read(
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
        let asked = self.0.route.ask(tag_key, &commands, Instant::now() + within).await;
        self.answer(asked)
    }

    fn answer<T>(&self, asked: Result<T, Fault>) -> Result<T, StoreError> {
        asked.map_err(|fault| match fault {
            Fault::Refused(_) | Fault::NoScript => {
                *self.0.refusal.lock() = Some(fault.to_string());
                StoreError::refused(format!("Redis refuses: {fault}"))
            }
            _ => {
                self.0.away.fetch_add(1, Ordering::Relaxed);
                StoreError::away(format!("Redis is away: {fault}"))
            }
        })
    }

    /// How the connections are, without any secret.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = &*self.0;
        let probe_us = inner.tally.probe_us.load(Ordering::Relaxed);
        Health {
            deaf: inner.ears.deaf(),
            reconnects: inner.tally.reconnects.load(Ordering::Relaxed),
            away_answers: inner.away.load(Ordering::Relaxed),
            last_refusal: inner.refusal.lock().clone(),
            probe_us: (probe_us > 0).then_some(probe_us),
            processes: self.processes(),
            ..Health::of(&inner.route)
        }
    }

    /// Why the server that has this key cannot be used, where it is known to be away: a look that asks nobody.
    #[must_use]
    pub fn away(&self, key: &str) -> Option<Arc<str>> {
        let away = self.0.route.away(key);
        self.0.away.fetch_add(u64::from(away.is_some()), Ordering::Relaxed);
        away
    }

    /// Ends once the server that has this key can be used; at once where it can be already.
    pub async fn back(&self, key: &str) {
        self.0.route.back(key).await;
    }

    /// Hears what is published on a channel.
    ///
    /// It does not wait for the subscription: once that stands, the signal counts as changed.
    #[must_use]
    pub fn signal(&self, channel: &str) -> Box<dyn Signal> {
        self.0.ears.signal(channel)
    }
}
