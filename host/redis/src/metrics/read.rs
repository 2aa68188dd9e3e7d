//! Reads statistics: fetches windows, many in one round trip, and merges them, since merging is addition.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::window::{Resolution, Span, Window};
use tidegate_core::{Stats, StoreError};

use super::{MAX_CONCURRENCY, REQUEST_TIMEOUT, RedisMetrics, fields};
use crate::codec::decode_reply;

/// A window that was read from Redis.
struct FetchedWindow {
    resolution: Resolution,
    /// The start, in milliseconds since 1970.
    start_ms: u64,
    window: Window,
    /// The last minute that an hour or day includes.
    rolled_up_to: Option<u64>,
}

impl RedisMetrics {
    /// Reads a range: up to an hour from minutes; a longer one from hours or days, and from the minutes that these do
    /// not include yet.
    pub(super) async fn read(
        &self,
        platform: &str,
        endpoint: Option<&str>,
        range: Duration,
    ) -> Result<Stats, StoreError> {
        let series = endpoint.map_or_else(String::new, |endpoint| format!(":{endpoint}"));
        let minutes_only = Span::ending(0, range).resolution == Resolution::Minute;
        let (now_ms, pending) = self.pending_minutes(platform, if minutes_only { 0 } else { -1 }).await?;
        let span = Span::ending(now_ms, range);
        let mut windows: Vec<(Resolution, u64)> =
            window_starts(span).map(|start_ms| (span.resolution, start_ms)).collect();
        let pending = pending.into_iter().filter(|(_, pending_series)| *pending_series == series);
        let pending = pending.map(|(minute, _)| minute * Resolution::Minute.millis());
        windows.extend(
            pending.filter(|start_ms| *start_ms >= span.from_ms).map(|start_ms| (Resolution::Minute, start_ms)),
        );
        let fetched = self.fetch(platform, &series, windows).await?;
        Ok(merge(span, &fetched).stats(span))
    }

    async fn fetch(
        &self,
        platform: &str,
        series: &str,
        windows: Vec<(Resolution, u64)>,
    ) -> Result<Vec<FetchedWindow>, StoreError> {
        let keys = self.0.redis.keys();
        let command = |(resolution, start_ms): &(Resolution, u64)| {
            let key = keys.window(platform, series, &fields::time_name(*resolution, *start_ms));
            vec![b"HGETALL".to_vec(), key.into_bytes()]
        };
        let mut fetched = Vec::with_capacity(windows.len());
        for chunk in windows.chunks(MAX_CONCURRENCY) {
            let commands: Vec<_> = chunk.iter().map(command).collect();
            let replies = self.0.redis.read(REQUEST_TIMEOUT, &keys.windows(platform), &commands).await?;
            for (&(resolution, start_ms), reply) in chunk.iter().zip(replies) {
                let fields: BTreeMap<String, u64> = decode_reply("HGETALL", reply)?;
                let (window, rolled_up_to) = fields::decode(&fields);
                fetched.push(FetchedWindow { resolution, start_ms, window, rolled_up_to });
            }
        }
        Ok(fetched)
    }
}

/// Returns the start of each window of a span, in milliseconds since 1970.
fn window_starts(span: Span) -> impl Iterator<Item = u64> {
    (span.from_ms..=span.to_ms).step_by(usize::try_from(span.resolution.millis()).unwrap_or(usize::MAX))
}

/// Adds up the fetched windows. A minute that was rolled up between two requests is already included in its hour.
fn merge(span: Span, fetched: &[FetchedWindow]) -> Window {
    let mut total = Window::default();
    let (minutes, longer): (Vec<_>, Vec<_>) =
        fetched.iter().partition(|window| window.resolution == Resolution::Minute);
    longer.iter().for_each(|fetched| total.merge(&fetched.window));
    let rolled_up_to = |minute_ms: u64| {
        let start_ms = minute_ms / span.resolution.millis() * span.resolution.millis();
        longer.iter().find(|fetched| fetched.start_ms == start_ms).and_then(|fetched| fetched.rolled_up_to)
    };
    let is_included = |minute_ms: u64| {
        rolled_up_to(minute_ms).is_some_and(|last_minute| last_minute >= minute_ms / Resolution::Minute.millis())
    };
    let remaining = minutes.iter().filter(|fetched| !is_included(fetched.start_ms));
    remaining.for_each(|fetched| total.merge(&fetched.window));
    total
}
