//! The decision log: what policies were asked and what they decided, a line of JSON each.
//!
//! Whoever asks a policy never waits for it: a decision is offered to a bounded queue, and a thread of its own writes.

pub mod mask;
mod record;
mod witness;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::View;
use tidegate_core::clock::{micros, millis};
use tidegate_core::config::DecisionsConfig;

use record::Record;
pub use record::{Author, Decision};
use witness::Witness;
use writer::Writer;

/// Decisions that wait for the writer at most: some megabytes of the usual ones.
const QUEUE: usize = 1_024;
/// How long to wait for what was decided to be written; a disk that hangs holds nobody up for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log of one set of policies; it survives their reloads and may be switched on and off.
#[derive(Default)]
pub struct Decisions {
    /// Whether there is a log: all that a decision costs without one.
    on: AtomicBool,
    log: ArcSwapOption<Log>,
    counts: Arc<Counts>,
    /// Hears the end of the thread that writes.
    ended: Mutex<Option<Receiver<()>>>,
}

/// Where decisions are offered.
struct Log {
    config: DecisionsConfig,
    queue: SyncSender<Record>,
    /// How many verdicts were given, written or not.
    given: AtomicU64,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// What became of the decision log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionsStatus {
    /// The file; without one nothing is written.
    pub file: Option<PathBuf>,
    /// Lines that were written since the start.
    pub written: u64,
    /// Lines that were lost, since the writer was too slow or the file could not be written.
    pub dropped: u64,
    /// Why nothing can be written now.
    pub trouble: Option<String>,
}

/// One decision that is to be written, while it is made.
pub struct Followed {
    log: Arc<Log>,
    witness: Arc<Witness>,
    chosen: bool,
    at_ms: u64,
    since: Instant,
}

impl Decisions {
    /// Writes from now on as the configuration says; what was decided before is written first, within 2 s.
    pub fn configure(&self, config: &DecisionsConfig) {
        let mut ended = self.ended.lock();
        self.on.store(false, Ordering::Relaxed);
        // The queue ends with the last decision that is being offered to it, and the writer with the queue.
        self.log.store(None);
        let last = ended.take().map(|ended| ended.recv_timeout(PATIENCE));
        if last == Some(Err(RecvTimeoutError::Timeout)) {
            tracing::warn!("the last decisions are not written yet");
        }
        *self.counts.trouble.lock() = None;
        let Some(file) = config.file.clone() else { return };
        let (queue, records) = sync_channel(QUEUE);
        let (alive, end) = mpsc::channel();
        let writer = Writer::new(file, config.max_size, Arc::clone(&self.counts));
        let write = move || {
            let _alive = alive; // it ends with the thread, however that ends
            writer.run(&records);
        };
        if let Err(error) = thread::Builder::new().name("tidegate-decisions".to_owned()).spawn(write) {
            return tracing::error!(%error, "no thread to write decisions on");
        }
        *ended = Some(end);
        let (given, counts) = (AtomicU64::new(0), Arc::clone(&self.counts));
        self.log.store(Some(Arc::new(Log { config: config.clone(), queue, given, counts })));
        self.on.store(true, Ordering::Relaxed);
    }

    /// What became of it.
    pub fn status(&self) -> DecisionsStatus {
        DecisionsStatus {
            file: self.log.load().as_ref().and_then(|log| log.config.file.clone()),
            written: self.counts.written.load(Ordering::Relaxed),
            dropped: self.counts.dropped.load(Ordering::Relaxed),
            trouble: self.counts.trouble.lock().clone(),
        }
    }

    /// Begins to follow a decision; `None` where there is no log.
    #[inline]
    pub fn follow(&self, view: &Arc<dyn View>) -> Option<Followed> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        self.log.load_full().map(|log| log.follow(view))
    }
}

impl Drop for Decisions {
    fn drop(&mut self) {
        self.log.store(None);
        if let Some(ended) = self.ended.get_mut().take() {
            let _ = ended.recv_timeout(PATIENCE); // whoever ends does not wait for ever
        }
    }
}

