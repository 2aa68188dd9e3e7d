//! The built-in alert rule `policy_quarantined`: a policy was quarantined because it faulted too often.
//!
//! The leader sends the alert for its own policies, once per policy and cooldown, and resolves it when an edit has
//! ended the quarantine. Every process reports its own policies under `/v1/policies` and `/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::{AlertState, AlertTiming, Notification, Severity, Stats, Transition};

use super::system_notifier::SystemNotifier;
use crate::Host;

const TIMING: AlertTiming = AlertTiming { hold: Duration::ZERO, cooldown: Duration::from_secs(300) };

/// The alert states of quarantined policies.
pub struct QuarantineAlert {
    host: Host,
    notifier: SystemNotifier,
    /// The states by the path of the policy.
    states: BTreeMap<String, AlertState>,
}

impl QuarantineAlert {
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), notifier: SystemNotifier::new(host), states: BTreeMap::new() }
    }

    /// Checks every policy and sends a notification for each change.
    pub fn check(&mut self) {
        let Some(policies) = self.host.policies() else { return };
        let quarantined = policies.status().into_iter().filter_map(|status| Some((status.path, status.quarantined?)));
        let quarantined: BTreeMap<_, _> = quarantined.collect();
        let now = self.host.clock().now();
        for path in quarantined.keys() {
            self.states.entry(path.clone()).or_default();
        }
        let mut changes = vec![];
        for (path, state) in &mut self.states {
            let reason = quarantined.get(path);
            let transition = state.step(reason.is_some(), TIMING, now);
            changes.extend(transition.map(|transition| (path.clone(), transition, reason.cloned())));
        }
        self.states.retain(|_, state| !state.is_over(TIMING, now));
        for (path, transition, reason) in changes {
            self.notify(path, transition, reason);
        }
    }

    fn notify(&mut self, path: String, transition: Transition, detail: Option<String>) {
        let notification = Notification {
            rule: "policy_quarantined".to_owned(),
            severity: Severity::Warning,
            platform: path,
            endpoint: None,
            transition,
            condition: "policy reached its fault threshold".to_owned(),
            detail,
            stats: Stats::default(),
            at_ms: self.host.clock().unix_ms(),
        };
        let channels = self.host.config().alerting.policy_quarantined_channels.clone();
        self.notifier.send(&notification, channels);
    }

    /// Waits until all notifications have been sent.
    pub async fn drain(&mut self) {
        self.notifier.drain().await;
    }
}
