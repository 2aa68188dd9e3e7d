//! The life of an alert: inactive → pending → firing → resolved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How bad a firing rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look today.
    Warning,
    /// Worth waking someone.
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The name as rules write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// When a rule may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long the condition must hold before the rule fires.
    pub hold: Duration,
    /// The least time between two messages that it fires.
    pub cooldown: Duration,
}

/// A change that people are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// The condition holds now.
    Firing,
    /// It held before, the cooldown is over, and it holds still.
    StillFiring,
    /// It holds no longer.
    Resolved,
}

impl Transition {
    /// The transition in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::StillFiring => "still firing",
            Self::Resolved => "resolved",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    #[default]
    Inactive,
    Pending {
        since: Timestamp,
    },
    Firing {
        since: Timestamp,
        told: bool,
    },
}

/// The state of one rule for one scope; it survives an edit of the rule.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{AlertState, Timestamp, Timing, Transition};
/// let timing = Timing { hold: Duration::ZERO, cooldown: Duration::from_secs(300) };
/// let mut state = AlertState::default();
/// let at = |s: u64| Timestamp::from_micros(s * 1_000_000);
/// assert_eq!(state.step(true, timing, at(0)), Some(Transition::Firing));
/// assert_eq!(state.step(true, timing, at(10)), None);
/// assert_eq!(state.step(false, timing, at(20)), Some(Transition::Resolved));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertState {
    phase: Phase,
    last_told: Option<Timestamp>,
}

impl AlertState {
    /// Takes the verdict of one tick and says whom to tell what, if anything.
    ///
    /// A rule that fires anew within its cooldown is not announced until the cooldown is over, and what was never
    /// announced is not resolved aloud either, so flapping costs one pair of messages a cooldown.
    pub fn step(&mut self, holds: bool, timing: Timing, now: Timestamp) -> Option<Transition> {
        if !holds {
            let was = std::mem::take(&mut self.phase);
            return matches!(was, Phase::Firing { told: true, .. }).then_some(Transition::Resolved);
        }
        let since = match self.phase {
            Phase::Inactive => now,
            Phase::Pending { since } | Phase::Firing { since, .. } => since,
        };
        let told = matches!(self.phase, Phase::Firing { told: true, .. });
        if !matches!(self.phase, Phase::Firing { .. }) && now - since < timing.hold {
            self.phase = Phase::Pending { since };
            return None;
        }
        let cooling = self.last_told.is_some_and(|last| now - last < timing.cooldown);
        self.phase = Phase::Firing { since, told: told || !cooling };
        if cooling {
            return None;
        }
        self.last_told = Some(now);
        Some(if told { Transition::StillFiring } else { Transition::Firing })
    }

    /// Whether nothing of it matters any more: it is inactive, and no cooldown goes on.
    #[must_use]
    pub fn is_over(&self, timing: Timing, now: Timestamp) -> bool {
        self.phase == Phase::Inactive && self.last_told.is_none_or(|last| now - last >= timing.cooldown)
    }

    /// `inactive`, `pending` or `firing`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.phase {
            Phase::Inactive => "inactive",
            Phase::Pending { .. } => "pending",
            Phase::Firing { .. } => "firing",
        }
    }

    /// Since when the condition has held.
    #[must_use]
    pub const fn since(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Inactive => None,
            Phase::Pending { since } | Phase::Firing { since, .. } => Some(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tick a second; `#` holds, `.` does not; the answer has F, S, R where people are told.
    fn told(hold: u64, cooldown: u64, verdicts: &str) -> String {
        let timing = Timing { hold: Duration::from_secs(hold), cooldown: Duration::from_secs(cooldown) };
        let mut state = AlertState::default();
        let tick = |(second, verdict): (usize, char)| {
            let now = Timestamp::from_micros(second as u64 * 1_000_000);
            match state.step(verdict == '#', timing, now) {
                None => '-',
                Some(Transition::Firing) => 'F',
                Some(Transition::StillFiring) => 'S',
                Some(Transition::Resolved) => 'R',
            }
        };
        verdicts.chars().enumerate().map(tick).collect()
    }

    #[test]
    fn people_are_told_once_an_incident_and_once_a_cooldown() {
        let rows = [
            // hold, cooldown, verdicts, told
            (0, 5, ".#...", "-FR--"),
            (0, 3, "#######", "F--S--S"),
            (2, 9, "##.##.", "------"),
            (2, 9, "####..", "--F-R-"),
            // Flapping within the cooldown stays silent …
            (0, 5, "#.#.#.", "FR----"),
            (0, 9, "#.####", "FR----"),
            // … until it is over.
            (0, 4, "#.###.", "FR--FR"),
        ];
        for (hold, cooldown, verdicts, expected) in rows {
            assert_eq!(told(hold, cooldown, verdicts), expected, "for {hold}, cooldown {cooldown}: {verdicts}");
        }
    }
}
