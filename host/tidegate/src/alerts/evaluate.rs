//! Evaluation of every rule for each of its platforms or endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_core::store::{AlertChanges, AlertKey, AlertStates};
use tidegate_core::{AlertVerdict, HostView, Snapshot, Stats, Transition};
use tidegate_policy::{Rule, RuleScope};

use super::builtin::is_builtin;
use super::step::{AlertSettings, Evaluation, step};
use crate::process_view::CombinedView;

/// A source of statistics for alert rules.
pub trait StatsSource: Send + Sync {
    /// Returns the statistics of the last `range`; `None` if they are not available now.
    fn get(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Option<Stats>;
}

/// The data that rules can query.
pub struct RuleContext {
    /// The statistics of this tick.
    pub stats: Arc<dyn StatsSource>,
    /// The limits of this process.
    pub limits: Arc<dyn HostView>,
}

/// Every platform with its recorded endpoints.
pub type KnownEndpoints = BTreeMap<String, Vec<String>>;

/// Evaluates every rule for each of its scopes. Returns the new states and the notifications to send.
///
/// It runs policies, so do not call it on an async worker thread.
pub fn evaluate(
    rules: &[Rule],
    endpoints: &KnownEndpoints,
    context: &RuleContext,
    current: &AlertStates,
) -> AlertChanges {
    let mut changes = AlertChanges::default();
    for rule in rules {
        for key in scopes(rule, endpoints) {
            evaluate_scope(rule, key, context, current, &mut changes);
        }
    }
    remove_obsolete(rules, current, &mut changes);
    changes
}

fn evaluate_scope(
    rule: &Rule,
    key: AlertKey,
    context: &RuleContext,
    current: &AlertStates,
    changes: &mut AlertChanges,
) {
    let Some(stats) = context.stats.get(&key.platform, key.endpoint.as_deref(), rule.window) else { return };
    let mut snapshot = Snapshot::new(key.platform.clone(), stats);
    snapshot.endpoint = key.endpoint.clone();
    // If the statistics are not available or the policy faults, the state stays unchanged: neither means that the
    // platform has a problem or has recovered. The fault is counted and shown in the status of the policy.
    let Some(verdict) = evaluate_rule(rule, &snapshot, context) else { return };
    let (holds, detail) = match verdict {
        AlertVerdict::Quiet => (false, None),
        AlertVerdict::Firing { detail } => (true, detail),
    };
    let settings = AlertSettings {
        name: &rule.name,
        severity: rule.severity,
        timing: rule.timing,
        condition: &rule.condition,
        channels: &rule.channels,
    };
    step(&settings, key, Evaluation { holds, detail, stats: snapshot.stats }, current, changes);
}

/// Returns the verdict of the rule; `None` if its policy faults or reads statistics that are not available.
fn evaluate_rule(rule: &Rule, snapshot: &Snapshot, context: &RuleContext) -> Option<AlertVerdict> {
    if snapshot.stats.count + snapshot.stats.limited < rule.min_samples {
        return Some(AlertVerdict::Quiet);
    }
    let incomplete = Arc::new(AtomicBool::new(false));
    let (stats, missing) = (Arc::clone(&context.stats), Arc::clone(&incomplete));
    let windows = move |platform: &str, endpoint: Option<&str>, range: Duration| {
        stats.get(platform, endpoint, range).unwrap_or_else(|| {
            missing.store(true, Ordering::Relaxed);
            Stats::default()
        })
    };
    let view: Arc<dyn HostView> = Arc::new(CombinedView { windows, limits: Arc::clone(&context.limits) });
    let verdict = rule.policy.evaluate(snapshot, &view).ok();
    verdict.filter(|_| !incomplete.load(Ordering::Relaxed))
}

/// Removes the states of rules that were removed or no longer cover the platform or endpoint. A firing alert among them
/// is resolved.
fn remove_obsolete(rules: &[Rule], current: &AlertStates, changes: &mut AlertChanges) {
    let is_current =
        |key: &AlertKey| is_builtin(key) || rules.iter().any(|rule| rule.name == key.rule && covers(rule, key));
    for (key, entry) in current.states.iter().filter(|(key, _)| !is_current(key)) {
        changes.states.insert(key.clone(), None);
        let last = entry.last_notification.clone().filter(|last| last.notification.transition != Transition::Resolved);
        changes.notifications.extend(last.map(|mut last| {
            last.notification.transition = Transition::Resolved;
            last.notification.detail =
                Some("the rule was removed or no longer covers this platform or endpoint".to_owned());
            last.notification.at_ms = current.unix_ms;
            last
        }));
    }
}

/// Returns whether a rule covers this platform.
fn covers_platform(rule: &Rule, platform: &str) -> bool {
    rule.platforms.is_empty() || rule.platforms.iter().any(|name| name == platform)
}

/// Returns whether a rule covers this platform or endpoint.
fn covers(rule: &Rule, key: &AlertKey) -> bool {
    covers_platform(rule, &key.platform) && key.endpoint.is_some() == (rule.scope == RuleScope::Endpoint)
}

/// Returns the platforms or endpoints that a rule covers.
pub fn scopes(rule: &Rule, endpoints: &KnownEndpoints) -> Vec<AlertKey> {
    let key = |platform: &str, endpoint: Option<&String>| AlertKey {
        rule: rule.name.clone(),
        platform: platform.to_owned(),
        endpoint: endpoint.cloned(),
    };
    let platforms = endpoints.iter().filter(|(platform, _)| covers_platform(rule, platform));
    platforms
        .flat_map(|(platform, endpoints)| match rule.scope {
            RuleScope::Endpoint => endpoints.iter().map(|endpoint| key(platform, Some(endpoint))).collect(),
            RuleScope::Platform => vec![key(platform, None)],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tidegate_core::{AlertPolicy, Fault, FnHostView};

    use super::*;

    /// Fires if there were no calls in the last hour.
    struct NoCalls;

    impl AlertPolicy for NoCalls {
        fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn HostView>) -> Result<AlertVerdict, Fault> {
            let no_calls = view.window(&snapshot.platform, None, Duration::from_secs(3_600)).count == 0;
            Ok(if no_calls { AlertVerdict::Firing { detail: None } } else { AlertVerdict::Quiet })
        }
    }

    /// The number of calls of each range; `None` if it is not available.
    struct CallCounts(fn(Duration) -> Option<u64>);

    impl StatsSource for CallCounts {
        fn get(&self, _: &str, _: Option<&str>, range: Duration) -> Option<Stats> {
            let mut stats = Stats::default();
            stats.count = (self.0)(range)?;
            Some(stats)
        }
    }

    /// Returns the number of notifications of one evaluation.
    fn notification_count(calls: fn(Duration) -> Option<u64>) -> usize {
        let mut rule = Rule::new("no_calls", "no_calls", Arc::new(NoCalls));
        rule.window = Duration::from_secs(60);
        rule.min_samples = 0;
        let context =
            RuleContext { stats: Arc::new(CallCounts(calls)), limits: Arc::new(FnHostView(|_| Stats::default())) };
        let endpoints = [("jd".to_owned(), Vec::new())].into();
        evaluate(&[rule], &endpoints, &context, &AlertStates::default()).notifications.len()
    }

    #[test]
    fn missing_statistics_are_not_treated_as_zero_calls() {
        assert_eq!(notification_count(|_| Some(0)), 1);
        assert_eq!(notification_count(|_| Some(1)), 0);
        assert_eq!(notification_count(|_| None), 0);
        assert_eq!(notification_count(|range| (range.as_secs() == 60).then_some(0)), 0);
    }
}
