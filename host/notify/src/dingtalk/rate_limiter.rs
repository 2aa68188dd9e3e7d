//! The rate limit of a DingTalk robot.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::config::ChannelError;
use tidegate_core::{Bucket, Clock, Quota, Rate};

/// The burst of one robot, and its messages per minute. DingTalk accepts 20 messages per minute from one robot.
/// A bucket allows at most burst + rate × window, so a burst of 10 and a rate of 10 per minute allow 20 in any minute.
const BURST: u64 = 10;

/// The longest wait of a message. A message that would wait longer is about an old incident.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// The rate limiters of all robots in this process, by webhook. A limiter belongs to a robot, not to a channel.
/// Channels with the same robot share its limiter, and a reload of the configuration does not reset it.
static ROBOTS: LazyLock<Mutex<HashMap<String, Arc<RobotRateLimiter>>>> = LazyLock::new(Mutex::default);

/// Limits the messages of one robot.
pub struct RobotRateLimiter {
    clock: Arc<dyn Clock>,
    bucket: Mutex<Bucket>,
}

impl RobotRateLimiter {
    /// Returns the rate limiter of the robot with this webhook. The first caller sets its clock.
    pub fn of_webhook(webhook: &str, clock: &Arc<dyn Clock>) -> Result<Arc<Self>, ChannelError> {
        let mut robots = lock(&ROBOTS);
        if let Some(limiter) = robots.get(webhook) {
            return Ok(Arc::clone(limiter));
        }
        let limiter = Arc::new(Self::new(Arc::clone(clock))?);
        robots.insert(webhook.to_owned(), Arc::clone(&limiter));
        Ok(limiter)
    }

    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, ChannelError> {
        let quota = Rate::new(BURST, Duration::from_secs(60)).and_then(|rate| Quota::new(rate, BURST));
        let bucket = Bucket::full(quota.map_err(ChannelError::new)?, clock.now());
        Ok(Self { clock, bucket: Mutex::new(bucket) })
    }

    /// Waits until one message may be sent. Messages are served in order of arrival.
    ///
    /// # Errors
    /// Returns the time until a new attempt can succeed if the wait would exceed [`MAX_WAIT`].
    pub async fn acquire(&self) -> Result<(), Duration> {
        let reserved = lock(&self.bucket)
            .reserve(1, MAX_WAIT, self.clock.now())
            .map_err(|refusal| refusal.retry_after().unwrap_or(MAX_WAIT))?;
        if !reserved.wait.is_zero() {
            tokio::time::sleep(reserved.wait).await;
        }
        Ok(())
    }
}

/// Locks a mutex and ignores poisoning: every step leaves the guarded value consistent, even if a thread panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::tests::TestClock;

    #[tokio::test(start_paused = true)]
    async fn every_message_is_sent_and_at_most_twenty_in_any_minute() {
        let limiter = Arc::new(RobotRateLimiter::new(TestClock::start()).unwrap());
        let start = Instant::now();
        let messages = (0..60).map(|_| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.acquire().await.map(|()| start.elapsed()) })
        });
        let mut sent = vec![];
        for message in messages.collect::<Vec<_>>() {
            sent.push(message.await.unwrap().unwrap());
        }
        let minute = Duration::from_secs(60);
        let counts = sent.iter().map(|start| sent.iter().filter(|at| (*start..*start + minute).contains(at)).count());
        assert!(counts.max().is_some_and(|max| (19..=20).contains(&max)), "{sent:?}");
        assert!(sent.iter().max() <= Some(&(minute * 5)), "a message waited longer than necessary: {sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn message_that_would_wait_too_long_gets_its_wait_as_an_error() {
        let limiter = Arc::new(RobotRateLimiter::new(TestClock::start()).unwrap());
        for _ in 0..110 {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.acquire().await });
            tokio::task::yield_now().await;
        }
        assert!(limiter.acquire().await.unwrap_err() > MAX_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn robot_keeps_its_rate_limiter_when_channels_are_rebuilt() {
        let clock: Arc<dyn Clock> = TestClock::start();
        let limiter = |webhook| RobotRateLimiter::of_webhook(webhook, &clock).unwrap();
        let start = Instant::now();
        for _ in 0..BURST {
            limiter("https://robot.test/one").acquire().await.unwrap();
        }
        limiter("https://robot.test/two").acquire().await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        limiter("https://robot.test/one").acquire().await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
