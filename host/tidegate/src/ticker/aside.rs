//! A policy that was set aside for its faults is an alert of its own: the rule `policy_set_aside`.
//!
//! The process that leads tells it of its own policies, once a policy and once a cooldown, and says when an edit has
//! ended it. Every process shows its own under `/v1/policies` and `/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::{AlertState, Notification, Severity, Stats, Timing, Transition};

use super::herald::Herald;
use crate::Host;

const TIMING: Timing = Timing { hold: Duration::ZERO, cooldown: Duration::from_secs(300) };

/// What people were told of policies that are set aside.
pub struct Aside {
    host: Host,
    herald: Herald,
    states: BTreeMap<String, AlertState>,
}

impl Aside {
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), herald: Herald::new(host), states: BTreeMap::new() }
    }

    /// Looks at every policy and tells what has changed.
    pub fn look(&mut self) {
        let Some(policies) = self.host.policies() else { return };
        let aside = policies.status().into_iter().filter_map(|status| Some((status.path, status.set_aside?)));
        let aside: BTreeMap<_, _> = aside.collect();
        let now = self.host.clock().now();
        for path in aside.keys() {
            self.states.entry(path.clone()).or_default();
        }
        let mut told = vec![];
        for (path, state) in &mut self.states {
            let why = aside.get(path);
            told.extend(
                state.step(why.is_some(), TIMING, now).map(|transition| (path.clone(), transition, why.cloned())),
            );
        }
        self.states.retain(|_, state| !state.is_over(TIMING, now));
        for (path, transition, why) in told {
            self.tell(path, transition, why);
        }
    }

    fn tell(&mut self, path: String, transition: Transition, detail: Option<String>) {
        let notification = Notification {
            rule: "policy_set_aside".to_owned(),
            severity: Severity::Warning,
            platform: path,
            endpoint: None,
            transition,
            condition: "a policy misbehaves too often".to_owned(),
            detail,
            stats: Stats::default(),
            at_ms: self.host.clock().unix_ms(),
        };
        let channels = self.host.config().alerting.policy_channels.clone();
        self.herald.tell(&notification, channels);
    }

    /// Waits until what was told has arrived.
    pub async fn arrive(&mut self) {
        self.herald.arrive().await;
    }
}
