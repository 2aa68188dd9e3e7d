//! One server: its connection, and whether it can be used now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tidegate_core::clock::micros;
use tidegate_core::{Clock, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::address::Address;
use crate::address_source::AddressSource;
use crate::connection::{Connection, connect_timeout};
use crate::node_error::NodeError;

/// The pause between two attempts to connect to an unavailable server.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);
/// The time between two probes of a server.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// A script that does nothing, yet is rejected wherever a script that writes would be: by a replica, by a server that
/// is loading or full, by a cluster that is down, and for a user who may not run scripts.
const PROBE: &str = "#!lua\nreturn 1";

/// Appended to the reason if the server rejects the probe.
const REQUIREMENTS: &str = "requires Redis 7.0 or newer and a user who may run scripts on the keys under the prefix";

/// Whether a server can be used.
#[derive(Clone)]
pub enum ConnectionState {
    /// The first connection is being made. The attempts started at this time.
    Connecting(Timestamp),
    /// The server replies.
    Up(Arc<LiveConnection>),
    /// The server does not reply, or rejects every command.
    Unavailable(Outage),
}

/// A connection to a server that replies.
pub struct LiveConnection {
    /// The server's address.
    pub address: Address,
    /// When the connection was made.
    pub since: Timestamp,
    connection: Connection,
    /// Distinguishes this connection from earlier ones to the same server.
    number: u64,
}

/// Since when and why a server is unavailable.
#[derive(Clone)]
pub struct Outage {
    /// When the server became unavailable.
    pub since: Timestamp,
    /// Why, without any secret.
    pub reason: Arc<str>,
}

/// What all connections of a process share.
pub struct ConnectionContext {
    /// The clock of the process, for the times that [`RedisHealth`](crate::RedisHealth) reports. Deadlines of requests
    /// are not times of this clock but of tokio, whose timers wait for them.
    pub clock: Arc<dyn Clock>,
    /// How long a reply may take if the request has no deadline of its own.
    pub reply_timeout: Duration,
    /// The number of connections that replaced a lost one.
    pub reconnects: AtomicU64,
    /// The round-trip time of the last probe, in microseconds.
    pub probe_us: AtomicU64,
}

impl ConnectionContext {
    /// Creates the context of a process without connections.
    pub fn new(clock: Arc<dyn Clock>, reply_timeout: Duration) -> Self {
        Self { clock, reply_timeout, reconnects: AtomicU64::new(0), probe_us: AtomicU64::new(0) }
    }
}

/// The connection to one server, with a task that reconnects until this value is dropped.
pub struct NodeConnection {
    inner: Arc<NodeConnectionInner>,
    reconnect_task: AbortHandle,
}

struct NodeConnectionInner {
    source: AddressSource,
    state: watch::Sender<ConnectionState>,
    probe_key: Mutex<String>,
    context: Arc<ConnectionContext>,
    /// Notified when the server becomes unavailable, or reports that keys have moved.
    topology_changed: Arc<Notify>,
}

impl Drop for NodeConnection {
    fn drop(&mut self) {
        self.reconnect_task.abort();
    }
}

impl NodeConnection {
    /// Creates the connection and starts to connect. Must be called within a tokio runtime. `probe_key` is a key in a
    /// slot of the server.
    pub fn new(
        source: AddressSource,
        probe_key: String,
        context: Arc<ConnectionContext>,
        topology_changed: Arc<Notify>,
    ) -> Self {
        let probe_key = Mutex::new(probe_key);
        let state = watch::Sender::new(ConnectionState::Connecting(context.clock.now()));
        let inner = Arc::new(NodeConnectionInner { source, state, probe_key, context, topology_changed });
        let reconnect_task = tokio::spawn(Arc::clone(&inner).keep_connected()).abort_handle();
        Self { inner, reconnect_task }
    }

    /// Sends commands once. A server that does not reply, or cannot serve requests, becomes unavailable.
    pub async fn send(&self, commands: &[Cmd], asking: bool, deadline: Instant) -> Result<Vec<Value>, NodeError> {
        let live = self.live_connection(deadline).await?;
        let replies = live.connection.send(commands, asking, deadline).await;
        if let Err(NodeError::Unavailable(reason)) = &replies {
            self.inner.mark_lost(live.number, reason);
        }
        replies
    }

    /// Returns the connection; waits only for the first one.
    async fn live_connection(&self, deadline: Instant) -> Result<Arc<LiveConnection>, NodeError> {
        let connecting = |state: &ConnectionState| matches!(state, ConnectionState::Connecting(_));
        if connecting(&self.inner.state.borrow()) {
            let _ = timeout_at(deadline, self.state().wait_for(|state| !connecting(state))).await;
        }
        match &*self.inner.state.borrow() {
            ConnectionState::Up(live) => Ok(Arc::clone(live)),
            ConnectionState::Unavailable(outage) => Err(NodeError::Unavailable(outage.reason.to_string())),
            ConnectionState::Connecting(_) => Err(NodeError::Unavailable("still connecting".to_owned())),
        }
    }

    /// Returns a receiver, to read the state or to wait for a change.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.inner.state.subscribe()
    }

    /// Waits until the server can be used.
    pub async fn wait_until_available(&self) {
        // It cannot fail: `self` keeps the sender alive.
        let _ = self.state().wait_for(|state| matches!(state, ConnectionState::Up(_))).await;
    }

    /// Returns why the server is unavailable; `None` if it can be used or is connecting for the first time.
    pub fn unavailable_reason(&self) -> Option<Arc<str>> {
        match &*self.inner.state.borrow() {
            ConnectionState::Unavailable(outage) => Some(Arc::clone(&outage.reason)),
            ConnectionState::Connecting(_) | ConnectionState::Up(_) => None,
        }
    }

    /// Returns the server's address if the server can be used.
    pub fn connected_address(&self) -> Option<Address> {
        match &*self.inner.state.borrow() {
            ConnectionState::Up(live) => Some(live.address.clone()),
            ConnectionState::Connecting(_) | ConnectionState::Unavailable(_) => None,
        }
    }

    /// Returns whether Sentinels provide the server's address.
    pub fn uses_sentinels(&self) -> bool {
        matches!(self.inner.source, AddressSource::Sentinels(_))
    }

    /// Returns host and port of the server, unless Sentinels provide the address.
    pub fn fixed_server(&self) -> Option<String> {
        self.inner.fixed_server()
    }

    /// Sets the key that probes use. It must be in a slot of the server.
    pub fn set_probe_key(&self, key: String) {
        *self.inner.probe_key.lock() = key;
    }
}

