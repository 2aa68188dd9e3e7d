//! The built-in alert rule `redis_unavailable`, which works while Redis is unavailable.
//!
//! Without Redis there is no leader and every process detects the outage, so only the last leader sends the alert: once
//! per outage and cooldown, and again when Redis has recovered. If the last leader dies together with Redis, there is
//! no alert, but each process reports the state of Redis under `/healthz` and `/metrics`. The alert goes to the log and
//! the channels, not to the history, which is in Redis.

use std::time::Duration;

use tidegate_core::{AlertState, AlertTiming, Notification, Severity, Stats, StoreError, Transition};

use super::system_notifier::SystemNotifier;
use crate::Host;

/// Short outages, for example failovers, do not fire the alert.
const TIMING: AlertTiming = AlertTiming { hold: Duration::from_secs(3), cooldown: Duration::from_secs(300) };

/// The alert state of a Redis outage.
pub struct RedisUnavailableAlert {
    host: Host,
    /// Whether this process was the last leader.
    was_leader: bool,
    unavailable: bool,
    state: AlertState,
    notifier: SystemNotifier,
}

impl RedisUnavailableAlert {
    pub fn new(host: &Host) -> Self {
        Self {
            host: host.clone(),
            was_leader: false,
            unavailable: false,
            state: AlertState::default(),
            notifier: SystemNotifier::new(host),
        }
    }

    pub const fn is_unavailable(&self) -> bool {
        self.unavailable
    }

    /// Records that this process was the leader until now.
    pub const fn leadership_lost(&mut self) {
        self.was_leader = true;
    }

    /// Records that a request to Redis failed.
    pub fn record_failure(&mut self, error: &StoreError) {
        self.unavailable = true;
        if self.was_leader {
            self.step(true, Some(error.to_string()));
        }
    }

    /// Records that a request to Redis succeeded.
    pub fn record_success(&mut self) {
        self.unavailable = false;
        self.step(false, None);
        self.was_leader = false;
    }

    fn step(&mut self, unavailable: bool, detail: Option<String>) {
        if let Some(transition) = self.state.step(unavailable, TIMING, self.host.clock().now()) {
            self.notify(transition, detail);
        }
    }

    fn notify(&mut self, transition: Transition, detail: Option<String>) {
        let notification = Notification {
            rule: "redis_unavailable".to_owned(),
            severity: Severity::Critical,
            platform: "redis".to_owned(),
            endpoint: None,
            transition,
            condition: "the last leader cannot reach Redis".to_owned(),
            detail,
            stats: Stats::default(),
            at_ms: self.host.clock().unix_ms(),
        };
        let channels = self.host.config().alerting.redis_unavailable_channels.clone();
        self.notifier.send(&notification, channels);
    }

    /// Waits until all notifications have been sent.
    pub async fn drain(&mut self) {
        self.notifier.drain().await;
    }
}
