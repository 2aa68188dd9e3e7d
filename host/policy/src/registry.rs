//! The registry: the files of a directory, each with its last good version, and one generation made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::config::{DecisionsConfig, PoliciesConfig};
use tidegate_core::{Admission, Failure, Request, View};

use crate::decisions::{Decisions, DecisionsStatus};
use crate::engines::Engines;
use crate::files;
use crate::generation::{Decided, Generation, PolicyStatus};
use crate::rules::Rule;
use crate::samples;
use crate::slot::{Change, PATIENCE, Place};
use crate::slots::Slots;
use crate::watch::{self, Watch};

/// Nothing decides yet at the start, so a component that takes long is waited for; not for ever, since one may be made to.
const PATIENCE_AT_START: Duration = Duration::from_secs(60);

/// The policies of a directory, always in their last good version.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # std::fs::create_dir(dir.path().join("retry")).unwrap();
/// # let mut config = tidegate_core::config::Config::default().policies;
/// # config.dir = dir.path().to_owned();
/// use tidegate_core::Failure;
/// use tidegate_policy::Policies;
///
/// let policies = Policies::open(&config);
/// let busy = Failure { platform: "taobao".into(), status: Some(503), ..Failure::default() };
/// assert_eq!(&*policies.classify(&busy).by, "fallback");
///
/// std::fs::write(config.dir.join("retry/taobao.rhai"), "if status >= 500 { retry(\"transient\") } else { abstain() }");
/// policies.reload();
/// assert_eq!(&*policies.classify(&busy).by, "retry/taobao.rhai");
/// ```
pub struct Policies {
    dir: PathBuf,
    engines: Engines,
    /// Held while files are read and compiled, so one reload runs at a time; readers never wait for it.
    slots: Mutex<Slots>,
    current: ArcSwap<Generation>,
    listeners: Mutex<Vec<mpsc::Sender<Arc<Generation>>>>,
    config: ArcSwap<PoliciesConfig>,
    view: ArcSwap<Arc<dyn View>>,
    decisions: Arc<Decisions>,
    /// For the thread that compiles ahead.
    me: Weak<Self>,
}

/// What a look at the directory brought.
#[derive(Clone, Debug, Serialize)]
pub struct ReloadReport {
    /// The generation in force now.
    pub generation: u64,
    /// The files that came in force, changed or went.
    pub changed: Vec<String>,
    /// Why files as they are now are not in force: `file:line:column: message`, one a line.
    pub refused: Vec<String>,
}

impl Policies {
    /// Reads the directory; it may be missing and appear later, and a bad file stops nothing.
    #[must_use]
    pub fn open(config: &PoliciesConfig) -> Arc<Self> {
        let view = samples::view();
        let policies = Arc::new_cyclic(|me| Self {
            dir: config.dir.clone(),
            engines: Engines::new(config),
            current: ArcSwap::from_pointee(Slots::default().generation(&view)),
            slots: Mutex::default(),
            listeners: Mutex::default(),
            config: ArcSwap::from_pointee(config.clone()),
            view: ArcSwap::from_pointee(view),
            decisions: Arc::default(),
            me: me.clone(),
        });
        policies.look(PATIENCE_AT_START);
        policies
    }

    /// Puts other limits and settings in force; a policy that refuses them keeps its old ones, and the status says why.
    ///
    /// The directory, the cache and the room of Wasm instances stay as they were at the start.
    pub fn configure(&self, config: &PoliciesConfig) -> ReloadReport {
        self.config.store(Arc::new(config.clone()));
        self.reload()
    }

    /// Writes down what policies decide from now on; without a file, nothing.
    ///
    /// It returns when all that was decided before is written, after 2 s at most: without a file, that ends the log.
    pub fn log_decisions(&self, config: &DecisionsConfig) {
        self.decisions.configure(config);
    }

    /// What became of the decision log.
    #[must_use]
    pub fn decisions(&self) -> DecisionsStatus {
        self.decisions.status()
    }

