//! The counts of one endpoint: two cells that are updated without a lock, and the totals of past minutes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::micros;
use tidegate_core::{Outcome, sketch};

use tidegate_core::window::{Resolution, Span, Window};

/// The maximum recorded duration: a sum of such durations overflows only after 200 million of them.
const MAX_DURATION: Duration = Duration::from_secs(86_400);

/// One endpoint's counts.
///
/// Even and odd minutes use different cells, so a new minute does not wait until the previous one is drained. Draining
/// swaps each counter with 0, so no call is lost or counted twice. If a thread is suspended for a whole minute between
/// choosing its cell and adding to it, its call is counted in the minute in which the thread continues.
pub struct Series {
    cells: [MinuteCell; 2],
    history: Mutex<History>,
}

struct MinuteCell {
    minute: AtomicU64,
    success: AtomicU64,
    errors: AtomicU64,
    limited: AtomicU64,
    total_us: AtomicU64,
    buckets: [AtomicU32; sketch::INDEX_COUNT],
}

impl Default for MinuteCell {
    fn default() -> Self {
        Self {
            minute: AtomicU64::new(0),
            success: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            total_us: AtomicU64::new(0),
            buckets: [const { AtomicU32::new(0) }; sketch::INDEX_COUNT],
        }
    }
}

impl MinuteCell {
    fn add(&self, outcome: Outcome, duration: Duration) {
        let counter = match outcome {
            Outcome::Success => &self.success,
            Outcome::Limited => &self.limited,
            Outcome::Error => &self.errors,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Limited {
            self.total_us.fetch_add(micros(duration.min(MAX_DURATION)), Ordering::Relaxed);
            self.buckets[usize::from(sketch::index(duration))].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn drain(&self) -> Window {
        let mut window = Window::default();
        window.success = self.success.swap(0, Ordering::Relaxed);
        window.errors = self.errors.swap(0, Ordering::Relaxed);
        window.limited = self.limited.swap(0, Ordering::Relaxed);
        window.total_us = self.total_us.swap(0, Ordering::Relaxed);
        for (index, bucket) in (0u16..).zip(&self.buckets) {
            window.sketch.add(index, bucket.swap(0, Ordering::Relaxed).into());
        }
        window
    }
}

/// The counts that were drained from the cells.
#[derive(Default)]
struct History {
    /// For each resolution, the windows by their start in milliseconds since 1970.
    windows: [BTreeMap<u64, Window>; 3],
    total: Window,
    /// The counts that were not exported yet; `None` if there is no export.
    pending: Option<Window>,
}

impl History {
    fn add(&mut self, minute: u64, window: &Window) {
        let at_ms = minute * Resolution::Minute.millis();
        self.total.merge(window);
        if let Some(pending) = &mut self.pending {
            pending.merge(window);
        }
        for (resolution, windows) in Resolution::ALL.iter().zip(&mut self.windows) {
            let start = at_ms / resolution.millis() * resolution.millis();
            windows.entry(start).or_default().merge(window);
        }
    }

    fn expire(&mut self, now_ms: u64) {
        for (resolution, windows) in Resolution::ALL.iter().zip(&mut self.windows) {
            let oldest = (now_ms / resolution.millis()).saturating_sub(resolution.max_windows()) * resolution.millis();
            if windows.first_key_value().is_some_and(|(start, _)| *start < oldest) {
                *windows = windows.split_off(&oldest);
            }
        }
    }
}

impl Series {
    /// Creates an empty series. With `export` it keeps counts for [`Self::take_pending`].
    pub fn new(export: bool) -> Self {
        let history = History { pending: export.then(Window::default), ..History::default() };
        Self { cells: Default::default(), history: Mutex::new(history) }
    }

    /// Records one call.
    pub fn record(&self, outcome: Outcome, duration: Duration, unix_ms: u64) {
        let minute = unix_ms / Resolution::Minute.millis();
        let cell = &self.cells[usize::from(minute % 2 == 1)];
        if cell.minute.load(Ordering::Acquire) != minute {
            self.start_minute(minute, unix_ms);
        }
        cell.add(outcome, duration);
    }

    /// Adds the counts of `span` to `total`.
    pub fn add_to(&self, total: &mut Window, span: Span, now_ms: u64) {
        let mut history = self.history.lock();
        self.drain_cells(&mut history, now_ms);
        let windows = &history.windows[span.resolution as usize];
        windows.range(span.from_ms..=span.to_ms).for_each(|(_, window)| total.merge(window));
    }

    /// Returns the counts since the previous call of this method.
    pub fn take_pending(&self, now_ms: u64) -> Window {
        let mut history = self.history.lock();
        self.drain_cells(&mut history, now_ms);
        history.pending.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns the counts since the start of the process.
    pub fn totals(&self, now_ms: u64) -> Window {
        let mut history = self.history.lock();
        self.drain_cells(&mut history, now_ms);
        history.total.clone()
    }

    /// Drains the cells and assigns one of them to a new minute.
    fn start_minute(&self, minute: u64, now_ms: u64) {
        let mut history = self.history.lock();
        let cell = &self.cells[usize::from(minute % 2 == 1)];
        if cell.minute.load(Ordering::Acquire) < minute {
            self.drain_cells(&mut history, now_ms);
            cell.minute.store(minute, Ordering::Release);
        }
    }

    fn drain_cells(&self, history: &mut History, now_ms: u64) {
        for cell in &self.cells {
            let window = cell.drain();
            if !window.is_empty() {
                history.add(cell.minute.load(Ordering::Acquire), &window);
            }
        }
        history.expire(now_ms);
    }
}
