//! What a policy finds where it looks beyond its input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate::core::units::{parse_duration, show_duration};
use tidegate::core::{LimitState, Stats, View};

/// Windows and limits as somebody wrote them down.
struct Given {
    windows: BTreeMap<Duration, Stats>,
    limits: BTreeMap<String, LimitState>,
    /// What windows show that are not given.
    otherwise: Stats,
}

/// The view of these windows, by their range, and of these limits, by name.
///
/// # Errors
/// Where a range is no duration.
pub fn view(
    windows: &BTreeMap<String, Stats>,
    limits: &BTreeMap<String, LimitState>,
    otherwise: Stats,
) -> Result<Arc<dyn View>, String> {
    let named = windows.iter().map(|(name, stats)| Ok((parse_duration(name)?, stats.clone())));
    let windows = named
        .collect::<Result<_, String>>()
        .map_err(|error| format!("windows: {error}, as in {:?}", show_duration(Duration::from_secs(3_600))))?;
    Ok(Arc::new(Given { windows, limits: limits.clone(), otherwise }))
}

impl View for Given {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        self.windows.get(&range).unwrap_or(&self.otherwise).clone()
    }

    fn limit(&self, name: &str) -> Option<LimitState> {
        self.limits.get(name).copied()
    }
}
