//! Measures the reload time of a policy that is edited while callers evaluate it, and counts wrong verdicts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tidegate_core::{Failure, Verdict};
use tidegate_policy::{Generations, Policies, PolicyDecision};

use super::measure::percentile;
use crate::command::{UsageError, config_file, configuration};

/// The platform whose retry policy is edited.
const PLATFORM: &str = "edited";
/// The maximum time from saving an edit until it is active.
const ACTIVATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The options of `tidegate bench reload`.
#[derive(Args)]
pub struct Reload {
    /// The number of edits.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    edits: u64,
    /// Edit this Wasm component instead of a script. Each edit adds a custom section, so that its bytes differ.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Reload directly after each edit, instead of waiting for the file watcher.
    ///
    /// This measures the cost of a reload without the watcher's delay. With many edits, it shows whether reloads leak
    /// memory.
    #[arg(long)]
    no_watch: bool,
    /// The number of threads that evaluate the policy [default: the number of CPU cores].
    #[arg(long, value_name = "COUNT")]
    callers: Option<usize>,
}

/// What the callers have counted.
#[derive(Default)]
struct CallerCounts {
    stop: AtomicBool,
    verdicts: AtomicU64,
    /// Verdicts whose fields come from two versions, or from an earlier generation than the verdict before.
    mixed: AtomicU64,
    /// Verdicts that no version of the policy returned.
    dropped: AtomicU64,
}

impl Reload {
    /// Edits the policy and measures each reload.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written, or if an edit does not become active in time.
    pub fn measure(&self) -> Result<Value, UsageError> {
        let failed = |error: std::io::Error| UsageError(error.to_string());
        let dir = tempfile::tempdir().map_err(failed)?;
        fs::create_dir(dir.path().join("retry")).map_err(failed)?;
        let component = self.component.as_ref().map(fs::read).transpose().map_err(failed)?;
        let name = format!("{PLATFORM}.{}", if component.is_some() { "wasm" } else { "rhai" });
        let edited = EditedPolicy { dir: dir.path().to_owned(), name, component };
        edited.save(0).map_err(failed)?;
        let mut config = configuration(config_file(None).as_ref())?.policies;
        config.dir = dir.path().to_owned();
        // Do not fill the configured cache with components that are never loaded again.
        config.cache = None;
        let policies = Policies::open(&config);
        let _watch = if self.no_watch { None } else { Some(policies.watch().map_err(failed)?) };
        let callers = self.callers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let counts = CallerCounts::default();
        let measured = thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| evaluate_until_stopped(&policies, &counts, edited.component.is_none()));
            }
            let measured = self.measure_edits(&policies, &edited);
            counts.stop.store(true, Ordering::Relaxed);
            measured
        });
        let (mut reload_ms, resident_after_tenth) = measured?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(json!({
            "edits": self.edits,
            "callers": callers,
            "verdicts": count(&counts.verdicts),
            "p50_ms": percentile(&mut reload_ms, 0.50),
            "p99_ms": percentile(&mut reload_ms, 0.99),
            "mixed": count(&counts.mixed),
            "dropped": count(&counts.dropped),
            "last_fault": policies.status().into_iter().find_map(|status| status.last_fault),
            "resident_kib": { "after_tenth": resident_after_tenth, "at_end": resident_kib() },
        }))
    }

    /// Returns the time of each reload in milliseconds, and the resident memory after the first tenth of the edits.
    fn measure_edits(&self, policies: &Arc<Policies>, edited: &EditedPolicy) -> Result<(Vec<f64>, u64), UsageError> {
        let generations = policies.subscribe();
        // Write to all of the buffer now, so that only reloads change the resident memory later.
        let (mut reload_ms, mut resident) = (vec![f64::NAN; usize::try_from(self.edits).unwrap_or_default()], 0);
        reload_ms.clear();
        for number in 1..=self.edits {
            let saved_at = Instant::now();
            edited.save(number).map_err(|error| UsageError(error.to_string()))?;
            if self.no_watch {
                policies.reload();
            }
            wait_until_active(&generations, number)?;
            reload_ms.push(saved_at.elapsed().as_secs_f64() * 1e3);
            if number == self.edits.div_ceil(10) {
                resident = resident_kib();
            }
        }
        Ok((reload_ms, resident))
    }
}

/// The policy that is edited.
struct EditedPolicy {
    dir: PathBuf,
    name: String,
    component: Option<Vec<u8>>,
}

impl EditedPolicy {
    /// Saves version `number` as editors do: writes a temporary file and renames it over the policy.
    fn save(&self, number: u64) -> std::io::Result<()> {
        let bytes = match &self.component {
            Some(component) => with_unique_section(component, number),
            None => format!("retry(\"transient\", {number} + 1, \"{number}\")").into_bytes(),
        };
        let temporary = self.dir.join("saving");
        fs::write(&temporary, bytes)?;
        fs::rename(temporary, self.dir.join("retry").join(&self.name))
    }
}

/// Returns the component with one more custom section, which has no effect except that it changes the hash.
pub fn with_unique_section(component: &[u8], number: u64) -> Vec<u8> {
    let content = format!("{number:020}");
    // The section contains the length of its name, its name, and the content: 1 + 4 + 20 bytes.
    [component, &[0, 25, 4], b"note", content.as_bytes()].concat()
}

/// Waits until edit `number` is active. The directory has generation 1 before the first edit.
fn wait_until_active(generations: &Generations, number: u64) -> Result<(), UsageError> {
    loop {
        let generation = generations.next_within(ACTIVATION_TIMEOUT);
        let generation = generation.ok_or_else(|| {
            UsageError(format!("edit {number} is not active {} s after saving it", ACTIVATION_TIMEOUT.as_secs()))
        })?;
        let mut errors = generation.status().into_iter().filter_map(|status| status.stale);
        // On a slow machine, a reload may return before the compilation is done; another generation follows.
        if let Some(error) = errors.find(|error| !error.contains("still compiling")) {
            return Err(UsageError(error));
        }
        if generation.number() > number {
            return Ok(());
        }
    }
}

/// Evaluates the policy until `stop` is set, and checks every verdict.
fn evaluate_until_stopped(policies: &Policies, counts: &CallerCounts, is_script: bool) {
    let failure = Failure::default().with_platform(PLATFORM).with_code("52101");
    let mut last = 0;
    while !counts.stop.load(Ordering::Relaxed) {
        let decision = policies.classify(&failure);
        counts.verdicts.fetch_add(1, Ordering::Relaxed);
        if !decision.policy.starts_with("retry/") {
            counts.dropped.fetch_add(1, Ordering::Relaxed);
        } else if decision.generation < last || is_script && !is_consistent(&decision) {
            counts.mixed.fetch_add(1, Ordering::Relaxed);
        }
        last = decision.generation;
    }
}

/// Returns whether generation, wait and reason come from the same version.
fn is_consistent(decision: &PolicyDecision<Verdict>) -> bool {
    let version = decision.generation - 1;
    decision.verdict.after_ms == Some(version + 1) && decision.verdict.reason == Some(version.to_string())
}

/// Returns the resident memory of this process in KiB, or 0 on systems without `/proc`.
fn resident_kib() -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