impl Log {
    fn follow(self: Arc<Self>, view: &Arc<dyn View>) -> Followed {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let chosen = share(number) < self.config.sample;
        let at_ms = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        Followed { witness: Arc::new(Witness::new(view)), log: self, chosen, at_ms, since: Instant::now() }
    }

    fn offer(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Followed {
    /// The view for the policy: what it looks at is written too.
    pub fn view(&self) -> Arc<dyn View> {
        Arc::clone(&self.witness) as _
    }

    /// Offers the decision to the writer, where it is one of those that are written; only then is it made.
    pub fn end(self, author: &Author, faulty: bool, decision: impl FnOnce() -> Decision) {
        let took = self.since.elapsed();
        if !self.chosen && !faulty {
            return;
        }
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or_else(|_| micros(took).saturating_mul(1_000));
        let (author, looked) = (author.clone(), self.witness.looked());
        self.log.offer(Record { at_ms: self.at_ms, author, decision: decision(), looked, took_ns });
    }
}

/// A number from 0 to 1, 1 excluded, that follows from a count and has no period with what is counted.
///
/// Source: G. Steele, D. Lea, C. Flood, *Fast Splittable Pseudorandom Number Generators* (2014), the mixing of SplitMix64.
#[allow(clippy::cast_precision_loss, reason = "53 bits fit a double")]
fn share(count: u64) -> f64 {
    let mut mixed = count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use tidegate_core::{Failure, Stats, Verdict, Windows};

    use super::*;

    fn view() -> Arc<dyn View> {
        Arc::new(Windows(|_| Stats::default()))
    }

    fn decision() -> Decision {
        Decision::Retry(Failure::default(), Ok(Verdict::abstain()))
    }

    fn author() -> Author {
        Author { path: "retry/x.rhai".into(), rule: None, generation: 1 }
    }

    fn log(sample: f64, room: usize) -> (Arc<Log>, Receiver<Record>) {
        let (queue, records) = sync_channel(room);
        let config = DecisionsConfig { file: None, sample, max_size: 1 };
        (Arc::new(Log { config, queue, given: AtomicU64::new(0), counts: Arc::default() }), records)
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_nobody_waits() {
        let (log, records) = log(1.0, 2);
        for _ in 0..5 {
            Arc::clone(&log).follow(&view()).end(&author(), false, decision);
        }
        assert_eq!(log.counts.dropped.load(Ordering::Relaxed), 3);
        assert_eq!(records.try_iter().count(), 2);
        Arc::clone(&log).follow(&view()).end(&author(), false, decision);
        assert_eq!(
            (records.try_iter().count(), log.counts.dropped.load(Ordering::Relaxed)),
            (1, 3),
            "there is room again"
        );
    }

    #[test]
    fn what_is_not_chosen_is_not_even_made() {
        let (log, records) = log(0.0, 2);
        log.follow(&view()).end(&author(), false, || panic!("an input was copied for nothing"));
        assert_eq!(records.try_iter().count(), 0);
    }

    #[test]
    fn shares_lie_from_0_to_1_and_every_other_one_is_no_different() {
        let below = |sample: f64, step: usize| (0..20_000).step_by(step).filter(|n| share(*n) < sample).count();
        assert_eq!((below(0.0, 1), below(1.0, 1)), (0, 20_000));
        for (sample, expected) in [(0.01, 200), (0.5, 10_000), (0.9, 18_000)] {
            assert!(below(sample, 1).abs_diff(expected) < 300, "{sample}");
            assert!(below(sample, 2).abs_diff(expected / 2) < 300, "{sample}");
        }
    }

    #[test]
    fn without_a_file_there_is_nothing_to_follow() {
        let decisions = Decisions::default();
        assert!(decisions.follow(&view()).is_none());
        decisions.configure(&DecisionsConfig::off());
        assert!(decisions.follow(&view()).is_none());
    }
}
