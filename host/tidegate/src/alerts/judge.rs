//! One look at every rule and every scope.

use std::time::Duration;

use tidegate_core::{AlertVerdict, Notification, Snapshot, Stats, Transition};
use tidegate_policy::{Rule, Scope};

use super::{Alerts, Entry, Key};
use crate::Metrics;

/// A message that is due, and the channels it goes to.
pub struct Due {
    pub notification: Notification,
    pub channels: Vec<String>,
}

impl Alerts {
    /// Judges every rule for every scope it looks at and says what people are to be told.
    ///
    /// It runs policies, so it does not belong on an async worker.
    pub(crate) fn judge(&self, rules: &[Rule], metrics: &Metrics) -> Vec<Due> {
        let mut due = Vec::new();
        for rule in rules {
            for key in scopes(rule, metrics) {
                due.extend(self.judge_one(rule, key, metrics));
            }
        }
        due.extend(self.retire(rules));
        due
    }

    fn judge_one(&self, rule: &Rule, key: Key, metrics: &Metrics) -> Option<Due> {
        let window = |range: Duration| metrics.get(&key.platform, key.endpoint.as_deref(), range);
        let stats = window(rule.window);
        let snapshot = Snapshot { platform: key.platform.clone(), endpoint: key.endpoint.clone(), stats };
        let verdict = if snapshot.stats.count + snapshot.stats.limited < rule.min_samples {
            AlertVerdict::Quiet
        } else {
            // A policy that misbehaves (it is counted and named in the status) leaves the state as it was: its
            // trouble is neither the platform's trouble nor its recovery.
            rule.policy.evaluate(&snapshot, &window).ok()?
        };
        let (holds, detail) = match verdict {
            AlertVerdict::Quiet => (false, None),
            AlertVerdict::Firing { detail } => (true, detail),
        };
        self.step(rule, key, holds, detail, snapshot.stats)
    }

    fn step(&self, rule: &Rule, key: Key, holds: bool, detail: Option<String>, stats: Stats) -> Option<Due> {
        let (now, at_ms) = (self.0.clock.now(), self.0.clock.unix_ms());
        let mut states = self.0.states.lock();
        let entry = states.entry(key.clone()).or_insert_with(|| Entry {
            state: tidegate_core::AlertState::default(),
            severity: rule.severity,
            last: None,
        });
        entry.severity = rule.severity;
        let transition = entry.state.step(holds, rule.timing, now)?;
        let notification = Notification {
            rule: rule.name.clone(),
            severity: rule.severity,
            platform: key.platform,
            endpoint: key.endpoint,
            transition,
            condition: rule.condition.clone(),
            detail,
            stats,
            at_ms,
        };
        entry.last = Some((notification.clone(), rule.channels.clone()));
        Some(Due { notification, channels: rule.channels.clone() })
    }

    /// Forgets the states of rules that are gone or look elsewhere now; who was told that one fires is told that it ended.
    fn retire(&self, rules: &[Rule]) -> Vec<Due> {
        let at_ms = self.0.clock.unix_ms();
        let mut states = self.0.states.lock();
        let gone = |key: &Key| !rules.iter().any(|rule| rule.name == key.rule && looks_at(rule, key));
        let retired: Vec<_> = states.extract_if(.., |key, _| gone(key)).collect();
        let told = retired.into_iter().filter_map(|(_, entry)| entry.last);
        let open = told.filter(|(notification, _)| notification.transition != Transition::Resolved);
        open.map(|(notification, channels)| Due {
            notification: Notification {
                transition: Transition::Resolved,
                detail: Some("the rule is gone, or looks elsewhere now".to_owned()),
                at_ms,
                ..notification
            },
            channels,
        })
        .collect()
    }
}

/// Whether a rule looks at this platform.
fn wanted(rule: &Rule, platform: &str) -> bool {
    rule.platforms.is_empty() || rule.platforms.iter().any(|name| name == platform)
}

/// Whether a rule looks at this scope.
fn looks_at(rule: &Rule, key: &Key) -> bool {
    wanted(rule, &key.platform) && key.endpoint.is_some() == (rule.scope == Scope::Endpoint)
}

/// The scopes of a rule among all that was ever measured.
fn scopes(rule: &Rule, metrics: &Metrics) -> Vec<Key> {
    let key = |platform: &str, endpoint: Option<String>| Key {
        rule: rule.name.clone(),
        platform: platform.to_owned(),
        endpoint,
    };
    let measured = metrics.endpoints().into_iter().filter(|(platform, _)| wanted(rule, platform));
    measured
        .flat_map(|(platform, endpoints)| match rule.scope {
            Scope::Platform => vec![key(&platform, None)],
            Scope::Endpoint => endpoints.into_iter().map(|endpoint| key(&platform, Some(endpoint))).collect(),
        })
        .collect()
}
