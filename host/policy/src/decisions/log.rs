//! The queue of the decision log, and the decisions on their way into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tidegate_core::clock::micros;
use tidegate_core::config::DecisionsConfig;
use tidegate_core::{Clock, HostView};

use super::counts::{DecisionsStatus, LogCounts};
use super::record::{DecisionRecord, LoggedDecision, PolicyId};
use super::recording_view::RecordingView;
use super::writer::LogWriter;

/// The maximum number of decisions that wait for the writer. Usually they take a few megabytes; with the bodies of
/// responses at most 64 MiB.
const QUEUE_CAPACITY: usize = 1_024;
/// How long to wait until the queued decisions are written. A disk that hangs must not block the process for longer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The decision log of one registry. It survives reloads, and can be enabled and disabled.
pub struct DecisionLog {
    /// Whether the log is enabled. While it is disabled, reading this flag is its only cost.
    is_enabled: AtomicBool,
    log: ArcSwapOption<ActiveLog>,
    counts: Arc<LogCounts>,
    clock: Arc<dyn Clock>,
    /// Disconnects when the writer thread ends.
    writer_ended: Mutex<Option<Receiver<()>>>,
}

/// An enabled log.
struct ActiveLog {
    config: DecisionsConfig,
    queue: SyncSender<DecisionRecord>,
    /// The number of decisions, logged or not.
    decisions: AtomicU64,
    counts: Arc<LogCounts>,
    clock: Arc<dyn Clock>,
}

/// A decision that is being made while the log is enabled.
pub struct PendingDecision {
    log: Arc<ActiveLog>,
    view: Arc<RecordingView>,
    is_sampled: bool,
    at_ms: u64,
    /// The start of the evaluation, whose duration is measured with the system's clock.
    started_at: Instant,
}

impl DecisionLog {
    /// Creates a log that is disabled.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            is_enabled: AtomicBool::new(false),
            log: ArcSwapOption::empty(),
            counts: Arc::default(),
            clock,
            writer_ended: Mutex::default(),
        }
    }

    /// Applies the configuration to all further decisions. First it waits, at most 2 s, until earlier ones are written.
    pub fn configure(&self, config: &DecisionsConfig) {
        let mut writer_ended = self.writer_ended.lock();
        self.is_enabled.store(false, Ordering::Relaxed);
        // The queue closes when the last decision in progress is queued, and the writer ends with the queue.
        self.log.store(None);
        let last = writer_ended.take().map(|ended| ended.recv_timeout(FLUSH_TIMEOUT));
        if last == Some(Err(RecvTimeoutError::Timeout)) {
            tracing::warn!(timeout = ?FLUSH_TIMEOUT, "decision log not flushed in time");
        }
        *self.counts.error.lock() = None;
        let Some(file) = config.file.clone() else { return };
        let (queue, records) = sync_channel(QUEUE_CAPACITY);
        let (alive, ended) = mpsc::channel();
        let writer = LogWriter::new(file, config.max_size, Arc::clone(&self.counts), Arc::clone(&self.clock));
        let write = move || {
            let _alive = alive; // dropped when the thread ends, even by a panic
            writer.run(&records);
        };
        if let Err(error) = thread::Builder::new().name("tidegate-decisions".to_owned()).spawn(write) {
            return tracing::error!(%error, "cannot start the thread that writes the decision log");
        }
        *writer_ended = Some(ended);
        let (decisions, counts, clock) = (AtomicU64::new(0), Arc::clone(&self.counts), Arc::clone(&self.clock));
        self.log.store(Some(Arc::new(ActiveLog { config: config.clone(), queue, decisions, counts, clock })));
        self.is_enabled.store(true, Ordering::Relaxed);
    }

    /// Returns the status of the log.
    pub fn status(&self) -> DecisionsStatus {
        DecisionsStatus {
            file: self.log.load().as_ref().and_then(|log| log.config.file.clone()),
            written: self.counts.written.load(Ordering::Relaxed),
            dropped: self.counts.dropped.load(Ordering::Relaxed),
            error: self.counts.error.lock().clone(),
        }
    }

    /// Starts a decision. Returns `None` if the log is disabled.
    #[inline]
    pub fn start(&self, view: &Arc<dyn HostView>) -> Option<PendingDecision> {
        if !self.is_enabled.load(Ordering::Relaxed) {
            return None;
        }
        self.log.load_full().map(|log| log.start(view))
    }
}

impl Drop for DecisionLog {
    fn drop(&mut self) {
        self.log.store(None);
        if let Some(ended) = self.writer_ended.get_mut().take() {
            let _ = ended.recv_timeout(FLUSH_TIMEOUT); // a process that exits must not wait forever
        }
    }
}

