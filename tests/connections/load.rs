//! Calls without a pause, to be in the middle of when something happens.

use std::sync::Arc;

use tidegate::redis::Redis;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{count, patiently};

/// Callers that never rest, and what became of what they asked.
pub struct Load {
    callers: JoinSet<u64>,
    answered: Arc<watch::Sender<u64>>,
    key: String,
    redis: Redis,
    stop: Arc<watch::Sender<bool>>,
}

impl Load {
    pub fn start(redis: &Redis, key: &str) -> Self {
        let (answered, stop) = (Arc::new(watch::Sender::new(0)), Arc::new(watch::Sender::new(false)));
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (redis, key, answered, stop) = (redis.clone(), key.to_owned(), answered.clone(), stop.clone());
            callers.spawn(async move {
                let mut lost = 0;
                while !*stop.borrow() {
                    match count(&redis, &key).await {
                        Ok(_) => answered.send_modify(|answered| *answered += 1),
                        Err(error) => {
                            assert!(error.is_away(), "{error}");
                            lost += 1;
                            redis.back(&key).await;
                        }
                    }
                }
                lost
            });
        }
        Self { callers, answered, key: key.to_owned(), redis: redis.clone(), stop }
    }

    /// Waits until many more calls were answered.
    pub async fn goes_on(&self) {
        let mut answered = self.answered.subscribe();
        let enough = *answered.borrow() + 200;
        patiently(answered.wait_for(|answered| *answered >= enough)).await.unwrap();
    }

    /// Ends it; says how many calls got no answer, and holds that none ran twice.
    pub async fn end(self) -> u64 {
        self.stop.send_replace(true);
        let lost: u64 = patiently(self.callers.join_all()).await.into_iter().sum();
        let answered = *self.answered.borrow();
        patiently(self.redis.back(&self.key)).await;
        let ran = u64::try_from(count(&self.redis, &self.key).await.unwrap()).unwrap() - 1;
        assert!((answered..=answered + lost).contains(&ran), "{ran} ran, {answered} answered, {lost} not");
        lost
    }
}
