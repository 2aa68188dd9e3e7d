//! One server, and whether it can be used now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::address::Address;
use crate::fault::Fault;
use crate::link::{Link, attempt_within};
use crate::source::Source;

/// Between one attempt to reach a server that is away and the next.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a server is looked at that nobody asks anything.
const LOOK: Duration = Duration::from_secs(1);

/// Does nothing, yet is refused wherever a script that writes would be: by a replica, by a server that loads, that is
/// full, or whose cluster is down, and to a user who may not run scripts.
const PROBE: &str = "#!lua\nreturn 1";

/// What is told to whoever reads why a probe was refused.
const NEEDED: &str = "needed are Redis 7.0 or newer, and a user who may run scripts on the keys under the prefix";

/// Whether a server can be used.
#[derive(Clone)]
pub enum State {
    /// The first connection is being made, since then.
    New(Instant),
    /// It answers.
    Up(Arc<Up>),
    /// It does not, or it refuses everything.
    Away(Away),
}

/// A server that answers.
pub struct Up {
    /// Where it is.
    pub address: Address,
    /// When it began to answer.
    pub since: Instant,
    link: Link,
    /// Tells this connection from those before it.
    number: u64,
}

/// A server that does not answer.
#[derive(Clone)]
pub struct Away {
    /// When it was lost.
    pub since: Instant,
    /// Why, without any secret.
    pub reason: Arc<str>,
}

/// Counts of all lanes of a process.
#[derive(Default)]
pub struct Tally {
    /// Connections after the first.
    pub reconnects: AtomicU64,
    /// Microseconds of the last probe's round trip.
    pub probe_us: AtomicU64,
}

/// The way to one server, kept up by a task that ends with it.
pub struct Lane {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    source: Source,
    state: watch::Sender<State>,
    probe_key: Mutex<String>,
    /// The longest that an answer may take where nobody says otherwise.
    patience: Duration,
    tally: Arc<Tally>,
    /// Told when the server was lost, or says that keys have moved.
    trouble: Arc<Notify>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Lane {
    /// Begins to connect, within a tokio runtime; `probe_key` is one that the server is there for.
    pub fn new(source: Source, probe_key: String, patience: Duration, tally: Arc<Tally>, trouble: Arc<Notify>) -> Self {
        let probe_key = Mutex::new(probe_key);
        let state = watch::Sender::new(State::New(Instant::now()));
        let shared = Arc::new(Shared { source, state, probe_key, patience, tally, trouble });
        let keeper = tokio::spawn(Arc::clone(&shared).keep()).abort_handle();
        Self { shared, keeper }
    }

    /// Sends commands once; a server that gives no answer, or none of use, is away from then on.
    pub async fn ask(&self, commands: &[Cmd], asking: bool, deadline: Instant) -> Result<Vec<Value>, Fault> {
        let up = self.up(deadline).await?;
        let answers = up.link.ask(commands, asking, deadline).await;
        if let Err(Fault::Away(reason)) = &answers {
            self.shared.lose(up.number, reason);
        }
        answers
    }

    /// The connection; only the first one is waited for.
    async fn up(&self, deadline: Instant) -> Result<Arc<Up>, Fault> {
        let new = |state: &State| matches!(state, State::New(_));
        if new(&self.shared.state.borrow()) {
            let _ = timeout_at(deadline, self.state().wait_for(|state| !new(state))).await;
        }
        match &*self.shared.state.borrow() {
            State::Up(up) => Ok(Arc::clone(up)),
            State::Away(away) => Err(Fault::Away(away.reason.to_string())),
            State::New(_) => Err(Fault::Away("the connection is still being made".to_owned())),
        }
    }

    /// The state, to look at or to wait for.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Ends once the server can be used.
    pub async fn back(&self) {
        // The state lasts as long as the lane.
        let _ = self.state().wait_for(|state| matches!(state, State::Up(_))).await;
    }

    /// Why the server cannot be used, where it is known to be away.
    pub fn away(&self) -> Option<Arc<str>> {
        match &*self.shared.state.borrow() {
            State::Away(away) => Some(Arc::clone(&away.reason)),
            State::New(_) | State::Up(_) => None,
        }
    }

    /// Where the server is, if it can be used.
    pub fn up_at(&self) -> Option<Address> {
        match &*self.shared.state.borrow() {
            State::Up(up) => Some(up.address.clone()),
            State::New(_) | State::Away(_) => None,
        }
    }

    /// Whether others say where the server is.
    pub fn is_led(&self) -> bool {
        matches!(self.shared.source, Source::Sentinels(_))
    }

    /// Where the server is to be, if nobody else has to say so.
    pub fn place(&self) -> Option<String> {
        match &self.shared.source {
            Source::Fixed(address) => Some(address.place()),
            Source::Sentinels(_) => None,
        }
    }

    /// Names a key that the server is there for now.
    pub fn probe_with(&self, key: String) {
        *self.shared.probe_key.lock() = key;
    }
}

impl Shared {
    async fn keep(self: Arc<Self>) {
        for number in 0.. {
            self.connect(number).await;
            self.look_after(number).await;
        }
    }