    /// What policies may look at from now on.
    pub fn attach(&self, view: Arc<dyn View>) {
        let slots = self.slots.lock();
        self.view.store(Arc::new(view));
        self.publish(slots.generation(&self.view.load()));
    }

    /// The directory that is read.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is in force now.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The verdict on a failure; see [`Generation::classify`].
    #[must_use]
    pub fn classify(&self, failure: &Failure) -> Decided {
        self.current.load().classify(failure)
    }

    /// The verdict on a request; see [`Generation::admit`].
    #[must_use]
    pub fn admit(&self, request: &Request) -> Decided<Admission> {
        self.current.load().admit(request)
    }

    /// The alert rules in force, by name.
    #[must_use]
    pub fn rules(&self) -> Arc<[Rule]> {
        self.current.load().rules()
    }

    /// What is known of every file, by path.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        self.current.load().status()
    }

    /// Every generation from now on, also those in which only the status of a file changed.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::Receiver<Arc<Generation>> {
        let (sender, receiver) = mpsc::channel();
        self.listeners.lock().push(sender);
        receiver
    }

    /// Looks at the directory now and puts in force what is new and good.
    ///
    /// A component that takes long to compile does not hold up the rest: it comes in force when it is done.
    pub fn reload(&self) -> ReloadReport {
        self.look(PATIENCE)
    }

    fn look(&self, patience: Duration) -> ReloadReport {
        let mut slots = self.slots.lock();
        let found = files::scan(&self.dir, |path, hash| slots.knows(path, hash));
        let config = self.config.load();
        let place =
            Place { dir: &self.dir, engines: &self.engines, config: &config, decisions: &self.decisions, patience };
        let changes = match found {
            Ok(found) => slots.update(found, place),
            Err(error) => slots.lose_directory(&self.dir, &error),
        };
        if !changes.is_empty() {
            self.publish(slots.generation(&self.view.load()));
        }
        slots.awaited().into_iter().for_each(|hash| self.follow(hash));
        report(&changes, &slots)
    }

    /// Looks again when a component is compiled.
    fn follow(&self, hash: String) {
        let me = self.me.clone();
        let follow = move || {
            let Some(policies) = me.upgrade() else { return };
            policies.engines.wait(&hash);
            policies.reload();
        };
        if let Err(error) = thread::Builder::new().name("tidegate-follow".to_owned()).spawn(follow) {
            tracing::error!(%error, "no thread to wait for a component on");
        }
    }

    fn publish(&self, generation: Generation) {
        let generation = Arc::new(generation);
        self.current.store(Arc::clone(&generation));
        self.listeners.lock().retain(|listener| listener.send(Arc::clone(&generation)).is_ok());
    }

    /// Follows the directory on a thread of its own until the guard is dropped.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub fn watch(self: &Arc<Self>) -> std::io::Result<Watch> {
        let policies = Arc::downgrade(self);
        watch::watch(vec![self.dir.clone()], move || {
            if let Some(policies) = policies.upgrade() {
                policies.reload();
            }
        })
    }
}

fn report(changes: &BTreeMap<String, Change>, slots: &Slots) -> ReloadReport {
    for (path, change) in changes {
        match change {
            Change::InForce => tracing::info!(policy = path, generation = slots.number(), "policy in force"),
            Change::Removed => tracing::info!(policy = path, generation = slots.number(), "policy removed"),
            Change::Refused(problem) if slots.has_good(path) => {
                tracing::error!("policy refused, the last good one stays:\n{problem}");
            }
            Change::Refused(problem) => tracing::error!("policy refused, and there is no good one:\n{problem}"),
            Change::Mended => tracing::info!(policy = path, "policy is as it was when it was good"),
        }
    }
    let changed = changes.iter().filter(|(_, change)| matches!(change, Change::InForce | Change::Removed));
    ReloadReport {
        generation: slots.number(),
        changed: changed.map(|(path, _)| path.clone()).collect(),
        refused: slots.problems(),
    }
}
