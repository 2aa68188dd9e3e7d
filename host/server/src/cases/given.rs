//! What a policy finds where it looks beyond its input.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate::core::units::{parse_duration, show_duration};
use tidegate::core::{LimitState, Stats, View};

/// Windows and limits as somebody, or the decision log, wrote them down.
pub struct Given {
    windows: BTreeMap<Duration, Stats>,
    limits: BTreeMap<String, LimitState>,
    /// What windows show that are not given: those of a condition are as the rule's own.
    otherwise: Stats,
    /// Whether a policy looked at something else.
    beyond: AtomicBool,
}

impl Given {
    /// These windows, by their range, and these limits, by name.
    ///
    /// # Errors
    /// Where a range is no duration.
    pub fn new(
        windows: BTreeMap<String, Stats>,
        limits: BTreeMap<String, LimitState>,
        otherwise: Stats,
    ) -> Result<Self, String> {
        let named = windows.into_iter().map(|(name, stats)| Ok((parse_duration(&name)?, stats)));
        let windows = named
            .collect::<Result<_, String>>()
            .map_err(|error| format!("windows: {error}, as in {:?}", show_duration(Duration::from_secs(3_600))))?;
        Ok(Self { windows, limits, otherwise, beyond: AtomicBool::new(false) })
    }

    /// Whether a policy looked at what was not given.
    pub fn was_beyond(&self) -> bool {
        self.beyond.load(Ordering::Relaxed)
    }

    fn found<T>(&self, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.beyond.store(true, Ordering::Relaxed);
        }
        found
    }
}

impl View for Given {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        self.found(self.windows.get(&range)).unwrap_or(&self.otherwise).clone()
    }

    fn limit(&self, name: &str) -> Option<LimitState> {
        self.found(self.limits.get(name)).copied()
    }
}
