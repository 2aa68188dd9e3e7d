//! The counts of one endpoint: two open minutes that anyone adds to without a lock, and what has been settled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::micros;
use tidegate_core::{Outcome, sketch};

use tidegate_core::window::{Grain, Span, Window};

/// No call is counted as longer: a sum of such durations does not overflow before 200 million of them.
const LONGEST: Duration = Duration::from_secs(86_400);

/// One endpoint's counts.
///
/// A minute is added to in one of two cells by its parity, so a minute that begins never waits for the one that
/// ended. A cell is emptied by taking what each counter holds, so nothing is counted twice or lost; a thread that
/// slept through a whole minute between choosing its cell and adding to it counts in the minute when it woke.
pub struct Series {
    open: [Cell; 2],
    settled: Mutex<Settled>,
}

struct Cell {
    minute: AtomicU64,
    success: AtomicU64,
    errors: AtomicU64,
    limited: AtomicU64,
    total_us: AtomicU64,
    buckets: [AtomicU32; sketch::INDEXES],
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            minute: AtomicU64::new(0),
            success: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            total_us: AtomicU64::new(0),
            buckets: [const { AtomicU32::new(0) }; sketch::INDEXES],
        }
    }
}

impl Cell {
    fn add(&self, outcome: Outcome, duration: Duration) {
        let counter = match outcome {
            Outcome::Success => &self.success,
            Outcome::Error => &self.errors,
            Outcome::Limited => &self.limited,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Limited {
            self.total_us.fetch_add(micros(duration.min(LONGEST)), Ordering::Relaxed);
            self.buckets[usize::from(sketch::index(duration))].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Window {
        let mut window = Window {
            success: self.success.swap(0, Ordering::Relaxed),
            errors: self.errors.swap(0, Ordering::Relaxed),
            limited: self.limited.swap(0, Ordering::Relaxed),
            total_us: self.total_us.swap(0, Ordering::Relaxed),
            ..Window::default()
        };
        for (index, bucket) in (0u16..).zip(&self.buckets) {
            window.sketch.add(index, bucket.swap(0, Ordering::Relaxed).into());
        }
        window
    }
}

/// What was taken out of the cells.
#[derive(Default)]
struct Settled {
    /// Windows by their beginning, in milliseconds since 1970, for each grain.
    kept: [BTreeMap<u64, Window>; 3],
    ever: Window,
    /// What nobody has been told yet, where somebody is to be told.
    untold: Option<Window>,
}

impl Settled {
    fn add(&mut self, minute: u64, window: &Window) {
        let at_ms = minute * Grain::Minute.millis();
        self.ever.merge(window);
        if let Some(untold) = &mut self.untold {
            untold.merge(window);
        }
        for (grain, kept) in Grain::ALL.into_iter().zip(&mut self.kept) {
            let start = at_ms / grain.millis() * grain.millis();
            kept.entry(start).or_default().merge(window);
        }
    }

    fn forget(&mut self, now_ms: u64) {
        for (grain, kept) in Grain::ALL.into_iter().zip(&mut self.kept) {
            let oldest = (now_ms / grain.millis()).saturating_sub(grain.kept()) * grain.millis();
            if kept.first_key_value().is_some_and(|(start, _)| *start < oldest) {
                *kept = kept.split_off(&oldest);
            }
        }
    }
}

impl Series {
    /// Nothing counted yet; `told` where somebody takes what was counted to others.
    pub fn new(told: bool) -> Self {
        let settled = Settled { untold: told.then(Window::default), ..Settled::default() };
        Self { open: Default::default(), settled: Mutex::new(settled) }
    }

    /// Counts one call at this time.
    pub fn record(&self, outcome: Outcome, duration: Duration, unix_ms: u64) {
        let minute = unix_ms / Grain::Minute.millis();
        let cell = &self.open[usize::from(minute % 2 == 1)];
        if cell.minute.load(Ordering::Acquire) != minute {
            self.turn(minute, unix_ms);
        }
        cell.add(outcome, duration);
    }

    /// Adds to `total` what was counted in `span`.
    pub fn add_to(&self, total: &mut Window, span: Span, now_ms: u64) {
        let mut settled = self.settled.lock();
        self.settle(&mut settled, now_ms);
        let kept = &settled.kept[span.grain as usize];
        kept.range(span.from_ms..=span.to_ms).for_each(|(_, window)| total.merge(window));
    }

    /// What was counted since this was last asked.
    pub fn untold(&self, now_ms: u64) -> Window {
        let mut settled = self.settled.lock();
        self.settle(&mut settled, now_ms);
        settled.untold.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All that was ever counted.
    pub fn ever(&self, now_ms: u64) -> Window {
        let mut settled = self.settled.lock();
        self.settle(&mut settled, now_ms);
        settled.ever.clone()
    }

    /// Opens the cell of a new minute.
    fn turn(&self, minute: u64, now_ms: u64) {
        let mut settled = self.settled.lock();
        let cell = &self.open[usize::from(minute % 2 == 1)];
        if cell.minute.load(Ordering::Acquire) < minute {
            self.settle(&mut settled, now_ms);
            cell.minute.store(minute, Ordering::Release);
        }
    }

    fn settle(&self, settled: &mut Settled, now_ms: u64) {
        for cell in &self.open {
            let window = cell.take();
            if !window.is_empty() {
                settled.add(cell.minute.load(Ordering::Acquire), &window);
            }
        }
        settled.forget(now_ms);
    }
}
