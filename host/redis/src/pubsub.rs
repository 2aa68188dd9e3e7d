//! What other processes tell: one connection hears for the whole process.

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
use crate::link::{Link, attempt_within};
use crate::route::Route;

/// Between one attempt to hear again and the next.
const PAUSE: Duration = Duration::from_millis(100);
/// How often silence is told from a dead connection.
const LOOK: Duration = Duration::from_secs(1);

/// The channels that somebody listens to.
pub struct Ears {
    /// How long a server may take to answer.
    within: Duration,
    channels: Mutex<HashMap<String, watch::Sender<()>>>,
    wanted: Notify,
    /// Why nothing is heard.
    deaf: Mutex<Option<String>>,
}

/// One channel's messages, none of which means more than "look again".
struct Heard {
    ears: Arc<Ears>,
    channel: String,
    told: watch::Receiver<()>,
}

impl Signal for Heard {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // The sender lives as long as anyone listens.
            let _ = self.told.changed().await;
        })
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let mut channels = self.ears.channels.lock();
        // Under the lock nobody else can begin to listen; this one still counts.
        if channels.get(&self.channel).is_some_and(|tell| tell.receiver_count() == 1) {
            channels.remove(&self.channel);
            self.ears.wanted.notify_one();
        }
    }
}

impl Ears {
    /// Ears that hear nothing yet; an answer of a server may take `patience`.
    pub fn new(patience: Duration) -> Self {
        Self {
            within: attempt_within(patience),
            channels: Mutex::default(),
            wanted: Notify::new(),
            deaf: Mutex::default(),
        }
    }

    /// Listens to a channel; what is told from now on changes the signal, or the subscription does once it stands.
    pub fn signal(self: &Arc<Self>, channel: &str) -> Box<dyn Signal> {
        let mut channels = self.channels.lock();
        let told = match channels.get(channel) {
            Some(tell) => tell.subscribe(),
            None => {
                let tell = watch::Sender::new(());
                let told = tell.subscribe();
                channels.insert(channel.to_owned(), tell);
                self.wanted.notify_one();
                told
            }
        };
        Box::new(Heard { ears: Arc::clone(self), channel: channel.to_owned(), told })
    }

    /// Why nothing is heard that other processes tell, if so.
    pub fn deaf(&self) -> Option<String> {
        self.deaf.lock().clone()
    }

    fn wanted(&self) -> BTreeSet<String> {
        self.channels.lock().keys().cloned().collect()
    }

    fn tell(&self, channel: &str) {
        if let Some(tell) = self.channels.lock().get(channel) {
            tell.send_replace(());
        }
    }

    /// Hears for ever; a connection that was lost is made again, and then everything counts as changed.
    pub async fn listen(self: Arc<Self>, route: Arc<Route>) {
        loop {
            for post in route.posts() {
                if let Err(reason) = self.hear(&post, &route).await {
                    tracing::debug!(reason, "the connection that hears other processes was lost");
                    *self.deaf.lock() = Some(reason);
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Hears at one server until it goes.
    async fn hear(&self, post: &Address, route: &Route) -> Result<(), String> {
        let (ears, mut messages) = mpsc::unbounded_channel();
        let link = Link::listen(post, ears, Instant::now() + self.within).await?;
        let mut heard = BTreeSet::new();
        self.subscribe(&link, &mut heard).await?;
        *self.deaf.lock() = None;
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(push) => self.message(push)?,
                    None => return Err("the connection was lost".to_owned()),
                },
                () = self.wanted.notified() => self.subscribe(&link, &mut heard).await?,
                _ = look.tick() => {
                    if route.gone_from(post) {
                        return Err("the server is no longer in use".to_owned());
                    }
                    self.ping(&link).await?;
                }
            }
        }
    }

    /// Subscribes to what is newly wanted and leaves what is not.
    async fn subscribe(&self, link: &Link, heard: &mut BTreeSet<String>) -> Result<(), String> {
        let wanted = self.wanted();
        let new: BTreeSet<_> = wanted.difference(heard).cloned().collect();
        let left: BTreeSet<_> = heard.difference(&wanted).cloned().collect();
        link.hear(&new, &left, Instant::now() + self.within).await.map_err(|fault| fault.to_string())?;
        *heard = wanted;
        new.iter().for_each(|channel| self.tell(channel));
        Ok(())
    }

    async fn ping(&self, link: &Link) -> Result<(), String> {
        let answer = link.ask(&[redis::cmd("PING")], false, Instant::now() + self.within).await;
        answer.map(drop).map_err(|fault| fault.to_string())
    }

    fn message(&self, push: PushInfo) -> Result<(), String> {
        match (push.kind, push.data.first()) {
            (PushKind::Message, Some(Value::BulkString(channel))) => self.tell(&String::from_utf8_lossy(channel)),
            (PushKind::Disconnection, _) => return Err("the connection was lost".to_owned()),
            _ => {}
        }
        Ok(())
    }
}
