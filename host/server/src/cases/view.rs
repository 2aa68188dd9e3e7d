//! The windows and limits that a policy reads in a test case or a replay.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_core::units::parse_duration;
use tidegate_core::{HostView, LimitStatus, Stats};

/// A view with fixed windows and limits, from a case file or a decision log.
pub struct FixedView {
    windows: BTreeMap<Duration, Stats>,
    limits: BTreeMap<String, LimitStatus>,
    /// The statistics of all other windows. For an alert condition, these are the statistics of its own window.
    default_window: Stats,
    /// Whether a policy has read a window or limit that this view does not contain.
    missing_read: AtomicBool,
}

impl FixedView {
    /// Creates a view with these windows, by range, and these limits, by name.
    ///
    /// # Errors
    /// Returns an error if a range is not a valid duration.
    pub fn new(
        windows: BTreeMap<String, Stats>,
        limits: BTreeMap<String, LimitStatus>,
        default_window: Stats,
    ) -> Result<Self, String> {
        let parsed = windows
            .into_iter()
            .map(|(name, stats)| Ok((parse_duration(&name).map_err(|error| error.to_string())?, stats)));
        let windows = parsed.collect::<Result<_, String>>().map_err(|error| format!("windows: {error}"))?;
        Ok(Self { windows, limits, default_window, missing_read: AtomicBool::new(false) })
    }

    /// Returns whether a policy has read a window or limit that this view does not contain.
    pub fn has_missing_read(&self) -> bool {
        self.missing_read.load(Ordering::Relaxed)
    }

    /// Returns `value`. Records a missing read if there is none.
    fn note_missing<T>(&self, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.missing_read.store(true, Ordering::Relaxed);
        }
        value
    }
}

impl HostView for FixedView {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        self.note_missing(self.windows.get(&range)).unwrap_or(&self.default_window).clone()
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        self.note_missing(self.limits.get(name)).copied()
    }
}
