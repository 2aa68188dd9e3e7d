//! Follows files and directories while people and machines edit them.
//!
//! Directories are watched, never files: editors replace a file by renaming another one over it, and a Kubernetes
//! ConfigMap swaps the link `..data`, so an event only ever means "look again". Where no events come (NFS, some
//! containers) a poll finds the change.

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

/// Editors and copies touch several files at once: look when they have been quiet this long …
const QUIET: Duration = Duration::from_millis(100);
/// … but not later than this, however busy they are.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often to look where no event came.
const POLL: Duration = Duration::from_secs(2);

/// Follows what it was made for until it is dropped.
pub struct Watch {
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

/// Calls `on_change` on a thread of its own: at once, after events around `paths`, and every 2 s.
///
/// It is called whether or not contents changed, so it compares them itself. A path may be a file, a directory (whose
/// sub-directories are followed too), or missing.
///
/// # Errors
/// Where the thread cannot be started.
pub fn watch(paths: Vec<PathBuf>, on_change: impl FnMut() + Send + 'static) -> io::Result<Watch> {
    let paths = paths.iter().map(std::path::absolute).collect::<io::Result<Vec<_>>>()?;
    // One place is enough: a second event before the first was looked at says nothing new.
    let (wake, woken) = sync_channel(1);
    let stop = Arc::new(AtomicBool::new(false));
    let follower = Follower { watched: Watched::new(paths, wake.clone()), woken, stop: Arc::clone(&stop), on_change };
    let thread = std::thread::Builder::new().name("tidegate-watch".to_owned()).spawn(move || follower.run())?;
    Ok(Watch { stop, wake, thread: Some(thread) })
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Full means that it wakes up anyway; gone means that it has ended.
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join(); // a panic of `on_change` was printed where it happened
        }
    }
}

struct Follower<F> {
    watched: Watched,
    woken: Receiver<()>,
    stop: Arc<AtomicBool>,
    on_change: F,
}

impl<F: FnMut()> Follower<F> {
    fn run(mut self) {
        loop {
            // Watch first and look then: what changes in between is an event.
            self.watched.renew();
            (self.on_change)();
            if self.woken.recv_timeout(POLL).is_ok() {
                self.settle();
            }
            if self.stop.load(Ordering::Acquire) {
                return;
            }
        }
    }

    /// Waits until events have been quiet for a while.
    fn settle(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.stop.load(Ordering::Acquire) && Instant::now() < until {
            if self.woken.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}

/// The directories that are watched for the sake of some paths.
struct Watched {
    paths: Vec<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    /// Each directory with what it really is: a link may point elsewhere by now.
    dirs: BTreeMap<PathBuf, PathBuf>,
}

impl Watched {
    fn new(paths: Vec<PathBuf>, wake: SyncSender<()>) -> Self {
        let targets = paths.clone();
        let notice = move |event: notify::Result<notify::Event>| {
            // An error may be a queue that overflowed: look again.
            if event.map_or(true, |event| is_news(&event, &targets)) {
                let _ = wake.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(notice)
            .inspect_err(|error| tracing::warn!(%error, "no file events here; changes are found by looking every 2 s"));
        Self { paths, watcher: watcher.ok(), dirs: BTreeMap::new() }
    }

    /// Watches every directory of interest that is there now; one that was deleted and came back is a new one.
    fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<_, _> = self.paths.iter().flat_map(|path| of_interest(path)).collect();
        for (dir, _) in self.dirs.iter().filter(|(dir, real)| wanted.get(*dir) != Some(real)) {
            let _ = watcher.unwatch(dir); // it may be gone already
        }
        self.dirs = wanted;
        // Watching what is watched already changes nothing, and a refusal is made up for by the poll.
        self.dirs.retain(|dir, _| watcher.watch(dir, RecursiveMode::NonRecursive).is_ok());
    }
}

/// The directories in which a change can concern `path`: its parent, itself and its sub-directories.
fn of_interest(path: &Path) -> Vec<(PathBuf, PathBuf)> {
    let children = fs::read_dir(path).into_iter().flatten().flatten();
    let children = children.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let dirs = path.parent().map(Path::to_owned).into_iter().chain([path.to_owned()]);
    let dirs = dirs.chain(children.map(|entry| entry.path())).filter(|dir| dir.is_dir());
    dirs.filter_map(|dir| fs::canonicalize(&dir).ok().map(|real| (dir, real))).collect()
}

/// Whether an event may concern one of the paths: nobody's reading does, nor does a neighbour in the parent directory.
fn is_news(event: &notify::Event, targets: &[PathBuf]) -> bool {
    if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
        return false;
    }
    let neighbour = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".."));
        let beside = |target: &PathBuf| path.parent() == target.parent() && path != target;
        !hidden && targets.iter().any(beside) && !targets.contains(path)
    };
    event.paths.is_empty() || !event.paths.iter().all(neighbour)
}
