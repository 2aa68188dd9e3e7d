//! One look at every rule and every scope.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_core::store::{AlertEntry, AlertKey, Changes, Intent, Seen};
use tidegate_core::{AlertState, AlertVerdict, Notification, Snapshot, Stats, Transition, View};
use tidegate_policy::{Rule, Scope};

use crate::view::Windowed;

/// The figures of one scope over a range; `None` where they cannot be had now.
pub trait Figures: Send + Sync {
    /// The figures of the last `range`.
    fn get(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Option<Stats>;
}

/// What rules may look at.
pub struct Sight {
    /// The figures of the tick.
    pub figures: Arc<dyn Figures>,
    /// The limits of this process.
    pub limits: Arc<dyn View>,
}

/// Every platform and endpoint that was measured.
pub type Measured = BTreeMap<String, Vec<String>>;

/// Judges every rule for every scope it looks at and says what changes by it.
///
/// It runs policies, so it does not belong on an async worker.
pub fn judge(rules: &[Rule], measured: &Measured, sight: &Sight, seen: &Seen) -> Changes {
    let mut changes = Changes::default();
    for rule in rules {
        for key in scopes(rule, measured) {
            judge_one(rule, key, sight, seen, &mut changes);
        }
    }
    retire(rules, seen, &mut changes);
    changes
}

fn judge_one(rule: &Rule, key: AlertKey, sight: &Sight, seen: &Seen, changes: &mut Changes) {
    let Some(stats) = sight.figures.get(&key.platform, key.endpoint.as_deref(), rule.window) else { return };
    let snapshot = Snapshot { platform: key.platform.clone(), endpoint: key.endpoint.clone(), stats };
    // A rule whose figures cannot be had, or whose policy misbehaves (it is counted and named in the status), leaves
    // the state as it was: its trouble is neither the platform's trouble nor its recovery.
    let Some(verdict) = verdict(rule, &snapshot, sight) else { return };
    let (holds, detail) = match verdict {
        AlertVerdict::Quiet => (false, None),
        AlertVerdict::Firing { detail } => (true, detail),
    };
    let old = seen.states.get(&key);
    let mut state = old.map_or_else(AlertState::default, |entry| entry.state.clone());
    let transition = state.step(holds, rule.timing, seen.now);
    let mut last = old.and_then(|entry| entry.last.clone());
    if let Some(transition) = transition {
        let intent = intent(rule, &key, transition, detail, snapshot.stats, seen.unix_ms);
        last = Some(intent.clone());
        changes.intents.push(intent);
    }
    let over = state.is_over(rule.timing, seen.now);
    let unchanged = old.map_or(over, |old| !over && old.state == state && old.severity == rule.severity);
    if !unchanged {
        let entry = AlertEntry { state, severity: rule.severity, last };
        changes.states.insert(key, (!over).then_some(entry));
    }
}

fn verdict(rule: &Rule, snapshot: &Snapshot, sight: &Sight) -> Option<AlertVerdict> {
    if snapshot.stats.count + snapshot.stats.limited < rule.min_samples {
        return Some(AlertVerdict::Quiet);
    }
    let missed = Arc::new(AtomicBool::new(false));
    let (figures, miss) = (Arc::clone(&sight.figures), Arc::clone(&missed));
    let windows = move |platform: &str, endpoint: Option<&str>, range: Duration| {
        figures.get(platform, endpoint, range).unwrap_or_else(|| {
            miss.store(true, Ordering::Relaxed);
            Stats::default()
        })
    };
    let view: Arc<dyn View> = Arc::new(Windowed { windows, limits: Arc::clone(&sight.limits) });
    let verdict = rule.policy.evaluate(snapshot, &view).ok();
    verdict.filter(|_| !missed.load(Ordering::Relaxed))
}

fn intent(
    rule: &Rule,
    key: &AlertKey,
    transition: Transition,
    detail: Option<String>,
    stats: Stats,
    at_ms: u64,
) -> Intent {
    let notification = Notification {
        rule: rule.name.clone(),
        severity: rule.severity,
        platform: key.platform.clone(),
        endpoint: key.endpoint.clone(),
        transition,
        condition: rule.condition.clone(),
        detail,
        stats,
        at_ms,
    };
    Intent { notification, channels: rule.channels.clone() }
}

/// Forgets the states of rules that are gone or look elsewhere now; who was told that one fires is told that it ended.
fn retire(rules: &[Rule], seen: &Seen, changes: &mut Changes) {
    let stays = |key: &AlertKey| rules.iter().any(|rule| rule.name == key.rule && looks_at(rule, key));
    for (key, entry) in seen.states.iter().filter(|(key, _)| !stays(key)) {
        changes.states.insert(key.clone(), None);
        let open = entry.last.clone().filter(|last| last.notification.transition != Transition::Resolved);
        changes.intents.extend(open.map(|Intent { notification, channels }| Intent {
            notification: Notification {
                transition: Transition::Resolved,
                detail: Some("the rule is gone, or looks elsewhere now".to_owned()),
                at_ms: seen.unix_ms,
                ..notification
            },
            channels,
        }));
    }
}

/// Whether a rule looks at this platform.
fn wanted(rule: &Rule, platform: &str) -> bool {
    rule.platforms.is_empty() || rule.platforms.iter().any(|name| name == platform)
}

/// Whether a rule looks at this scope.
fn looks_at(rule: &Rule, key: &AlertKey) -> bool {
    wanted(rule, &key.platform) && key.endpoint.is_some() == (rule.scope == Scope::Endpoint)
}

/// The scopes of a rule among all that was measured.
pub fn scopes(rule: &Rule, measured: &Measured) -> Vec<AlertKey> {
    let key = |platform: &str, endpoint: Option<&String>| AlertKey {
        rule: rule.name.clone(),
        platform: platform.to_owned(),
        endpoint: endpoint.cloned(),
    };
    let measured = measured.iter().filter(|(platform, _)| wanted(rule, platform));
    measured
        .flat_map(|(platform, endpoints)| match rule.scope {
            Scope::Platform => vec![key(platform, None)],
            Scope::Endpoint => endpoints.iter().map(|endpoint| key(platform, Some(endpoint))).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tidegate_core::{AlertPolicy, Fault, Severity, Timing, Windows};

    use super::*;

    /// Fires where the last hour saw nothing.
    struct Silence;

    impl AlertPolicy for Silence {
        fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn View>) -> Result<AlertVerdict, Fault> {
            let silent = view.window(&snapshot.platform, None, Duration::from_secs(3_600)).count == 0;
            Ok(if silent { AlertVerdict::Firing { detail: None } } else { AlertVerdict::Quiet })
        }
    }

    /// How many calls every range saw; `None` where that cannot be had.
    struct Calls(fn(Duration) -> Option<u64>);

    impl Figures for Calls {
        fn get(&self, _: &str, _: Option<&str>, range: Duration) -> Option<Stats> {
            Some(Stats { count: (self.0)(range)?, ..Stats::default() })
        }
    }

    /// How many messages one tick brings.
    fn told(calls: fn(Duration) -> Option<u64>) -> usize {
        let rule = Rule {
            name: "silence".to_owned(),
            severity: Severity::Info,
            timing: Timing { hold: Duration::ZERO, cooldown: Duration::ZERO },
            window: Duration::from_secs(60),
            min_samples: 0,
            channels: Vec::new(),
            scope: Scope::Platform,
            platforms: Vec::new(),
            condition: "silence".to_owned(),
            policy: Arc::new(Silence),
        };
        let sight = Sight { figures: Arc::new(Calls(calls)), limits: Arc::new(Windows(|_| Stats::default())) };
        let measured = [("jd".to_owned(), Vec::new())].into();
        judge(&[rule], &measured, &sight, &Seen::default()).intents.len()
    }

    #[test]
    fn figures_that_cannot_be_had_are_not_taken_for_silence() {
        assert_eq!(told(|_| Some(0)), 1);
        assert_eq!(told(|_| Some(1)), 0);
        assert_eq!(told(|_| None), 0);
        assert_eq!(told(|range| (range.as_secs() == 60).then_some(0)), 0);
    }
}
