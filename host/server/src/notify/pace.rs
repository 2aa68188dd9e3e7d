//! How fast a DingTalk robot may speak.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate::SystemClock;
use tidegate::core::{Bucket, Clock, Decision, Quota, Rate};

/// DingTalk takes 20 messages a minute from a robot. A bucket lets at most burst + rate × window through, so 10 and
/// 10 a minute make 20 in any minute.
const BURST: u64 = 10;

/// The pace of every robot of this process, by its webhook. It belongs to the robot, not to a channel: channels that
/// share a robot share it, and a reload of the configuration does not begin it anew.
static ROBOTS: LazyLock<Mutex<HashMap<String, Arc<Pace>>>> = LazyLock::new(Mutex::default);

/// The slots of one robot.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    slots: Mutex<Bucket>,
}

impl Pace {
    /// The pace of the robot behind this webhook.
    pub(super) fn of(webhook: &str) -> Result<Arc<Self>, String> {
        let mut robots = lock(&ROBOTS);
        if let Some(pace) = robots.get(webhook) {
            return Ok(Arc::clone(pace));
        }
        let pace = Arc::new(Self::new(Arc::new(SystemClock::start()))?);
        robots.insert(webhook.to_owned(), Arc::clone(&pace));
        Ok(pace)
    }

    pub(super) fn new(clock: Arc<dyn Clock>) -> Result<Self, String> {
        let quota = Rate::new(BURST, Duration::from_secs(60)).and_then(|rate| Quota::new(rate, BURST));
        let slots = Bucket::full(quota.map_err(|error| error.to_string())?, clock.now());
        Ok(Self { clock, slots: Mutex::new(slots) })
    }

    /// Takes the slot of one message, or says how long until there is one.
    pub(super) fn take(&self) -> Result<(), Duration> {
        match lock(&self.slots).check(1, self.clock.now()) {
            Decision::Limited { retry_after } => Err(retry_after),
            Decision::Allowed { .. } | Decision::Never { .. } => Ok(()),
        }
    }
}

/// What is guarded here is whole after every step, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::notify::tests::FakeClock;

    #[test]
    fn twenty_messages_go_in_any_minute_and_not_one_more() {
        let clock = Arc::new(FakeClock::default());
        let pace = Pace::new(clock.clone()).unwrap();
        let mut sent = vec![];
        for second in 0..240_u64 {
            clock.0.store(second * 1_000, Ordering::Relaxed);
            while pace.take().is_ok() {
                sent.push(second);
            }
            assert!(pace.take().unwrap_err() <= Duration::from_secs(6));
        }
        let busiest = sent.iter().map(|start| sent.iter().filter(|at| (*start..start + 60).contains(at)).count()).max();
        assert!(busiest.is_some_and(|most| (19..=20).contains(&most)), "{busiest:?}");
    }

    #[test]
    fn a_robot_keeps_its_pace_when_channels_are_built_anew() {
        let robot = Pace::of("https://pace.test/one").unwrap();
        while robot.take().is_ok() {}
        assert!(Pace::of("https://pace.test/one").unwrap().take().is_err());
        assert!(Pace::of("https://pace.test/two").unwrap().take().is_ok());
    }
}
