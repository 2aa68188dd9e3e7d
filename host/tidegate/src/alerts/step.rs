//! One step of an alert's state: what rules and built-in alerts have in common.

use tidegate_core::store::{AlertChanges, AlertEntry, AlertKey, AlertStates, RoutedNotification};
use tidegate_core::{AlertState, AlertTiming, Notification, Severity, Stats};

/// The settings of a rule or a built-in alert.
pub(super) struct AlertSettings<'a> {
    pub name: &'a str,
    pub severity: Severity,
    pub timing: AlertTiming,
    pub condition: &'a str,
    pub channels: &'a [String],
}

/// The result of one evaluation of a condition.
pub(super) struct Evaluation {
    pub holds: bool,
    pub detail: Option<String>,
    /// The statistics that were evaluated.
    pub stats: Stats,
}

/// Applies the result of one evaluation to the state of an alert, and adds the changes to `changes`.
pub(super) fn step(
    settings: &AlertSettings<'_>,
    key: AlertKey,
    evaluation: Evaluation,
    current: &AlertStates,
    changes: &mut AlertChanges,
) {
    let old = current.states.get(&key);
    let mut state = old.map_or_else(AlertState::default, |entry| entry.state.clone());
    let transition = state.step(evaluation.holds, settings.timing, current.now);
    let mut last_notification = old.and_then(|entry| entry.last_notification.clone());
    if let Some(transition) = transition {
        let mut notification = Notification::new(settings.name, settings.severity, key.platform.clone(), transition)
            .with_condition(settings.condition)
            .with_stats(evaluation.stats)
            .with_at_ms(current.unix_ms);
        notification.endpoint = key.endpoint.clone();
        notification.detail = evaluation.detail;
        let routed = RoutedNotification::new(notification, settings.channels.to_vec());
        last_notification = Some(routed.clone());
        changes.notifications.push(routed);
    }
    let over = state.is_over(settings.timing, current.now);
    let unchanged = old.map_or(over, |old| !over && old.state == state && old.severity == settings.severity);
    if !unchanged {
        let entry = AlertEntry::new(state, settings.severity, last_notification);
        changes.states.insert(key, (!over).then_some(entry));
    }
}