impl NodeConnectionInner {
    async fn keep_connected(self: Arc<Self>) {
        for number in 0.. {
            self.connect(number).await;
            self.monitor(number).await;
        }
    }

    /// Tries to connect until the server can be used.
    async fn connect(&self, number: u64) {
        loop {
            match self.try_connect(number, Instant::now() + connect_timeout(self.context.reply_timeout)).await {
                Ok(live) => {
                    tracing::info!(server = live.address.server(), "redis connected");
                    self.context.reconnects.fetch_add(u64::from(number > 0), Ordering::Relaxed);
                    self.state.send_replace(ConnectionState::Up(Arc::new(live)));
                    return;
                }
                Err(reason) => self.mark_unavailable(&reason),
            }
            sleep(RECONNECT_INTERVAL).await;
        }
    }

    /// Tries once to connect. It always opens a new connection, because an old one may never reply again.
    async fn try_connect(&self, number: u64, deadline: Instant) -> Result<LiveConnection, String> {
        let address = self.source.resolve(deadline).await?;
        let connection = Connection::open(&address, deadline).await?;
        self.source.verify_role(&connection, deadline).await?;
        self.probe(&connection, deadline).await?;
        Ok(LiveConnection { address, since: self.context.clock.now(), connection, number })
    }

    /// Probes the server regularly; returns when the connection is lost.
    async fn monitor(&self, number: u64) {
        let mut state = self.state.subscribe();
        loop {
            let live = match &*state.borrow_and_update() {
                ConnectionState::Up(live) => Arc::clone(live),
                ConnectionState::Connecting(_) | ConnectionState::Unavailable(_) => return,
            };
            if timeout_at(Instant::now() + PROBE_INTERVAL, state.changed()).await.is_ok() {
                continue;
            }
            let check = async {
                self.probe(&live.connection, Instant::now() + self.context.reply_timeout).await?;
                let deadline = Instant::now() + connect_timeout(self.context.reply_timeout);
                self.source.verify_address(&live.address, deadline).await
            };
            if let Err(reason) = check.await {
                self.mark_lost(number, &reason);
            }
        }
    }

    async fn probe(&self, connection: &Connection, deadline: Instant) -> Result<(), String> {
        let mut probe = redis::cmd("EVAL");
        probe.arg(PROBE).arg(1).arg(&*self.probe_key.lock());
        let sent_at = self.context.clock.now();
        match connection.send(&[probe], false, deadline).await {
            Ok(_) => {}
            // The server works; only the slot map must be read again.
            Err(NodeError::Moved(_) | NodeError::Ask(_) | NodeError::TryAgain) => self.topology_changed.notify_one(),
            Err(NodeError::Refused(reason)) => return Err(format!("{reason} ({REQUIREMENTS})")),
            Err(error) => return Err(error.to_string()),
        }
        self.context.probe_us.store(micros(self.context.clock.now() - sent_at), Ordering::Relaxed);
        Ok(())
    }

    /// Stops using a connection, unless another one has replaced it already.
    fn mark_lost(&self, number: u64, reason: &str) {
        let mut server = None;
        let lost = self.state.send_if_modified(|state| match state {
            ConnectionState::Up(live) if live.number == number => {
                server = Some(live.address.server());
                let since = self.context.clock.now();
                *state = ConnectionState::Unavailable(Outage { since, reason: reason.into() });
                true
            }
            _ => false,
        });
        if lost {
            tracing::warn!(server, reason, "redis unavailable");
            self.topology_changed.notify_one();
        }
    }

    /// Records why the server cannot be used after a failed attempt to connect.
    fn mark_unavailable(&self, reason: &str) {
        self.state.send_if_modified(|state| {
            let since = match state {
                ConnectionState::Unavailable(outage) if *outage.reason == *reason => return false,
                ConnectionState::Unavailable(outage) => outage.since,
                ConnectionState::Connecting(_) | ConnectionState::Up(_) => {
                    tracing::warn!(server = self.fixed_server(), reason, "redis unavailable");
                    self.context.clock.now()
                }
            };
            *state = ConnectionState::Unavailable(Outage { since, reason: reason.into() });
            true
        });
        self.topology_changed.notify_one();
    }

    fn fixed_server(&self) -> Option<String> {
        match &self.source {
            AddressSource::Fixed(address) => Some(address.server()),
            AddressSource::Sentinels(_) => None,
        }
    }
}
