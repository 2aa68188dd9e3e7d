//! The policy registry: the files of a directory, each with its last good version, as one generation.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::config::{DecisionsConfig, PoliciesConfig};
use tidegate_core::{Admission, Clock, Failure, HostView, Request};

use crate::clock::{SharedClock, SystemClock};
use crate::decisions::{DecisionLog, DecisionsStatus};
use crate::engines::Engines;
use crate::files;
use crate::generation::{Generation, PolicyDecision};
use crate::generations::Generations;
use crate::rules::Rule;
use crate::samples;
use crate::slot::{COMPILE_WAIT, Change, LoadContext};
use crate::slots::Slots;
use crate::status::PolicyStatus;
use crate::watch::{self, Watch};

/// How long the start waits for a component to compile. At the start no policy is active yet, so it waits longer than a
/// reload does; the wait is bounded, because a malicious component may take very long.
const INITIAL_COMPILE_WAIT: Duration = Duration::from_secs(60);

/// The policies of a directory, each in its last good version.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # std::fs::create_dir(dir.path().join("retry")).unwrap();
/// # let mut config = tidegate_core::config::PoliciesConfig::default();
/// # config.dir = dir.path().to_owned();
/// use tidegate_core::Failure;
/// use tidegate_policy::Policies;
///
/// let policies = Policies::open(&config);
/// let failure = Failure::response(503).with_platform("taobao");
/// assert_eq!(&*policies.classify(&failure).policy, "fallback");
///
/// std::fs::write(config.dir.join("retry/taobao.rhai"), "if status >= 500 { retry(\"transient\") } else { abstain() }");
/// policies.reload();
/// assert_eq!(&*policies.classify(&failure).policy, "retry/taobao.rhai");
/// ```
pub struct Policies {
    dir: PathBuf,
    engines: Engines,
    /// Locked while files are read and compiled, so that one reload runs at a time. Readers never wait for it.
    slots: Mutex<Slots>,
    current: ArcSwap<Generation>,
    subscribers: Mutex<Vec<mpsc::Sender<Arc<Generation>>>>,
    config: ArcSwap<PoliciesConfig>,
    view: ArcSwap<Arc<dyn HostView>>,
    decision_log: Arc<DecisionLog>,
    clock: SharedClock,
    /// A reference to this registry for the threads that wait for a compilation.
    weak_self: Weak<Self>,
}

/// The result of a reload.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ReloadReport {
    /// The active generation.
    pub generation: u64,
    /// The files whose current content became active, and the files that were removed.
    pub changed: Vec<String>,
    /// The reasons for which current files are rejected, by path: `file:line:column: message`, one per line. If the
    /// directory itself cannot be read, this is the error of its path.
    pub rejected: BTreeMap<String, String>,
}

impl Policies {
    /// Reads the directory. It may be missing and appear later. A rejected file does not affect the others.
    ///
    /// The registry uses the system's clock until [`Policies::attach`] sets another one.
    #[must_use]
    pub fn open(config: &PoliciesConfig) -> Arc<Self> {
        Self::open_with_clock(config, Arc::new(SystemClock::new()))
    }

    /// Reads the directory like [`Policies::open`]. The clock says when a policy is quarantined and when decisions are
    /// logged.
    #[must_use]
    pub fn open_with_clock(config: &PoliciesConfig, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (view, clock) = (samples::view(), SharedClock::new(clock));
        let policies = Arc::new_cyclic(|weak_self| Self {
            dir: config.dir.clone(),
            engines: Engines::new(config),
            current: ArcSwap::from_pointee(Slots::default().generation(&view)),
            slots: Mutex::default(),
            subscribers: Mutex::default(),
            config: ArcSwap::from_pointee(config.clone()),
            view: ArcSwap::from_pointee(view),
            decision_log: Arc::new(DecisionLog::new(Arc::new(clock.clone()))),
            clock,
            weak_self: weak_self.clone(),
        });
        policies.reload_within(INITIAL_COMPILE_WAIT);
        policies
    }

    /// Applies changed limits and settings. A policy that rejects its new settings keeps the old ones, and its status
    /// reports why.
    ///
    /// The directory, the cache and the memory reserved for Wasm instances stay as they were at the start.
    pub fn apply_config(&self, config: &PoliciesConfig) -> ReloadReport {
        self.config.store(Arc::new(config.clone()));
        self.reload()
    }

    /// Configures the decision log. Without a file, decisions are not logged.
    ///
    /// Returns after all earlier decisions are written, or after 2 s. To close the log, pass a configuration without a
    /// file.
    pub fn configure_decision_log(&self, config: &DecisionsConfig) {
        self.decision_log.configure(config);
    }

    /// Returns the status of the decision log.
    #[must_use]
    pub fn decision_log_status(&self) -> DecisionsStatus {
        self.decision_log.status()
    }

    /// Attaches the registry to a host: sets the metrics and limits that policies may read, and the clock.
    ///
    /// A registry belongs to one host. If another host attaches it, the policies read that host's metrics and limits.
    pub fn attach(&self, view: Arc<dyn HostView>, clock: Arc<dyn Clock>) {
        self.clock.set(clock);
        let slots = self.slots.lock();
        self.view.store(Arc::new(view));
        self.publish(slots.generation(&self.view.load()));
    }

