//! Spans of time and what was counted in them.

use std::time::Duration;

use crate::clock::millis;
use crate::{Sketch, Stats};

/// The grains in which windows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Of 60 s.
    Minute,
    /// Of 60 minutes.
    Hour,
    /// Of 24 hours (UTC).
    Day,
}

impl Grain {
    /// Every grain, finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Its length in milliseconds.
    pub const fn millis(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// How many are kept: the longest range asked of the grain, and one more because ranges align outwards.
    pub const fn kept(self) -> u64 {
        match self {
            Self::Minute => 61,
            Self::Hour => 25,
            Self::Day => 31,
        }
    }

    /// The finest grain that reaches back so far.
    const fn reaching(range_ms: u64) -> Self {
        if range_ms <= Self::Hour.millis() {
            Self::Minute
        } else if range_ms <= Self::Day.millis() {
            Self::Hour
        } else {
            Self::Day
        }
    }
}

/// A stretch of time aligned outwards to a grain.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// To whose borders it is aligned.
    pub grain: Grain,
    /// Its beginning, in milliseconds since 1970.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
}

impl Span {
    /// At least the last `range` before `now_ms`; beyond 30 days nothing is kept.
    pub fn ending(now_ms: u64, range: Duration) -> Self {
        let range_ms = millis(range).min(30 * Grain::Day.millis());
        let grain = Grain::reaching(range_ms);
        let from_ms = now_ms.saturating_sub(range_ms) / grain.millis() * grain.millis();
        Self { grain, from_ms, to_ms: now_ms }
    }
}

/// What was counted in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Calls that succeeded.
    pub success: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Calls that our own limit refused.
    pub limited: u64,
    /// The sum of the durations, in microseconds.
    pub total_us: u64,
    /// The durations.
    pub sketch: Sketch,
}

impl Window {
    /// Adds another; the order of merging does not matter.
    pub fn merge(&mut self, other: &Self) {
        self.success += other.success;
        self.errors += other.errors;
        self.limited += other.limited;
        self.total_us = self.total_us.saturating_add(other.total_us);
        self.sketch.merge(&other.sketch);
    }

    /// Whether there is nothing to keep; a call that is being counted may have its duration here and its outcome not.
    pub fn is_empty(&self) -> bool {
        self.success + self.errors + self.limited + self.total_us == 0 && self.sketch.count() == 0
    }

    /// The figures as people read them.
    #[allow(clippy::cast_precision_loss, reason = "rates to read; counts stay integers")]
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
