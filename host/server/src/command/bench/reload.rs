//! Edits of one policy while all cores ask it: from saving to being in force, and whether any verdict was lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tidegate::core::{Failure, Verdict};
use tidegate::policy::{Decided, Generation, Policies};

use super::measure::at;
use crate::command::{Usage, config_file, configuration};

/// The platform whose classifier is edited.
const PLATFORM: &str = "edited";
/// An edit that is not in force by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measure edits under load.
#[derive(Args)]
pub struct Reload {
    /// How many edits.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    edits: u64,
    /// A component that is edited instead of a script: each edit adds a note that changes its bytes.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Look at the directory right after each edit instead of being told of it: what one reload costs, and what ten
    /// thousand leave behind.
    #[arg(long)]
    unwatched: bool,
    /// Threads that ask all the while; as many as there are cores unless said.
    #[arg(long)]
    callers: Option<usize>,
}

/// What callers saw.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    verdicts: AtomicU64,
    /// Verdicts whose parts are of two versions, or that went back to an earlier generation.
    mixed: AtomicU64,
    /// Verdicts that came from no version at all.
    dropped: AtomicU64,
}

impl Reload {
    /// Edits and measures.
    ///
    /// # Errors
    /// Where a file cannot be written, or an edit never comes in force.
    pub fn measure(&self) -> Result<Value, Usage> {
        let told = |error: std::io::Error| Usage(error.to_string());
        let dir = tempfile::tempdir().map_err(told)?;
        fs::create_dir(dir.path().join("retry")).map_err(told)?;
        let component = self.component.as_ref().map(fs::read).transpose().map_err(told)?;
        let name = format!("{PLATFORM}.{}", if component.is_some() { "wasm" } else { "rhai" });
        let edit = Edit { dir: dir.path().to_owned(), name, component };
        edit.save(0).map_err(told)?;
        let mut config = configuration(config_file(None).as_deref())?.policies;
        config.dir = dir.path().to_owned();
        // A cache of the service would be filled with what nobody loads again.
        config.cache = None;
        let policies = Policies::open(&config);
        let _watch = if self.unwatched { None } else { Some(policies.watch().map_err(told)?) };
        let callers = self.callers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let seen = Seen::default();
        let took = thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| ask(&policies, &seen, edit.component.is_none()));
            }
            let took = self.edit(&policies, &edit);
            seen.stop.store(true, Ordering::Relaxed);
            took
        });
        let (mut took, warm) = took?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(json!({
            "edits": self.edits,
            "callers": callers,
            "verdicts": count(&seen.verdicts),
            "p50_ms": at(&mut took, 0.50),
            "p99_ms": at(&mut took, 0.99),
            "mixed": count(&seen.mixed),
            "dropped": count(&seen.dropped),
            "last_fault": policies.status().into_iter().find_map(|status| status.last_fault),
            "resident_kib": { "after_a_tenth": warm, "at_the_end": resident() },
        }))
    }

    /// How long each edit took, in milliseconds, and the memory after the first tenth of them.
    fn edit(&self, policies: &Arc<Policies>, edit: &Edit) -> Result<(Vec<f64>, u64), Usage> {
        let news = policies.subscribe();
        // What is written later is there from the beginning, so that memory tells of reloads alone.
        let (mut took, mut warm) = (vec![f64::NAN; usize::try_from(self.edits).unwrap_or_default()], 0);
        took.clear();
        for number in 1..=self.edits {
            let saved = Instant::now();
            edit.save(number).map_err(|error| Usage(error.to_string()))?;
            if self.unwatched {
                policies.reload();
            }
            in_force(&news, number)?;
            took.push(saved.elapsed().as_secs_f64() * 1e3);
            if number == self.edits.div_ceil(10) {
                warm = resident();
            }
        }
        Ok((took, warm))
    }
}

/// What is saved again and again.
struct Edit {
    dir: PathBuf,
    name: String,
    component: Option<Vec<u8>>,
}

impl Edit {
    /// Saves version `number` as editors do: beside the file, and then over it.
    fn save(&self, number: u64) -> std::io::Result<()> {
        let bytes = match &self.component {
            Some(component) => noted(component, number),
            None => format!("retry(\"transient\", {number} + 1, \"{number}\")").into_bytes(),
        };
        let beside = self.dir.join("saving");
        fs::write(&beside, bytes)?;
        fs::rename(beside, self.dir.join("retry").join(&self.name))
    }
}

/// A component with a custom section more, which means nothing and changes its hash.
pub fn noted(component: &[u8], number: u64) -> Vec<u8> {
    let note = format!("{number:020}");
    // The name of the section with its length, and the note: 1 + 4 + 20 bytes.
    [component, &[0, 25, 4], b"note", note.as_bytes()].concat()
}

/// Waits until the edit that makes this generation is in force: the first of a directory is 1.
fn in_force(news: &Receiver<Arc<Generation>>, number: u64) -> Result<(), Usage> {
    loop {
        let generation =
            news.recv_timeout(PATIENCE).map_err(|_| Usage(format!("edit {number} never came in force")))?;
        let mut problems = generation.status().into_iter().filter_map(|status| status.stale);
        // A machine that stands still for a second makes a compilation one that is not waited for.
        if let Some(problem) = problems.find(|problem| !problem.contains("is being compiled")) {
            return Err(Usage(problem));
        }
        if generation.number() > number {
            return Ok(());
        }
    }
}

/// Asks until it is told to stop, and looks at every verdict.
fn ask(policies: &Policies, seen: &Seen, is_script: bool) {
    let failure = Failure { platform: PLATFORM.to_owned(), code: Some("52101".to_owned()), ..Failure::default() };
    let mut last = 0;
    while !seen.stop.load(Ordering::Relaxed) {
        let decided = policies.classify(&failure);
        seen.verdicts.fetch_add(1, Ordering::Relaxed);
        if !decided.by.starts_with("retry/") {
            seen.dropped.fetch_add(1, Ordering::Relaxed);
        } else if decided.generation < last || is_script && !is_whole(&decided) {
            seen.mixed.fetch_add(1, Ordering::Relaxed);
        }
        last = decided.generation;
    }
}

/// Whether generation, wait and reason are of one version.
fn is_whole(decided: &Decided<Verdict>) -> bool {
    let version = decided.generation - 1;
    decided.verdict.after_ms == Some(version + 1) && decided.verdict.reason == Some(version.to_string())
}

/// The memory of this process, in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