impl ActiveLog {
    fn start(self: Arc<Self>, view: &Arc<dyn HostView>) -> PendingDecision {
        let number = self.decisions.fetch_add(1, Ordering::Relaxed);
        let is_sampled = sample_value(number) < self.config.sample_rate;
        let (at_ms, view) = (self.clock.unix_ms(), Arc::new(RecordingView::new(view)));
        PendingDecision { view, log: self, is_sampled, at_ms, started_at: Instant::now() }
    }

    fn enqueue(&self, record: DecisionRecord) {
        if self.queue.try_send(record).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl PendingDecision {
    /// Returns the view for the policy. What the policy reads from it is logged too.
    pub fn view(&self) -> Arc<dyn HostView> {
        Arc::clone(&self.view) as _
    }

    /// Queues the decision if it is sampled or a fault. `decision` is called only then.
    pub fn finish(self, id: &PolicyId, is_fault: bool, decision: impl FnOnce() -> LoggedDecision) {
        let elapsed = self.started_at.elapsed();
        if !self.is_sampled && !is_fault {
            return;
        }
        let took_ns = u64::try_from(elapsed.as_nanos()).unwrap_or_else(|_| micros(elapsed).saturating_mul(1_000));
        let (id, reads) = (id.clone(), self.view.take_reads());
        self.log.enqueue(DecisionRecord { at_ms: self.at_ms, id, decision: decision(), reads, took_ns });
    }
}

/// Returns a pseudorandom number from 0 (included) to 1 (excluded) for a count. Taking every nth decision instead would
/// give a biased sample of traffic that repeats.
///
/// Source: G. Steele, D. Lea, C. Flood, *Fast Splittable Pseudorandom Number Generators* (2014), the mixing of
/// SplitMix64.
#[allow(clippy::cast_precision_loss, reason = "53 bits fit a double")]
fn sample_value(count: u64) -> f64 {
    let mut mixed = count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use tidegate_core::{Failure, FnHostView, Stats, Verdict};

    use super::*;
    use crate::clock::SystemClock;

    fn view() -> Arc<dyn HostView> {
        Arc::new(FnHostView(|_| Stats::default()))
    }

    fn decision() -> LoggedDecision {
        LoggedDecision::Retry(Failure::default(), Ok(Verdict::abstain()))
    }

    fn policy_id() -> PolicyId {
        PolicyId { path: "retry/x.rhai".into(), rule: None, generation: 1 }
    }

    fn log(sample_rate: f64, capacity: usize) -> (Arc<ActiveLog>, Receiver<DecisionRecord>) {
        let (queue, records) = sync_channel(capacity);
        let config = DecisionsConfig::off().with_sample_rate(sample_rate);
        let (decisions, counts, clock) = (AtomicU64::new(0), Arc::default(), Arc::new(SystemClock::new()));
        (Arc::new(ActiveLog { config, queue, decisions, counts, clock }), records)
    }

    #[test]
    fn full_queue_drops_decisions_and_counts_them() {
        let (log, records) = log(1.0, 2);
        for _ in 0..5 {
            Arc::clone(&log).start(&view()).finish(&policy_id(), false, decision);
        }
        assert_eq!(log.counts.dropped.load(Ordering::Relaxed), 3);
        assert_eq!(records.try_iter().count(), 2);
        Arc::clone(&log).start(&view()).finish(&policy_id(), false, decision);
        assert_eq!(
            (records.try_iter().count(), log.counts.dropped.load(Ordering::Relaxed)),
            (1, 3),
            "the queue has room again"
        );
    }

    #[test]
    fn decisions_that_are_not_sampled_are_not_built() {
        let (log, records) = log(0.0, 2);
        log.start(&view()).finish(&policy_id(), false, || panic!("the input was copied although it is not logged"));
        assert_eq!(records.try_iter().count(), 0);
    }

    #[test]
    fn sample_values_are_uniform_for_every_step() {
        let below = |sample: f64, step: usize| (0..20_000).step_by(step).filter(|n| sample_value(*n) < sample).count();
        assert_eq!((below(0.0, 1), below(1.0, 1)), (0, 20_000));
        for (sample, expected) in [(0.01, 200), (0.5, 10_000), (0.9, 18_000)] {
            assert!(below(sample, 1).abs_diff(expected) < 300, "{sample}");
            assert!(below(sample, 2).abs_diff(expected / 2) < 300, "{sample}");
        }
    }

    #[test]
    fn log_without_a_file_is_disabled() {
        let decision_log = DecisionLog::new(Arc::new(SystemClock::new()));
        assert!(decision_log.start(&view()).is_none());
        decision_log.configure(&DecisionsConfig::off());
        assert!(decision_log.start(&view()).is_none());
    }
}
