//! How fast a DingTalk robot may speak.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate::SystemClock;
use tidegate::core::{Bucket, Clock, Decision, Quota, Rate};

/// DingTalk takes 20 messages a minute from a robot. A bucket lets at most burst + rate × window through, so 10 and
/// 10 a minute make 20 in any minute.
const BURST: u64 = 10;

/// No message waits longer for its slot: by then its incident is old.
const PATIENCE: Duration = Duration::from_secs(600);

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

    /// Waits for the slot of one message, in order of arrival.
    ///
    /// # Errors
    /// How long it would take, where that is longer than a message is worth waiting for.
    pub(super) async fn turn(&self) -> Result<(), Duration> {
        let ticket = lock(&self.slots).reserve(1, PATIENCE, self.clock.now()).map_err(|refusal| match refusal {
            Decision::Limited { retry_after } => retry_after,
            Decision::Allowed { .. } | Decision::Never { .. } => PATIENCE,
        })?;
        let wait = lock(&self.slots).wait(&ticket, self.clock.now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }
}

/// What is guarded here is whole after every step, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_messages_get_their_turn_and_at_most_twenty_in_any_minute() {
        let pace = Arc::new(Pace::new(Arc::new(SystemClock::start())).unwrap());
        let start = Instant::now();
        let turns = (0..60).map(|_| {
            let pace = Arc::clone(&pace);
            tokio::spawn(async move { pace.turn().await.map(|()| start.elapsed()) })
        });
        let mut sent = vec![];
        for turn in turns.collect::<Vec<_>>() {
            sent.push(turn.await.unwrap().unwrap());
        }
        let minute = Duration::from_secs(60);
        let busiest = sent.iter().map(|start| sent.iter().filter(|at| (*start..*start + minute).contains(at)).count());
        assert!(busiest.max().is_some_and(|most| (19..=20).contains(&most)), "{sent:?}");
        assert!(sent.iter().max() <= Some(&(minute * 5)), "nobody waits for nothing: {sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_told_how_long() {
        let pace = Arc::new(Pace::new(Arc::new(SystemClock::start())).unwrap());
        for _ in 0..110 {
            let pace = Arc::clone(&pace);
            tokio::spawn(async move { pace.turn().await });
            tokio::task::yield_now().await;
        }
        assert!(pace.turn().await.unwrap_err() > PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_robot_keeps_its_pace_when_channels_are_built_anew() {
        let start = Instant::now();
        for _ in 0..BURST {
            Pace::of("https://pace.test/one").unwrap().turn().await.unwrap();
        }
        Pace::of("https://pace.test/two").unwrap().turn().await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        Pace::of("https://pace.test/one").unwrap().turn().await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