    /// Tries until the server can be used.
    async fn connect(&self, number: u64) {
        loop {
            match self.attempt(number, Instant::now() + attempt_within(self.patience)).await {
                Ok(up) => {
                    tracing::info!(server = up.address.place(), "Redis answers");
                    self.tally.reconnects.fetch_add(u64::from(number > 0), Ordering::Relaxed);
                    self.state.send_replace(State::Up(Arc::new(up)));
                    return;
                }
                Err(reason) => self.gone(&reason),
            }
            sleep(PAUSE).await;
        }
    }

    /// A connection of its own each time: nothing tells whether an old one will ever answer.
    async fn attempt(&self, number: u64, deadline: Instant) -> Result<Up, String> {
        let address = self.source.find(deadline).await?;
        let link = Link::open(&address, deadline).await?;
        self.source.verify(&link, deadline).await?;
        self.probe(&link, deadline).await?;
        Ok(Up { address, since: Instant::now(), link, number })
    }

    /// Looks whether the server still answers, until it does not.
    async fn look_after(&self, number: u64) {
        let mut state = self.state.subscribe();
        loop {
            let up = match &*state.borrow_and_update() {
                State::Up(up) => Arc::clone(up),
                State::New(_) | State::Away(_) => return,
            };
            if timeout_at(Instant::now() + LOOK, state.changed()).await.is_ok() {
                continue;
            }
            let looked = async {
                self.probe(&up.link, Instant::now() + self.patience).await?;
                self.source.still(&up.address, Instant::now() + attempt_within(self.patience)).await
            };
            if let Err(reason) = looked.await {
                self.lose(number, &reason);
            }
        }
    }

    async fn probe(&self, link: &Link, deadline: Instant) -> Result<(), String> {
        let mut probe = redis::cmd("EVAL");
        probe.arg(PROBE).arg(1).arg(&*self.probe_key.lock());
        let sent = Instant::now();
        match link.ask(&[probe], false, deadline).await {
            Ok(_) => {}
            // It answers, and others will say what it is there for.
            Err(Fault::Moved(_) | Fault::Ask(_) | Fault::TryAgain) => self.trouble.notify_one(),
            Err(Fault::Refused(reason)) => return Err(format!("{reason} ({NEEDED})")),
            Err(fault) => return Err(fault.to_string()),
        }
        let took = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.tally.probe_us.store(took, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a connection out of use, unless another has taken its place.
    fn lose(&self, number: u64, reason: &str) {
        let lost = self.state.send_if_modified(|state| match state {
            State::Up(up) if up.number == number => {
                *state = State::Away(Away { since: Instant::now(), reason: reason.into() });
                true
            }
            _ => false,
        });
        if lost {
            tracing::warn!(reason, "Redis is away");
            self.trouble.notify_one();
        }
    }

    /// Says why the server still cannot be used.
    fn gone(&self, reason: &str) {
        self.state.send_if_modified(|state| {
            let since = match state {
                State::Away(away) if *away.reason == *reason => return false,
                State::Away(away) => away.since,
                State::New(_) | State::Up(_) => {
                    tracing::warn!(reason, "Redis cannot be used");
                    Instant::now()
                }
            };
            *state = State::Away(Away { since, reason: reason.into() });
            true
        });
        self.trouble.notify_one();
    }
}
