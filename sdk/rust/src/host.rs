//! What a policy may ask of its host. Outside of a host nobody answers: for tests, keep the judgement in a function
//! that takes what it needs.

use std::time::Duration;

use crate::bindings::host::tidegate::policy::{limits, log, metrics};
use crate::{Level, LimitState, Stats};

/// The figures of the platform (in an alert, of the snapshot's scope) over the last `range`, widened to whole minutes,
/// hours or days.
///
/// # Panics
/// Outside of a host.
#[must_use]
pub fn window(range: Duration) -> Stats {
    metrics::window(u64::try_from(range.as_millis()).unwrap_or(u64::MAX))
}

/// The limit of that name as the host last heard of it, if there is one.
///
/// # Panics
/// Outside of a host.
#[must_use]
pub fn limit(name: &str) -> Option<LimitState> {
    limits::limit(name)
}

/// Has the host told where and why a policy panicked: a trap alone says neither.
#[doc(hidden)]
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|info| log(Level::Warn, &info.to_string().replace('\n', " "))));
}

/// A line in the host's log; 16 lines of 512 bytes a verdict are kept.
///
/// # Panics
/// Outside of a host.
pub fn log(level: Level, text: &str) {
    log::log(level, text);
}
