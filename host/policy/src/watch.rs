//! Watches files and directories that people and programs edit.
//!
//! The module watches directories and never files, because editors replace a file by renaming another one over it, and
//! a Kubernetes ConfigMap replaces the link `..data`. An event therefore only means that something may have changed.
//! Where no events arrive (NFS, some containers), polling finds the change.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// How long events must pause before a change is reported. Editors and copies change several files at once.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The maximum delay of a report while events keep arriving.
const MAX_DEBOUNCE: Duration = Duration::from_secs(1);
/// How often a change is reported if no events arrive.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The guard of a watch. The watch ends when the guard is dropped.
#[derive(Debug)]
#[must_use = "the watch ends when its guard is dropped"]
pub struct Watch {
    _thread: Option<WatchThread>,
}

#[derive(Debug)]
struct WatchThread {
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Returns a guard that watches nothing.
    pub const fn none() -> Self {
        Self { _thread: None }
    }
}

/// Calls `on_change` in a background thread: once at the start, after events around `paths`, and every 2 s.
///
/// `on_change` is also called when nothing changed, so it must compare contents itself. A path may be a file, a
/// directory (whose direct subdirectories are watched too), or missing.
///
/// # Errors
/// Returns an error if the thread cannot be started.
pub fn watch(paths: Vec<PathBuf>, on_change: impl FnMut() + Send + 'static) -> io::Result<Watch> {
    let paths = paths.iter().map(std::path::absolute).collect::<io::Result<Vec<_>>>()?;
    // A capacity of one is enough: a second event before the first one is handled adds no information.
    let (wake, wakeups) = sync_channel(1);
    let stop = Arc::new(AtomicBool::new(false));
    let watch_loop =
        WatchLoop { dirs: WatchedDirs::new(paths, wake.clone()), wakeups, stop: Arc::clone(&stop), on_change };
    let thread = std::thread::Builder::new().name("tidegate-watch".to_owned()).spawn(move || watch_loop.run())?;
    Ok(Watch { _thread: Some(WatchThread { stop, wake, thread: Some(thread) }) })
}

impl Drop for WatchThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // If the channel is full, the thread wakes up anyway; if it is closed, the thread has ended.
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join(); // the panic hook has printed a panic of `on_change`
        }
    }
}

struct WatchLoop<F> {
    dirs: WatchedDirs,
    wakeups: Receiver<()>,
    stop: Arc<AtomicBool>,
    on_change: F,
}

impl<F: FnMut()> WatchLoop<F> {
    fn run(mut self) {
        loop {
            // Watch before reading, so that a change in between causes an event.
            self.dirs.refresh();
            (self.on_change)();
            if self.wakeups.recv_timeout(POLL_INTERVAL).is_ok() {
                self.debounce();
            }
            if self.stop.load(Ordering::Acquire) {
                return;
            }
        }
    }

    /// Waits until events pause.
    fn debounce(&self) {
        let until = Instant::now() + MAX_DEBOUNCE;
        while !self.stop.load(Ordering::Acquire) && Instant::now() < until {
            if self.wakeups.recv_timeout(DEBOUNCE) == Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}

/// The directories that are watched to find changes of some paths.
struct WatchedDirs {
    paths: Vec<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    /// Each directory with its canonical path, because a link may change its target.
    dirs: BTreeMap<PathBuf, PathBuf>,
}

impl WatchedDirs {
    fn new(paths: Vec<PathBuf>, wake: SyncSender<()>) -> Self {
        let targets = paths.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            // An error may mean that the event queue overflowed, so it counts as a change.
            if event.map_or(true, |event| is_relevant(&event, &targets)) {
                let _ = wake.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(on_event)
            .inspect_err(|error| tracing::warn!(%error, "file events unavailable, polling for changes every 2 s"));
        Self { paths, watcher: watcher.ok(), dirs: BTreeMap::new() }
    }

    /// Watches every relevant directory that exists now. A directory that was deleted and created again is a new one.
    fn refresh(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let dirs: BTreeMap<_, _> = self.paths.iter().flat_map(|path| relevant_dirs(path)).collect();
        for (dir, _) in self.dirs.iter().filter(|(dir, canonical)| dirs.get(*dir) != Some(canonical)) {
            let _ = watcher.unwatch(dir); // it may not exist any more
        }
        self.dirs = dirs;
        // Watching a watched directory again has no effect. If the watch fails, polling finds the changes.
        self.dirs.retain(|dir, _| watcher.watch(dir, RecursiveMode::NonRecursive).is_ok());
    }
}

/// Returns the directories in which a change can affect `path`: its parent, itself and its direct subdirectories.
fn relevant_dirs(path: &Path) -> Vec<(PathBuf, PathBuf)> {
    let children = fs::read_dir(path).into_iter().flatten().flatten();
    let children = children.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let dirs = path.parent().map(Path::to_owned).into_iter().chain([path.to_owned()]);
    let dirs = dirs.chain(children.map(|entry| entry.path())).filter(|dir| dir.is_dir());
    dirs.filter_map(|dir| fs::canonicalize(&dir).ok().map(|canonical| (dir, canonical))).collect()
}

/// Whether an event may affect one of the paths. Read accesses do not, nor do other files in the parent directory.
fn is_relevant(event: &notify::Event, targets: &[PathBuf]) -> bool {
    if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
        return false;
    }
    let is_sibling = |path: &PathBuf| {
        // A Kubernetes ConfigMap replaces links such as `..data`, so those names are relevant.
        let is_link_name = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".."));
        let is_beside = |target: &PathBuf| path.parent() == target.parent() && path != target;
        !is_link_name && targets.iter().any(is_beside) && !targets.contains(path)
    };
    event.paths.is_empty() || !event.paths.iter().all(is_sibling)
}
