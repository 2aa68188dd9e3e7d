//! Time windows and their counts.

use std::time::Duration;

use crate::clock::millis;
use crate::{Sketch, Stats};

/// The length of the windows in which counts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// One minute.
    Minute,
    /// One hour.
    Hour,
    /// One day (UTC).
    Day,
}

crate::text_enum!(Resolution { Minute => "minute", Hour => "hour", Day => "day" });

impl Resolution {
    /// Returns the length of a window, in milliseconds.
    pub const fn millis(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// Returns how many windows are kept: enough for the longest range that is read with this resolution, and one more
    /// because the start of a range is rounded down.
    pub const fn max_windows(self) -> u64 {
        match self {
            Self::Minute => 61,
            Self::Hour => 25,
            Self::Day => 31,
        }
    }

    /// Returns the finest resolution whose windows cover the range.
    const fn finest_for(range_ms: u64) -> Self {
        if range_ms <= Self::Hour.millis() {
            Self::Minute
        } else if range_ms <= Self::Day.millis() {
            Self::Hour
        } else {
            Self::Day
        }
    }
}

/// A time range whose start is the start of a window.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The resolution of the windows.
    pub resolution: Resolution,
    /// The start, in milliseconds since 1970.
    pub from_ms: u64,
    /// The end, in milliseconds since 1970.
    pub to_ms: u64,
}

impl Span {
    /// Returns a span that ends at `now_ms` (milliseconds since 1970) and contains at least the last `range`. The range
    /// is limited to 30 days, because older counts are not kept.
    pub fn ending(now_ms: u64, range: Duration) -> Self {
        let range_ms = millis(range).min(30 * Resolution::Day.millis());
        let resolution = Resolution::finest_for(range_ms);
        let from_ms = now_ms.saturating_sub(range_ms) / resolution.millis() * resolution.millis();
        Self { resolution, from_ms, to_ms: now_ms }
    }
}

/// The counts of one time window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// The calls that succeeded.
    pub success: u64,
    /// The calls that failed.
    pub errors: u64,
    /// The calls that a limit of tidegate refused.
    pub limited: u64,
    /// The sum of the durations, in microseconds.
    pub total_us: u64,
    /// The durations.
    pub sketch: Sketch,
}

impl Window {
    /// Adds another window. The order of merging does not matter.
    pub fn merge(&mut self, other: &Self) {
        self.success += other.success;
        self.errors += other.errors;
        self.limited += other.limited;
        self.total_us = self.total_us.saturating_add(other.total_us);
        self.sketch.merge(&other.sketch);
    }

    /// Returns whether the window has no counts. While a call is being counted, the window may already have its
    /// duration but not yet its outcome, so both are checked.
    pub fn is_empty(&self) -> bool {
        self.success + self.errors + self.limited + self.total_us == 0 && self.sketch.count() == 0
    }

    /// Returns the statistics of the window.
    #[allow(clippy::cast_precision_loss, reason = "rates are only displayed and compared; counts stay integers")]
    pub fn stats(&self, span: Span) -> Stats {
        let count = self.success + self.errors;
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let error_rate = share(self.errors, count);
        let seconds = (span.to_ms.saturating_sub(span.from_ms)).max(1) as f64 / 1e3;
        Stats {
            count,
            success: self.success,
            errors: self.errors,
            limited: self.limited,
            total_ms: self.total_us as f64 / 1e3,
            error_rate,
            success_rate: 1.0 - error_rate,
            limited_rate: share(self.limited, count + self.limited),
            rps: count as f64 / seconds,
            p50: self.sketch.quantile_ms(0.50),
            p95: self.sketch.quantile_ms(0.95),
            p99: self.sketch.quantile_ms(0.99),
            from_ms: span.from_ms,
            to_ms: span.to_ms,
        }
    }
}
