//! What a policy looked at besides its input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::units::show_duration;
use tidegate_core::{LimitState, Stats, View};

/// The most windows, and the most limits, that are noted of one decision: a policy may ask for any number of them.
const MAX_LOOKS: usize = 32;

/// Passes a policy's looks on and notes what they showed.
pub struct Witness {
    view: Arc<dyn View>,
    looked: Mutex<Looked>,
}

/// The windows and limits that a policy looked at, as cases name them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Looked {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    windows: BTreeMap<String, Stats>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<String, LimitState>,
}

impl Witness {
    pub fn new(view: &Arc<dyn View>) -> Self {
        Self { view: Arc::clone(view), looked: Mutex::default() }
    }

    /// What was noted.
    pub fn looked(&self) -> Looked {
        std::mem::take(&mut *self.looked.lock())
    }
}

impl View for Witness {
    fn window(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Stats {
        let stats = self.view.window(platform, endpoint, range);
        note(&mut self.looked.lock().windows, || show_duration(range), &stats);
        stats
    }

    fn limit(&self, name: &str) -> Option<LimitState> {
        let state = self.view.limit(name)?;
        note(&mut self.looked.lock().limits, || name.to_owned(), &state);
        Some(state)
    }
}

/// Keeps what the first look showed.
fn note<T: Clone>(looks: &mut BTreeMap<String, T>, name: impl FnOnce() -> String, shown: &T) {
    if looks.len() < MAX_LOOKS {
        looks.entry(name()).or_insert_with(|| shown.clone());
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::Windows;

    use super::*;

    #[test]
    fn the_first_look_at_each_window_is_noted_and_there_is_an_end_to_it() {
        let view: Arc<dyn View> =
            Arc::new(Windows(|range: Duration| Stats { count: range.as_secs(), ..Stats::default() }));
        let witness = Witness::new(&view);
        for minutes in [60, 5, 60] {
            assert_eq!(witness.window("jd", None, Duration::from_secs(60 * minutes)).count, 60 * minutes);
        }
        assert_eq!(witness.limit("jd"), None);
        let looked = witness.looked();
        let counts: Vec<_> = looked.windows.iter().map(|(name, stats)| (name.as_str(), stats.count)).collect();
        assert_eq!((counts, looked.limits.len()), (vec![("1h", 3_600), ("5m", 300)], 0));
        for seconds in 1..1_000 {
            witness.window("jd", None, Duration::from_secs(seconds));
        }
        assert_eq!(witness.looked().windows.len(), MAX_LOOKS);
    }
}
