//! Reading figures: windows are fetched many at a time and merged here, since merging is addition.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::window::{Grain, Span, Window};
use tidegate_core::{Stats, StoreError};

use super::{AT_ONCE, RedisMetrics, WITHIN, fields};
use crate::answers::understood;

/// A window that was read: its grain, its beginning in milliseconds since 1970, and the minute up to which it reaches.
struct Found {
    grain: Grain,
    at_ms: u64,
    window: Window,
    reaches: Option<u64>,
}

impl RedisMetrics {
    /// A range up to an hour is read from minutes; a longer one from hours or days, and from minutes not in them yet.
    pub(super) async fn read(
        &self,
        platform: &str,
        endpoint: Option<&str>,
        range: Duration,
    ) -> Result<Stats, StoreError> {
        let series = endpoint.map_or_else(String::new, |endpoint| format!(":{endpoint}"));
        let minutes_only = Span::ending(0, range).grain == Grain::Minute;
        let (now_ms, pending) = self.pending(platform, if minutes_only { 0 } else { -1 }).await?;
        let span = Span::ending(now_ms, range);
        let mut wanted: Vec<(Grain, u64)> = starts(span).map(|at_ms| (span.grain, at_ms)).collect();
        let pending = pending.into_iter().filter(|(_, of)| *of == series);
        let pending = pending.map(|(minute, _)| minute * Grain::Minute.millis()).filter(|at_ms| *at_ms >= span.from_ms);
        wanted.extend(pending.map(|at_ms| (Grain::Minute, at_ms)));
        let found = self.fetch(platform, &series, wanted).await?;
        Ok(merged(span, &found).stats(span))
    }

    async fn fetch(&self, platform: &str, series: &str, wanted: Vec<(Grain, u64)>) -> Result<Vec<Found>, StoreError> {
        let keys = self.0.redis.keys();
        let command = |(grain, at_ms): &(Grain, u64)| {
            let key = keys.window(platform, series, &fields::time(*grain, *at_ms));
            vec![b"HGETALL".to_vec(), key.into_bytes()]
        };
        let mut found = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(AT_ONCE) {
            let commands: Vec<_> = some.iter().map(command).collect();
            let answers = self.0.redis.read(WITHIN, &keys.windows(platform), &commands).await?;
            for ((grain, at_ms), answer) in some.iter().zip(answers) {
                let fields: BTreeMap<String, u64> = understood("HGETALL", answer)?;
                let (window, reaches) = fields::read(&fields);
                found.push(Found { grain: *grain, at_ms: *at_ms, window, reaches });
            }
        }
        Ok(found)
    }
}

/// Where the windows of a span begin.
fn starts(span: Span) -> impl Iterator<Item = u64> {
    (span.from_ms..=span.to_ms).step_by(usize::try_from(span.grain.millis()).unwrap_or(usize::MAX))
}

/// Adds up what was found; a minute that was rolled up between two of our questions is in its hour already.
fn merged(span: Span, found: &[Found]) -> Window {
    let mut total = Window::default();
    let (minutes, longer): (Vec<_>, Vec<_>) = found.iter().partition(|one| one.grain == Grain::Minute);
    longer.iter().for_each(|one| total.merge(&one.window));
    let reaches = |at_ms: u64| {
        let start = at_ms / span.grain.millis() * span.grain.millis();
        longer.iter().find(|one| one.at_ms == start).and_then(|one| one.reaches)
    };
    let counted = |at_ms: u64| reaches(at_ms).is_some_and(|reaches| reaches >= at_ms / Grain::Minute.millis());
    minutes.iter().filter(|one| !counted(one.at_ms)).for_each(|one| total.merge(&one.window));
    total
}
