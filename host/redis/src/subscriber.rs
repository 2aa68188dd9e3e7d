//! Receives the messages that other processes publish, over one connection for the whole process.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tidegate_core::store::Signal;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, interval, sleep};

use crate::address::Address;
use crate::connection::{Connection, connect_timeout};
use crate::topology::Topology;

/// The pause between two attempts to subscribe.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);
/// The time between two pings. Without them, a dead connection would look like a connection without messages.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// The channels to which the process is subscribed.
pub struct Subscriber {
    /// How long connecting, subscribing and pinging may each take.
    timeout: Duration,
    channels: Mutex<HashMap<String, watch::Sender<()>>>,
    channels_changed: Notify,
    /// Why no messages are received.
    error: Mutex<Option<String>>,
}

/// The messages of one channel; each means only that something may have changed.
struct ChannelSignal {
    subscriber: Arc<Subscriber>,
    channel: String,
    messages: watch::Receiver<()>,
}

impl Signal for ChannelSignal {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // It cannot fail: the sender exists as long as the channel has a receiver.
            let _ = self.messages.changed().await;
        })
    }
}

impl Drop for ChannelSignal {
    fn drop(&mut self) {
        let mut channels = self.subscriber.channels.lock();
        // The lock prevents new receivers; this one is still counted.
        if channels.get(&self.channel).is_some_and(|sender| sender.receiver_count() == 1) {
            channels.remove(&self.channel);
            self.subscriber.channels_changed.notify_one();
        }
    }
}

impl Subscriber {
    /// Returns a subscriber without channels; a server's reply may take `reply_timeout`.
    pub fn new(reply_timeout: Duration) -> Self {
        Self {
            timeout: connect_timeout(reply_timeout),
            channels: Mutex::default(),
            channels_changed: Notify::new(),
            error: Mutex::default(),
        }
    }

    /// Subscribes to a channel. The signal fires at each message, and once when the subscription is established.
    pub fn signal(self: &Arc<Self>, channel: &str) -> Box<dyn Signal> {
        let mut channels = self.channels.lock();
        let messages = match channels.get(channel) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, messages) = watch::channel(());
                channels.insert(channel.to_owned(), sender);
                self.channels_changed.notify_one();
                messages
            }
        };
        Box::new(ChannelSignal { subscriber: Arc::clone(self), channel: channel.to_owned(), messages })
    }

    /// Returns why messages of other processes are not received, if they are not.
    pub fn error(&self) -> Option<String> {
        self.error.lock().clone()
    }

    fn channel_names(&self) -> BTreeSet<String> {
        self.channels.lock().keys().cloned().collect()
    }

    /// Signals a change to the receivers of a channel.
    fn notify(&self, channel: &str) {
        if let Some(sender) = self.channels.lock().get(channel) {
            sender.send_replace(());
        }
    }

    /// Receives messages until the task is aborted. After a lost connection, every channel counts as changed.
    pub async fn run(self: Arc<Self>, topology: Arc<Topology>) {
        loop {
            for address in topology.connected_addresses() {
                if let Err(reason) = self.receive_from(&address, &topology).await {
                    tracing::debug!(server = address.server(), reason, "redis subscription lost");
                    *self.error.lock() = Some(reason);
                }
            }
            sleep(RECONNECT_INTERVAL).await;
        }
    }

    /// Receives messages from one server until its connection is lost.
    async fn receive_from(&self, address: &Address, topology: &Topology) -> Result<(), String> {
        let (sender, mut messages) = mpsc::unbounded_channel();
        let connection = Connection::open_with_messages(address, sender, Instant::now() + self.timeout).await?;
        let mut subscribed = BTreeSet::new();
        self.update_subscriptions(&connection, &mut subscribed).await?;
        *self.error.lock() = None;
        let mut ping_timer = interval(PING_INTERVAL);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(push) => self.handle_push(push)?,
                    None => return Err("connection lost".to_owned()),
                },
                () = self.channels_changed.notified() => {
                    self.update_subscriptions(&connection, &mut subscribed).await?;
                }
                _ = ping_timer.tick() => {
                    if topology.has_left(address) {
                        return Err("the server is no longer in use".to_owned());
                    }
                    self.ping(&connection).await?;
                }
            }
        }
    }

    /// Subscribes to added channels and unsubscribes from removed ones.
    async fn update_subscriptions(
        &self,
        connection: &Connection,
        subscribed: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let channels = self.channel_names();
        let added: BTreeSet<_> = channels.difference(subscribed).cloned().collect();
        let removed: BTreeSet<_> = subscribed.difference(&channels).cloned().collect();
        let deadline = Instant::now() + self.timeout;
        connection.change_subscriptions(&added, &removed, deadline).await.map_err(|error| error.to_string())?;
        *subscribed = channels;
        added.iter().for_each(|channel| self.notify(channel));
        Ok(())
    }

    async fn ping(&self, connection: &Connection) -> Result<(), String> {
        let replies = connection.send(&[redis::cmd("PING")], false, Instant::now() + self.timeout).await;
        replies.map(drop).map_err(|error| error.to_string())
    }

    fn handle_push(&self, push: PushInfo) -> Result<(), String> {
        match (push.kind, push.data.first()) {
            (PushKind::Message, Some(Value::BulkString(channel))) => self.notify(&String::from_utf8_lossy(channel)),
            (PushKind::Disconnection, _) => return Err("connection lost".to_owned()),
            _ => {}
        }
        Ok(())
    }
}
