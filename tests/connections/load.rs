//! Constant load, so that calls are in progress when a server fails.

use std::sync::Arc;

use tidegate_redis::Redis;
use tidegate_redis::internals::RawRequests;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{count, within_timeout};

/// Eight callers that increment a counter without a pause, and the number of their calls that succeeded.
pub struct Load {
    callers: JoinSet<u64>,
    succeeded: Arc<watch::Sender<u64>>,
    key: String,
    redis: Redis,
    stop: Arc<watch::Sender<bool>>,
}

impl Load {
    pub fn start(redis: &Redis, key: &str) -> Self {
        let (succeeded, stop) = (Arc::new(watch::Sender::new(0)), Arc::new(watch::Sender::new(false)));
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (redis, key, succeeded, stop) = (redis.clone(), key.to_owned(), succeeded.clone(), stop.clone());
            callers.spawn(async move {
                let mut failed = 0;
                while !*stop.borrow() {
                    match count(&redis, &key).await {
                        Ok(_) => succeeded.send_modify(|succeeded| *succeeded += 1),
                        Err(error) => {
                            assert!(error.is_unavailable(), "{error}");
                            failed += 1;
                            redis.wait_until_available(&key).await;
                        }
                    }
                }
                failed
            });
        }
        Self { callers, succeeded, key: key.to_owned(), redis: redis.clone(), stop }
    }

    /// Waits until 200 more calls succeed.
    pub async fn wait_for_progress(&self) {
        let mut succeeded = self.succeeded.subscribe();
        let target = *succeeded.borrow() + 200;
        within_timeout(succeeded.wait_for(|succeeded| *succeeded >= target)).await.unwrap();
    }

    /// Stops the callers, asserts that no call ran twice, and returns the number of calls that failed.
    pub async fn stop(self) -> u64 {
        self.stop.send_replace(true);
        let failed: u64 = within_timeout(self.callers.join_all()).await.into_iter().sum();
        let succeeded = *self.succeeded.borrow();
        within_timeout(self.redis.wait_until_available(&self.key)).await;
        let ran = u64::try_from(count(&self.redis, &self.key).await.unwrap()).unwrap() - 1;
        assert!((succeeded..=succeeded + failed).contains(&ran), "{ran} ran, {succeeded} succeeded, {failed} failed");
        failed
    }
}
