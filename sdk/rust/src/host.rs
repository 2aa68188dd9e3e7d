//! The functions of the host that a policy can call.
//!
//! They work only inside a host. To test a policy, move its logic into a function that takes the values it needs as
//! arguments.

use std::time::Duration;

use crate::__private::bindings::host::tidegate::policy::{limits, log, metrics};
use crate::__private::bindings::retry::tidegate::policy::response;
use crate::{Level, LimitStatus, Stats};

/// Returns the statistics of the last `range`, rounded up to whole minutes, hours or days.
///
/// They are those of the platform; in an alert condition, those of the platform or endpoint of the snapshot.
///
/// # Panics
/// Panics outside of a host.
#[must_use]
pub fn window(range: Duration) -> Stats {
    metrics::window(u64::try_from(range.as_millis()).unwrap_or(u64::MAX))
}

/// Returns the last known state of the limit `name`, or `None` if there is no such limit.
///
/// # Panics
/// Panics outside of a host.
#[must_use]
pub fn limit(name: &str) -> Option<LimitStatus> {
    limits::limit(name)
}

/// Returns the body of the platform's response: its first 64 KiB as text, or `None` if no response arrived. Only a
/// retry policy can call this function: the host rejects any other component that contains a call of it.
///
/// The host keeps the bodies of a platform's responses only if the platform's policy contains a call of this function.
/// Other policies cost nothing.
///
/// # Panics
/// Panics outside of a host.
#[must_use]
pub fn response_body() -> Option<String> {
    response::body()
}

/// Writes the message and the location of a panic to the host's log, because the trap itself contains neither.
#[doc(hidden)]
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| log(Level::Warn, &info.to_string().replace('\n', " "))));
}

/// Writes a line to the host's log. The host keeps at most 16 lines of at most 512 bytes for each verdict.
///
/// # Panics
/// Panics outside of a host.
pub fn log(level: Level, text: &str) {
    log::log(level, text);
}
