//! Records what a policy reads besides its input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::units::format_duration;
use tidegate_core::{HostView, LimitStatus, Stats};

/// The maximum number of windows, and of limits, that are recorded for one decision. A policy may read any number.
const MAX_READS: usize = 32;

/// A view that records what a policy reads from it.
pub struct RecordingView {
    view: Arc<dyn HostView>,
    reads: Mutex<ViewReads>,
}

/// The windows and limits that a policy read, with the same field names as in case files.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ViewReads {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    windows: BTreeMap<String, Stats>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<String, LimitStatus>,
}

impl RecordingView {
    pub fn new(view: &Arc<dyn HostView>) -> Self {
        Self { view: Arc::clone(view), reads: Mutex::default() }
    }

    /// Takes the recorded reads.
    pub fn take_reads(&self) -> ViewReads {
        std::mem::take(&mut *self.reads.lock())
    }
}

impl HostView for RecordingView {
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        let stats = self.view.window(platform, endpoint, range);
        record(&mut self.reads.lock().windows, || format_duration(range), &stats);
        stats
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        let state = self.view.limit(name)?;
        record(&mut self.reads.lock().limits, || name.to_owned(), &state);
        Some(state)
    }
}

/// Records the value of the first read of a name.
fn record<T: Clone>(reads: &mut BTreeMap<String, T>, name: impl FnOnce() -> String, value: &T) {
    if reads.len() < MAX_READS {
        reads.entry(name()).or_insert_with(|| value.clone());
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::FnHostView;

    use super::*;

    #[test]
    fn first_read_of_each_window_is_recorded_up_to_the_maximum() {
        let host: Arc<dyn HostView> = Arc::new(FnHostView(|range: Duration| {
            let mut stats = Stats::default();
            stats.count = range.as_secs();
            stats
        }));
        let view = RecordingView::new(&host);
        for minutes in [60, 5, 60] {
            assert_eq!(view.window("jd", None, Duration::from_secs(60 * minutes)).count, 60 * minutes);
        }
        assert_eq!(view.limit("jd"), None);
        let reads = view.take_reads();
        let counts: Vec<_> = reads.windows.iter().map(|(name, stats)| (name.as_str(), stats.count)).collect();
        assert_eq!((counts, reads.limits.len()), (vec![("1h", 3_600), ("5m", 300)], 0));
        for seconds in 1..1_000 {
            view.window("jd", None, Duration::from_secs(seconds));
        }
        assert_eq!(view.take_reads().windows.len(), MAX_READS);
    }
}