    /// Returns the policy directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the active generation.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Returns the verdict on a failure; see [`Generation::classify`].
    #[must_use]
    pub fn classify(&self, failure: &Failure) -> PolicyDecision {
        self.current.load().classify(failure)
    }

    /// Returns whether a retry policy that may decide for this platform reads [`Failure::body`]; see
    /// [`Generation::reads_body`].
    #[must_use]
    pub fn reads_body(&self, platform: &str) -> bool {
        self.current.load().reads_body(platform)
    }

    /// Returns the verdict on a request; see [`Generation::admit`].
    #[must_use]
    pub fn admit(&self, request: &Request) -> PolicyDecision<Admission> {
        self.current.load().admit(request)
    }

    /// Returns the active alert rules, by name.
    #[must_use]
    pub fn rules(&self) -> Arc<[Rule]> {
        self.current.load().rules()
    }

    /// Returns the status of every file, by path.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        self.current.load().status()
    }

    /// Subscribes to every further generation, including those in which only a file's status changed.
    #[must_use]
    pub fn subscribe(&self) -> Generations {
        let (sender, receiver) = mpsc::channel();
        self.subscribers.lock().push(sender);
        Generations::new(receiver)
    }

    /// Reads the directory and activates the files that changed and are valid.
    ///
    /// A component that takes long to compile does not delay the other files: it becomes active when it is compiled.
    pub fn reload(&self) -> ReloadReport {
        self.reload_within(COMPILE_WAIT)
    }

    fn reload_within(&self, compile_wait: Duration) -> ReloadReport {
        let mut slots = self.slots.lock();
        let scan = files::scan(&self.dir, |path, hash| slots.has_loaded(path, hash));
        let (config, clock): (_, Arc<dyn Clock>) = (self.config.load(), Arc::new(self.clock.clone()));
        let context = LoadContext {
            dir: &self.dir,
            engines: &self.engines,
            config: &config,
            decision_log: &self.decision_log,
            clock: &clock,
            compile_wait,
        };
        let changes = match scan {
            Ok(scan) => slots.update(scan, context),
            Err(error) => slots.reject_directory(&self.dir, &error),
        };
        if !changes.is_empty() {
            self.publish(slots.generation(&self.view.load()));
        }
        slots.take_pending_compilations().into_iter().for_each(|hash| self.reload_when_compiled(hash));
        report(&self.dir, &changes, &slots)
    }

    fn reload_when_compiled(&self, hash: String) {
        let weak_self = self.weak_self.clone();
        let wait_and_reload = move || {
            let Some(policies) = weak_self.upgrade() else { return };
            policies.engines.wait(&hash);
            policies.reload();
        };
        if let Err(error) = thread::Builder::new().name("tidegate-reload".to_owned()).spawn(wait_and_reload) {
            tracing::error!(%error, "cannot start a thread that waits for a compilation");
        }
    }

    fn publish(&self, generation: Generation) {
        let generation = Arc::new(generation);
        self.current.store(Arc::clone(&generation));
        self.subscribers.lock().retain(|subscriber| subscriber.send(Arc::clone(&generation)).is_ok());
    }

    /// Watches the directory in a background thread until the returned guard is dropped.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub fn watch(self: &Arc<Self>) -> std::io::Result<Watch> {
        let policies = Arc::downgrade(self);
        watch::watch(vec![self.dir.clone()], move || {
            if let Some(policies) = policies.upgrade() {
                policies.reload();
            }
        })
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("dir", &self.dir)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

fn report(dir: &Path, changes: &BTreeMap<String, Change>, slots: &Slots) -> ReloadReport {
    for (path, change) in changes {
        match change {
            Change::Activated => tracing::info!(policy = path, generation = slots.number(), "policy activated"),
            Change::Removed => tracing::info!(policy = path, generation = slots.number(), "policy removed"),
            Change::Rejected(error) if slots.directory_error().is_some() => {
                tracing::error!(directory = path, %error, "policy directory cannot be read");
            }
            Change::Rejected(error) if slots.has_active_version(path) => {
                tracing::error!(policy = path, %error, "policy rejected, the last good version stays active");
            }
            Change::Rejected(error) => {
                tracing::error!(policy = path, %error, "policy rejected, no version is active");
            }
            Change::Compiling if slots.has_active_version(path) => {
                tracing::info!(policy = path, "policy is compiling, the last good version stays active");
            }
            Change::Compiling => tracing::info!(policy = path, "policy is compiling, no version is active yet"),
            Change::Restored if slots.has_active_version(path) => {
                tracing::info!(policy = path, "policy file restored to the active version");
            }
            Change::Restored => tracing::info!(directory = path, "policy directory can be read again"),
        }
    }
    let changed = changes.iter().filter(|(_, change)| matches!(change, Change::Activated | Change::Removed));
    ReloadReport {
        generation: slots.number(),
        changed: changed.map(|(path, _)| path.clone()).collect(),
        rejected: slots.errors(dir),
    }
}
