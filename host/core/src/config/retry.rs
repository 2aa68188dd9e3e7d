//! `[retry]` and `[platforms.NAME.retry]`: how failed calls are retried.

use std::ops::RangeInclusive;

use super::RetryConfig;
use super::reader::{Section, integer, number, positive_duration};
use crate::Backoff;
use crate::units::format_duration;

/// The valid values of `max_attempts`.
pub(super) const MAX_ATTEMPTS: RangeInclusive<u64> = 1..=100;

/// Reads `[retry]`, or a table `retry` that inherits from it.
pub(super) fn read_retry(section: &mut Section<'_>) -> Option<RetryConfig> {
    let max_attempts = section.required("max_attempts", integer(MAX_ATTEMPTS));
    let base_delay = section.required("base_delay", positive_duration);
    let max_delay = section.required("max_delay", positive_duration);
    let jitter = section.required("jitter", number(0.0..=1.0));
    let deadline = section.required("deadline", positive_duration);
    let (base_delay, max_delay, jitter) = (base_delay?, max_delay?, jitter?);
    if max_delay < base_delay {
        let key = if section.document_contains("max_delay") { "max_delay" } else { "base_delay" };
        let (max, base) = (format_duration(max_delay), format_duration(base_delay));
        let fix = "raise `max_delay` or lower `base_delay`";
        section.reject_value(key, &format!("the maximum delay ({max}) is below the base delay ({base}); {fix}"));
    }
    let backoff = Backoff::new(base_delay, max_delay).with_jitter(jitter);
    Some(RetryConfig { max_attempts: u32::try_from(max_attempts?).ok()?, backoff, deadline: deadline? })
}
