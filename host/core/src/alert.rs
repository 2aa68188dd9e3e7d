//! The states of an alert (inactive → pending → firing → inactive) and the notifications that it causes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The severity of an alert rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For information; needs no action.
    Info,
    /// Needs attention within the day.
    Warning,
    /// Needs attention at once, at any hour.
    Critical,
}

crate::text_enum!(Severity { Info => "info", Warning => "warning", Critical => "critical" });

/// The times that control when a rule sends notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertTiming {
    /// How long the condition must hold before the rule fires.
    pub hold: Duration,
    /// The minimum time between two notifications that say that the rule fires.
    pub cooldown: Duration,
}

impl AlertTiming {
    /// Creates the times of a rule.
    #[must_use]
    pub const fn new(hold: Duration, cooldown: Duration) -> Self {
        Self { hold, cooldown }
    }
}

/// A change of an alert that causes a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transition {
    /// The rule fires.
    Firing,
    /// The rule still fires after the cooldown.
    StillFiring,
    /// The condition no longer holds.
    Resolved,
}

crate::text_enum!(Transition { Firing => "firing", StillFiring => "still_firing", Resolved => "resolved" });

/// The phase of a rule whose condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertPhase {
    /// The condition has not held for long enough to fire.
    Pending,
    /// The rule fires.
    Firing,
}

crate::text_enum!(AlertPhase { Pending => "pending", Firing => "firing" });

// Redis may contain states that an earlier build wrote with the field names `told` and `last_told`. This build reads
// them too, because one unreadable state would stop the evaluation of all rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TimedPhase {
    #[default]
    Inactive,
    Pending {
        since: Timestamp,
    },
    Firing {
        since: Timestamp,
        #[serde(alias = "told")]
        notified: bool,
    },
}

/// The state of one rule for one scope: a platform or one of its endpoints. It is kept when the rule is edited.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::{AlertState, Timestamp, AlertTiming, Transition};
/// let timing = AlertTiming::new(Duration::ZERO, Duration::from_secs(300));
/// let mut state = AlertState::default();
/// let at = |s: u64| Timestamp::from_micros(s * 1_000_000);
/// assert_eq!(state.step(true, timing, at(0)), Some(Transition::Firing));
/// assert_eq!(state.step(true, timing, at(10)), None);
/// assert_eq!(state.step(false, timing, at(20)), Some(Transition::Resolved));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertState {
    phase: TimedPhase,
    #[serde(alias = "last_told")]
    last_notified: Option<Timestamp>,
}

impl AlertState {
    /// Applies the result of one evaluation (`holds`) and returns the transition to notify, if there is one.
    ///
    /// If a rule fires again within its cooldown, the notification is sent only when the cooldown is over. If no
    /// `firing` notification was sent, no `resolved` notification is sent either. A flapping rule therefore sends one
    /// pair of notifications per cooldown.
    pub fn step(&mut self, holds: bool, timing: AlertTiming, now: Timestamp) -> Option<Transition> {
        if !holds {
            let previous = std::mem::take(&mut self.phase);
            return matches!(previous, TimedPhase::Firing { notified: true, .. }).then_some(Transition::Resolved);
        }
        let since = match self.phase {
            TimedPhase::Inactive => now,
            TimedPhase::Pending { since } | TimedPhase::Firing { since, .. } => since,
        };
        let notified = matches!(self.phase, TimedPhase::Firing { notified: true, .. });
        if !matches!(self.phase, TimedPhase::Firing { .. }) && now - since < timing.hold {
            self.phase = TimedPhase::Pending { since };
            return None;
        }
        let in_cooldown = self.last_notified.is_some_and(|last| now - last < timing.cooldown);
        self.phase = TimedPhase::Firing { since, notified: notified || !in_cooldown };
        if in_cooldown {
            return None;
        }
        self.last_notified = Some(now);
        Some(if notified { Transition::StillFiring } else { Transition::Firing })
    }

    /// Returns whether the state can be removed: the alert is inactive and its cooldown is over.
    #[must_use]
    pub fn is_over(&self, timing: AlertTiming, now: Timestamp) -> bool {
        self.phase == TimedPhase::Inactive && self.last_notified.is_none_or(|last| now - last >= timing.cooldown)
    }

    /// Returns the time of the last notification that said that the alert fires, if it is known.
    #[must_use]
    pub const fn last_notified(&self) -> Option<Timestamp> {
        self.last_notified
    }

    /// Returns the phase of the rule; `None` if its condition does not hold.
    #[must_use]
    pub const fn phase(&self) -> Option<AlertPhase> {
        match self.phase {
            TimedPhase::Inactive => None,
            TimedPhase::Pending { .. } => Some(AlertPhase::Pending),
            TimedPhase::Firing { .. } => Some(AlertPhase::Firing),
        }
    }

    /// Returns the time at which the condition began to hold, if it holds.
    #[must_use]
    pub const fn since(&self) -> Option<Timestamp> {
        match self.phase {
            TimedPhase::Inactive => None,
            TimedPhase::Pending { since } | TimedPhase::Firing { since, .. } => Some(since),
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
    fn alert_sends_one_notification_per_incident_and_per_cooldown() {
        let cases = [
            // hold, cooldown, evaluations, transitions
            (0, 5, ".#...", "-FR--"),
            (0, 3, "#######", "F--S--S"),
            (2, 9, "##.##.", "------"),
            (2, 9, "####..", "--F-R-"),
            // A rule that flaps within its cooldown sends nothing more.
            (0, 5, "#.#.#.", "FR----"),
            (0, 9, "#.####", "FR----"),
            // When the cooldown is over, a rule that fires sends a notification again.
            (0, 4, "#.###.", "FR--FR"),
        ];
        for (hold, cooldown, evaluations, expected) in cases {
            let actual = transitions(hold, cooldown, evaluations);
            assert_eq!(actual, expected, "for {hold}, cooldown {cooldown}: {evaluations}");
        }
    }
}
