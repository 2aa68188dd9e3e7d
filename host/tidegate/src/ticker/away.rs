//! Redis gone is an alert of its own: the rule `redis_away`, which needs no Redis.
//!
//! With Redis gone nobody leads and every process notices, so only the one that led last speaks. It speaks once an
//! outage and once a cooldown, and says when Redis is back. Should it have died with Redis, nobody speaks; each process
//! says how Redis is under `/healthz` and `/metrics`. What it says goes to the log and the channels: the history is in
//! Redis.

use std::time::Duration;

use tidegate_core::{AlertState, Notification, Severity, Stats, StoreError, Timing, Transition};

use super::herald::Herald;
use crate::Host;

/// An outage that is over within seconds, such as a failover, is told to nobody.
const TIMING: Timing = Timing { hold: Duration::from_secs(3), cooldown: Duration::from_secs(300) };

/// What one process knows of Redis being away.
pub struct Away {
    host: Host,
    /// Whether this process was the last to lead.
    led: bool,
    away: bool,
    state: AlertState,
    herald: Herald,
}

impl Away {
    pub fn new(host: &Host) -> Self {
        Self { host: host.clone(), led: false, away: false, state: AlertState::default(), herald: Herald::new(host) }
    }

    pub const fn is_away(&self) -> bool {
        self.away
    }

    /// This process has led until now.
    pub const fn led(&mut self) {
        self.led = true;
    }

    /// Redis gave no answer.
    pub fn gone(&mut self, error: &StoreError) {
        self.away = true;
        if self.led {
            self.step(true, Some(error.to_string()));
        }
    }

    /// Redis answers.
    pub fn back(&mut self) {
        self.away = false;
        self.step(false, None);
        self.led = false;
    }

    fn step(&mut self, holds: bool, detail: Option<String>) {
        if let Some(transition) = self.state.step(holds, TIMING, self.host.clock().now()) {
            self.tell(transition, detail);
        }
    }

    fn tell(&mut self, transition: Transition, detail: Option<String>) {
        let notification = Notification {
            rule: "redis_away".to_owned(),
            severity: Severity::Critical,
            platform: "redis".to_owned(),
            endpoint: None,
            transition,
            condition: "Redis gives no answer to the process that led".to_owned(),
            detail,
            stats: Stats::default(),
            at_ms: self.host.clock().unix_ms(),
        };
        let channels = self.host.config().alerting.redis_away_channels.clone();
        self.herald.tell(&notification, channels);
    }

    /// Waits until what was told has arrived.
    pub async fn arrive(&mut self) {
        self.herald.arrive().await;
    }
}
