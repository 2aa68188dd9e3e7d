//! The life of an alert: inactive → pending → firing → resolved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The severity of an alert rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For information; needs no action.
    Info,
    /// Needs attention within the day.
    Warning,
    /// Needs attention at once, at any hour.
    Critical,
}

impl Severity {
    /// Every severity, least severe first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Returns the name that rules use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// When a rule sends notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertTiming {
    /// How long the condition must hold before the rule fires.
    pub hold: Duration,
    /// The minimum time between two notifications that the rule fires.
    pub cooldown: Duration,
}

/// A change of an alert that is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// The rule fires.
    Firing,
    /// The rule still fires after the cooldown.
    StillFiring,
    /// The condition no longer holds.
    Resolved,
}

impl Transition {
    /// Returns the name for notifications.
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
        notified: bool,
    },
}

/// The state of one rule for one scope. It is kept when the rule is edited.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{AlertState, Timestamp, AlertTiming, Transition};
/// let timing = AlertTiming { hold: Duration::ZERO, cooldown: Duration::from_secs(300) };
/// let mut state = AlertState::default();
/// let at = |s: u64| Timestamp::from_micros(s * 1_000_000);
/// assert_eq!(state.step(true, timing, at(0)), Some(Transition::Firing));
/// assert_eq!(state.step(true, timing, at(10)), None);
/// assert_eq!(state.step(false, timing, at(20)), Some(Transition::Resolved));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertState {
    phase: Phase,
    last_notified: Option<Timestamp>,
}

impl AlertState {
    /// Applies the result of one evaluation (`holds`) and returns the transition to notify, if there is one.
    ///
    /// A rule that fires again within its cooldown is notified only when the cooldown is over. An alert that was never
    /// notified as firing is not notified as resolved either. A flapping rule therefore sends one pair of notifications
    /// per cooldown.
    pub fn step(&mut self, holds: bool, timing: AlertTiming, now: Timestamp) -> Option<Transition> {
        if !holds {
            let previous = std::mem::take(&mut self.phase);
            return matches!(previous, Phase::Firing { notified: true, .. }).then_some(Transition::Resolved);
        }
        let since = match self.phase {
            Phase::Inactive => now,
            Phase::Pending { since } | Phase::Firing { since, .. } => since,
        };
        let notified = matches!(self.phase, Phase::Firing { notified: true, .. });
        if !matches!(self.phase, Phase::Firing { .. }) && now - since < timing.hold {
            self.phase = Phase::Pending { since };
            return None;
        }
        let in_cooldown = self.last_notified.is_some_and(|last| now - last < timing.cooldown);
        self.phase = Phase::Firing { since, notified: notified || !in_cooldown };
        if in_cooldown {
            return None;
        }
        self.last_notified = Some(now);
        Some(if notified { Transition::StillFiring } else { Transition::Firing })
    }

    /// Returns whether the state can be dropped: the alert is inactive and its cooldown is over.
    #[must_use]
    pub fn is_over(&self, timing: AlertTiming, now: Timestamp) -> bool {
        self.phase == Phase::Inactive && self.last_notified.is_none_or(|last| now - last >= timing.cooldown)
    }

    /// Returns the name of the state: `inactive`, `pending` or `firing`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.phase {
            Phase::Inactive => "inactive",
            Phase::Pending { .. } => "pending",
            Phase::Firing { .. } => "firing",
        }
    }

    /// Returns the time since which the condition holds, if it holds.
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

    /// Evaluates once a second: `#` holds, `.` does not. Returns F, S or R for each notification and `-` for none.
    fn transitions(hold: u64, cooldown: u64, evaluations: &str) -> String {
        let timing = AlertTiming { hold: Duration::from_secs(hold), cooldown: Duration::from_secs(cooldown) };
        let mut state = AlertState::default();
        let step = |(second, evaluation): (usize, char)| {
            let now = Timestamp::from_micros(second as u64 * 1_000_000);
            match state.step(evaluation == '#', timing, now) {
                None => '-',
                Some(Transition::Firing) => 'F',
                Some(Transition::StillFiring) => 'S',
                Some(Transition::Resolved) => 'R',
            }
        };
        evaluations.chars().enumerate().map(step).collect()
    }

    #[test]
    fn alert_is_notified_once_per_incident_and_once_per_cooldown() {
        let cases = [
            // hold, cooldown, evaluations, transitions
            (0, 5, ".#...", "-FR--"),
            (0, 3, "#######", "F--S--S"),
            (2, 9, "##.##.", "------"),
            (2, 9, "####..", "--F-R-"),
            // A rule that flaps within its cooldown sends nothing more.
            (0, 5, "#.#.#.", "FR----"),
            (0, 9, "#.####", "FR----"),
            // It is notified again when the cooldown is over.
            (0, 4, "#.###.", "FR--FR"),
        ];
        for (hold, cooldown, evaluations, expected) in cases {
            let actual = transitions(hold, cooldown, evaluations);
            assert_eq!(actual, expected, "for {hold}, cooldown {cooldown}: {evaluations}");
        }
    }
}
